"""``/metrics``: counts of what does not get through, in Prometheus' text format.

It names hosts and nothing else, so it asks for no token.
"""

from collections import Counter
from collections.abc import Iterator

from fastapi import FastAPI
from starlette.responses import PlainTextResponse

from api import faults
from api.deps import Services, sub_application
from infra.db import problems
from infra.db.problems import Problems

_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def build(services: Services) -> FastAPI:
    app = sub_application("Metrics", services)
    faults.install(app, faults.identity_style)

    @app.get("/")
    async def metrics() -> PlainTextResponse:
        found = await services.db.read(problems.find)
        return PlainTextResponse("".join(_lines(found)), media_type=_TYPE)

    return app


def _lines(found: Problems) -> Iterator[str]:
    held = len(found.servers) + len(found.attachments) + len(found.interfaces)
    drift = Counter((one.host, one.kind) for one in found.drift)
    gauges = (
        ("kilonova_stuck_undos", "Servers with an undo that does not get through.", {"": len(found.stuck)}),
        ("kilonova_debts", "Clean-ups that hosts owe.", {"": len(found.debts)}),
        (
            "kilonova_held_rows",
            f"Servers, volumes and ports that a request has held for {problems.LONG.seconds} seconds and more.",
            {"": held},
        ),
        (
            "kilonova_drift",
            "What the latest comparison of each host with its rows found and could not put right.",
            {f'{{host="{_escaped(host)}",kind="{kind}"}}': count for (host, kind), count in drift.items()},
        ),
    )
    for name, text, values in gauges:
        yield f"# HELP {name} {text}\n# TYPE {name} gauge\n"
        for labels, value in values.items():
            yield f"{name}{labels} {value}\n"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
