"""``/os-keypairs`` (Compute API reference, "Keypairs")."""

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, Field, ValidationInfo

from api.auth import Context, MemberDep, ReaderDep
from api.compute import certificates, ssh_keys
from api.compute.common import empty
from api.compute.links import micros, next_page
from api.compute.microversion import Version
from api.compute.paging import page
from api.compute.wire import Versions, Wire, body
from api.deps import ServicesDep
from infra.db import keypairs, quotas
from infra.domain.errors import BadRequest, Forbidden
from infra.domain.flavor import Keypair

router = APIRouter()
_TYPES = 2
_OTHER_USERS = 10
_PAGES = 35
_IMPORT_ONLY = 92


def _key_name(value: str, info: ValidationInfo) -> str:
    version = info.context["version"] if info.context else _IMPORT_ONLY
    allowed = " -_" if version < _IMPORT_ONLY else " -_@."
    if value != value.strip() or not all((c.isascii() and c.isalnum()) or c in allowed for c in value):
        raise ValueError("Only expected characters: letters, digits, blanks inside, hyphens and underscores")
    return value


class NewKeypair(Wire):
    name: Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_key_name)]
    public_key: str | None = None
    type: Annotated[Literal["ssh", "x509"] | None, Versions(_TYPES)] = None
    user_id: Annotated[Annotated[str, Field(min_length=1, max_length=255)] | None, Versions(_OTHER_USERS)] = None


class NewKeypairRequest(Wire):
    keypair: NewKeypair


@router.post("/os-keypairs")
async def create(
    context: MemberDep,
    wanted: Annotated[NewKeypairRequest, body(NewKeypairRequest)],
    found: ServicesDep,
    version: Version,
) -> Response:
    """Keep a public key, or make a pair (before 2.92): the private half is in this reply and nowhere else."""
    new = wanted.keypair
    if new.public_key is None and version >= _IMPORT_ONLY:
        raise BadRequest("Invalid input for field/attribute keypair. 'public_key' is a required property.")
    limit = (await found.db.read(quotas.get, context.identity.project_id or "")).key_pairs
    user_id = _whose(context, new.user_id)
    kind = new.type or "ssh"
    private, public, fingerprint = await _keys(kind, new.public_key, user_id)
    made = await found.db.write(keypairs.create, user_id, new.name, kind, public, fingerprint, limit=limit)
    shown = _brief(made, version) | {"user_id": made.user_id}
    if private is not None:
        shown["private_key"] = private
    return JSONResponse({"keypair": shown}, 201 if version >= _TYPES else 200)


async def _keys(kind: str, public_key: str | None, user_id: str) -> tuple[str | None, str, str]:
    """(private half if one was made, public half, fingerprint)."""
    if public_key is not None:
        return None, *(certificates.read(public_key) if kind == "x509" else ssh_keys.read(public_key))
    if kind == "x509":
        return await asyncio.to_thread(certificates.generate, user_id)
    return await asyncio.to_thread(ssh_keys.generate)


@router.get("/os-keypairs")
async def list_all(request: Request, context: ReaderDep, found: ServicesDep, version: Version) -> dict[str, Any]:
    query = request.query_params
    asked = page(query)
    paged = version >= _PAGES
    user_id = _whose(context, query.get("user_id") if version >= _OTHER_USERS else None)
    keys = await found.db.read(
        keypairs.list_keypairs,
        user_id,
        limit=asked.limit if paged else None,
        marker=asked.marker if paged else None,
    )
    reply: dict[str, Any] = {"keypairs": [{"keypair": _brief(key, version)} for key in keys]}
    if paged and "limit" in query and keys and len(keys) == asked.limit:
        reply["keypairs_links"] = next_page(found.settings.api_url, "os-keypairs", query, keys[-1].name)
    return reply


@router.get("/os-keypairs/{name}")
async def show(name: str, request: Request, context: ReaderDep, found: ServicesDep, version: Version) -> dict[str, Any]:
    user_id = _whose(context, request.query_params.get("user_id") if version >= _OTHER_USERS else None)
    key = await found.db.read(keypairs.get, user_id, name)
    shown = _brief(key, version) | {
        "user_id": key.user_id,
        "id": key.id,
        "created_at": micros(key.created_at),
        "updated_at": None,
        "deleted_at": None,
        "deleted": False,
    }
    return {"keypair": shown}


@router.delete("/os-keypairs/{name}")
async def delete(name: str, request: Request, context: MemberDep, found: ServicesDep, version: Version) -> Response:
    user_id = _whose(context, request.query_params.get("user_id") if version >= _OTHER_USERS else None)
    await found.db.write(keypairs.delete, user_id, name)
    return empty(204 if version >= _TYPES else 202)


def _whose(context: Context, user_id: str | None) -> str:
    """The user whose keys are meant; only administrators name another."""
    if user_id not in (None, context.user_id) and not context.is_admin:
        raise Forbidden("Policy doesn't allow another user's key pairs to be seen or changed.")
    return user_id or context.user_id


def _brief(key: Keypair, version: int) -> dict[str, Any]:
    shown = {"name": key.name, "public_key": key.public_key, "fingerprint": key.fingerprint}
    return shown | {"type": key.type} if version >= _TYPES else shown
