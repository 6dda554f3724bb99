"""What the services' routes work with, made once per process in ``api/app.py``."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from temporalio.client import Client

from api.pokes import Pokes
from api.turns import Turns
from infra.db.engine import Database
from infra.identity.provider import IdentityProvider
from infra.image.store import ImageStore
from infra.settings import ApiSettings, Settings
from infra.temporal.sealed import Sealer
from infra.volume.backend import VolumeBackend


@dataclass(frozen=True)
class Services:
    settings: Settings
    db: Database
    identity: IdentityProvider
    images: ImageStore
    volumes: VolumeBackend
    temporal: Client
    sealer: Sealer
    admissions: Turns = field(default_factory=lambda: Turns(ApiSettings().admissions_at_once))
    pokes: Pokes = field(default_factory=Pokes)


async def services(request: Request) -> Services:
    found = request.app.state.services
    assert isinstance(found, Services)
    return found


ServicesDep = Annotated[Services, Depends(services)]


def sub_application(title: str, services: Services) -> FastAPI:
    """A service's empty application, with nothing of FastAPI's own paths."""

    @asynccontextmanager
    async def nothing(app: FastAPI) -> AsyncIterator[None]:
        yield

    app = FastAPI(
        title=title, docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False, lifespan=nothing
    )
    app.state.services = services
    return app
