"""How the developer stack runs Temporal: the official dev server, with its database in a file."""

import asyncio
import sys
from pathlib import Path

from temporalio.client import Client

from infra.settings import Settings
from infra.temporal import attributes

# WAL without a sync at every commit trebles the throughput; what was acknowledged survives a kill.
_PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL")
_DYNAMIC = {
    # The default of 20 polls a second makes every hop of an idle server wait up to 50 ms.
    "history.transferProcessorMaxPollRPS": "1000",
    "history.timerProcessorMaxPollRPS": "1000",
    "history.visibilityProcessorMaxPollRPS": "1000",
    # Timers and retries may otherwise fire up to a second late.
    "history.timerProcessorMaxTimeShift": '"1ms"',
    "matching.numTaskqueueReadPartitions": "1",
    "matching.numTaskqueueWritePartitions": "1",
    # Off by default; without it one project's backlog holds up all others.
    "matching.enableFairness": "true",
    # Every host polls three queues of its own.
    "frontend.namespaceCount": "20000",
    "matching.longPollExpirationInterval": '"290s"',
}


def command(settings: Settings) -> list[str]:
    """The command that runs the dev server of this stack in the foreground."""
    deploy = settings.deploy
    arguments = [
        str(Path(sys.executable).with_name("temporal")),
        *("server", "start-dev", "--ip", "127.0.0.1", "--log-level", "error", "--ui-disable-news-fetch"),
        *("--port", str(deploy.temporal_port), "--ui-port", str(deploy.temporal_ui_port)),
        *("--db-filename", str(settings.state / "temporal.db")),
    ]
    for pragma in _PRAGMAS:
        arguments += ["--sqlite-pragma", pragma]
    for key, value in _DYNAMIC.items():
        arguments += ["--dynamic-config-value", f"{key}={value}"]
    for name in attributes.NAMES:
        arguments += ["--search-attribute", f"{name}=Keyword"]
    return arguments


def answers(settings: Settings) -> bool:
    """Whether the server of this stack takes requests."""
    try:
        asyncio.run(asyncio.wait_for(Client.connect(f"127.0.0.1:{settings.deploy.temporal_port}"), 5))
    except (RuntimeError, TimeoutError):
        return False
    return True
