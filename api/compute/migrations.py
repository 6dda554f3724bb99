"""``/os-migrations``: servers that move from host to host, or between flavors (Compute API reference).

They are read from the servers' rows: a move that was confirmed, reverted or undone is among the server's actions.
"""

import uuid
import zlib
from typing import Any

from fastapi import APIRouter, Request

from api.auth import AdminDep
from api.compute.links import micros
from api.compute.microversion import Version
from api.deps import ServicesDep
from infra.db import moves
from infra.domain.flavor import Flavor
from infra.domain.move import Move, MoveKind
from infra.domain.server import Server, TaskState

router = APIRouter()
_TYPES = {MoveKind.RESIZE: "resize", MoveKind.MIGRATE: "migration", MoveKind.EVACUATE: "evacuation"}
_ENDING = {TaskState.RESIZE_CONFIRMING: "confirming", TaskState.RESIZE_REVERTING: "reverting"}


@router.get("/os-migrations")
async def list_all(request: Request, context: AdminDep, found: ServicesDep, version: Version) -> dict[str, Any]:
    shown = [
        _shown(server, server.move, version)
        for server in await found.db.read(moves.moving)
        if server.move is not None and server.move.kind in _TYPES and _asked(request, server, server.move)
    ]
    return {"migrations": shown}


def _asked(request: Request, server: Server, move: Move) -> bool:
    hosts = (move.host, move.new_host)
    known = {
        "instance_uuid": (server.id,),
        "status": (_status(server, move),),
        "migration_type": (_TYPES[move.kind],),
        "source_compute": (move.host,),
        "host": hosts,
        "user_id": (server.user_id,),
        "project_id": (server.project_id,),
    }
    asked = request.query_params
    return all(asked[name] in values for name, values in known.items() if name in asked)


def _status(server: Server, move: Move) -> str:
    if not move.done:
        return "migrating"
    return _ENDING.get(server.task_state, "finished") if server.task_state else "finished"


def _shown(server: Server, move: Move, version: int) -> dict[str, Any]:
    shown: dict[str, Any] = {
        # Numbers are what older clients have for names.
        "id": zlib.crc32(move.op.encode()),
        "instance_uuid": server.id,
        "status": _status(server, move),
        "source_compute": move.host,
        "source_node": move.host,
        "dest_compute": move.new_host,
        "dest_node": move.new_host,
        "dest_host": None,
        "old_instance_type_id": _number(move.flavor),
        "new_instance_type_id": _number(move.new_flavor),
        "created_at": micros(move.created_at),
        "updated_at": micros(move.updated_at),
    }
    if version >= 23:
        shown["migration_type"] = _TYPES[move.kind]
    if version >= 59:
        shown["uuid"] = str(uuid.uuid5(uuid.UUID(server.id), move.op))
    if version >= 80:
        shown |= {"user_id": server.user_id, "project_id": server.project_id}
    return shown


def _number(flavor: Flavor) -> int:
    return int(flavor.id) if flavor.id.isdecimal() and len(flavor.id) < 10 else zlib.crc32(flavor.id.encode())
