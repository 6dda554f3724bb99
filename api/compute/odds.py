"""Small resources that clients ask for and that have little to say here (Compute API reference)."""

from typing import Any

from fastapi import APIRouter

from api.auth import AdminDep, ReaderDep
from api.compute.common import ChangeableServer, NotImplementedHere, OwnServer, ReadableServer
from infra.domain.errors import NotFound

router = APIRouter()


@router.get("/extensions")
async def extensions(context: ReaderDep) -> dict[str, Any]:
    """Extensions gave way to microversions: everything is always there."""
    return {"extensions": []}


@router.get("/extensions/{alias}")
async def extension(alias: str, context: ReaderDep) -> dict[str, Any]:
    raise NotFound(f"Extension {alias} could not be found.")


@router.get("/servers/{server_id}/os-server-password")
async def password(server: OwnServer) -> dict[str, str]:
    """No guest here sends one."""
    return {"password": ""}


@router.post("/servers/{server_id}/remote-consoles")
async def remote_consoles(server: ChangeableServer) -> None:
    raise NotImplementedHere("Graphical and serial consoles are not available; the console log is.")


@router.get("/servers/{server_id}/migrations")
async def migrations_of(server: ReadableServer, context: AdminDep) -> dict[str, Any]:
    return {"migrations": []}
