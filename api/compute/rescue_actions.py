"""``rescue`` and ``unrescue`` (Compute API reference, "Servers - run an action")."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Response
from fastapi.responses import JSONResponse
from pydantic import Field

from api import start_moves
from api.compute import boot_request
from api.compute.action import Action
from api.compute.common import empty
from api.compute.wire import Uuid, Wire, parse
from infra.db import move_requests
from infra.domain.move import MoveKind
from infra.domain.server import Verb
from infra.domain.transitions import begin


class Rescue(Wire):
    admin_password: Annotated[str, Field(alias="adminPass", max_length=255)] = ""
    image: Annotated[Uuid | None, Field(alias="rescue_image_ref")] = None


async def _rescue(action: Action) -> Response:
    wanted = parse(Rescue, {} if action.argument is None else action.argument, action.version)
    image_id = boot_request.canonical(wanted.image) if wanted.image else None
    begin(Verb.RESCUE, action.server.vm_state, action.server.task_state)
    await action.services.db.read(move_requests.rescue, action.server, image_id)
    await start_moves.move(action.services, action.context, action.server, MoveKind.RESCUE, image_id=image_id)
    return JSONResponse({"adminPass": wanted.admin_password or boot_request.password()})


async def _unrescue(action: Action) -> Response:
    action.takes_no_argument()
    await start_moves.end_move(action.services, action.context, action.server, Verb.UNRESCUE)
    return empty(202)


ACTIONS: dict[str, Callable[[Action], Awaitable[Response]]] = {"rescue": _rescue, "unrescue": _unrescue}
