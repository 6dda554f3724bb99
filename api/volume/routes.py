"""The volume service: Cinder's Block Storage API v3. Source: the Block Storage API v3 reference."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from api import faults
from api.deps import Services, ServicesDep, sub_application
from api.trailing import NoEmptyId
from api.volume import actions, attachments, catalogue, metadata, quotas, snapshots, volumes
from api.volume.microversion import MAXIMUM, Microversions
from api.volume.views import versions


def build(services: Services) -> FastAPI:
    app = sub_application("Kilonova volume service", services)
    faults.install(app, faults.compute_style)
    app.add_middleware(Microversions)
    app.add_middleware(NoEmptyId, style=faults.compute_style)
    _discovery(app)
    volumes.add_to(app)
    metadata.add_to(app)
    actions.add_to(app)
    attachments.add_to(app)
    snapshots.add_to(app)
    catalogue.add_to(app)
    quotas.add_to(app)
    return app


def _discovery(app: FastAPI) -> None:
    @app.get("/")
    async def list_versions(services: ServicesDep) -> Response:
        return JSONResponse(versions(f"{services.settings.api_url}/volume", MAXIMUM), 300)

    @app.get("/v3")
    async def show_version(services: ServicesDep, request: Request) -> dict[str, Any]:
        return versions(f"{services.settings.api_url}/volume", MAXIMUM)
