"""Ends what a supervisord that was killed has left running, so that the next one finds ports and locks free."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

# Longer than workers take to let their running steps end.
_SECONDS = 45.0


def end(socket: Path) -> list[int]:
    """Stop all programs started by a supervisord that listened on ``socket``; returns their process ids.

    Guests and DHCP servers are in process groups of their own and go on.
    """
    found = list(_leaders(f"SUPERVISOR_SERVER_URL=unix://{socket}".encode()))
    for number in (signal.SIGTERM, signal.SIGKILL):
        for group in _living(found):
            # Ended meanwhile is what was wanted.
            with suppress(ProcessLookupError):
                os.killpg(group, number)
        deadline = time.monotonic() + _SECONDS
        while _living(found) and time.monotonic() < deadline:
            time.sleep(0.1)
    return found


def _leaders(mark: bytes) -> Iterator[int]:
    """Leaders of a process group whose environment holds ``mark``, which supervisord gives to its programs."""
    for entry in _processes():
        # It may end meanwhile, or be another user's.
        with suppress(OSError):
            pid = int(entry.name)
            if os.getpgid(pid) == pid and mark in (entry / "environ").read_bytes().split(b"\0"):
                yield pid


def _living(groups: list[int]) -> set[int]:
    """Those process groups that have a member which isn't only waiting to be collected by its parent."""
    found: set[int] = set()
    for entry in _processes():
        with suppress(OSError):
            # proc(5): state, parent and process group follow the name, which is in brackets and may hold any character.
            state, _, group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(group) in groups and state != "Z":
                found.add(int(group))
    return found


def _processes() -> Iterator[Path]:
    return (entry for entry in Path("/proc").iterdir() if entry.name.isdecimal())
