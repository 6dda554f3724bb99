"""``/metrics``: counts of what does not get through, in Prometheus' text format. No names, so it asks for no token."""

from fastapi import FastAPI
from starlette.responses import PlainTextResponse

from api import faults
from api.deps import Services, sub_application
from infra.db import problems

_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def build(services: Services) -> FastAPI:
    app = sub_application("Metrics", services)
    faults.install(app, faults.identity_style)

    @app.get("/")
    async def metrics() -> PlainTextResponse:
        found = await services.db.read(problems.find)
        gauges = (
            ("kilonova_stuck_undos", "Servers with an undo that does not get through.", len(found.stuck)),
            ("kilonova_debts", "Clean-ups that hosts owe.", len(found.debts)),
            (
                "kilonova_held_rows",
                f"Servers and attachments that a request has held for {problems.LONG.seconds} seconds and more.",
                len(found.servers) + len(found.attachments),
            ),
        )
        lines = (f"# HELP {name} {text}\n# TYPE {name} gauge\n{name} {value}\n" for name, text, value in gauges)
        return PlainTextResponse("".join(lines), media_type=_TYPE)

    return app
