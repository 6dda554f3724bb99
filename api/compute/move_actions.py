"""The actions that move a server: resize and what follows it, migrate, rebuild, evacuate."""

import time
from collections.abc import Awaitable, Callable

from fastapi import Response
from fastapi.responses import JSONResponse

from api import start_moves
from api.compute import boot_request
from api.compute.action import Action
from api.compute.common import empty, surroundings_of
from api.compute.schemas.server_moves import Evacuate, Migrate, Rebuild, Resize
from api.compute.views import server as view
from api.compute.wire import parse
from infra.db import move_checks, move_requests, servers
from infra.domain.move import MoveKind, Rebuilt
from infra.domain.server import Verb
from infra.domain.transitions import begin


async def _resize(action: Action) -> Response:
    flavor_id = parse(Resize, action.argument, action.version).flavor
    await _check(action, MoveKind.RESIZE, flavor_id=flavor_id)
    await start_moves.move(action.services, action.context, action.server, MoveKind.RESIZE, flavor_id=flavor_id)
    return empty(202)


async def _migrate(action: Action) -> Response:
    action.requires_admin("os-migrate-server:migrate")
    host = parse(Migrate, action.argument or {}, action.version).host
    begin(Verb.MIGRATE, action.server.vm_state, action.server.task_state)
    await action.services.db.read(move_checks.check_target, action.server, host)
    await start_moves.move(action.services, action.context, action.server, MoveKind.MIGRATE, host=host)
    return empty(202)


async def _confirm(action: Action) -> Response:
    action.takes_no_argument()
    await start_moves.end_move(action.services, action.context, action.server, Verb.CONFIRM_RESIZE)
    return empty(204)


async def _revert(action: Action) -> Response:
    action.takes_no_argument()
    await start_moves.end_move(action.services, action.context, action.server, Verb.REVERT_RESIZE)
    return empty(202)


async def _rebuild(action: Action) -> Response:
    """Answers with the server as it will be."""
    wanted = parse(Rebuild, action.argument, action.version)
    boot_request.check_user_data(wanted.user_data, action.services.settings.limits.user_data_bytes)
    given = wanted.model_fields_set & Rebuilt.model_fields.keys()
    changes = wanted.model_dump(include=given)
    for address in ("access_ip_v4", "access_ip_v6"):
        if address in changes:
            changes[address] = changes[address] or None
    rebuild = move_requests.Rebuild(
        image_id=boot_request.canonical(wanted.image),
        changes=changes,
        new_user_data="user_data" in wanted.model_fields_set,
    )
    await _check(action, MoveKind.REBUILD, rebuild=rebuild)
    await start_moves.move(
        action.services, action.context, action.server, MoveKind.REBUILD, rebuild=rebuild, user_data=wanted.user_data
    )
    server = (await action.services.db.read(servers.get, action.server.id)).moved
    around = await action.services.db.read(surroundings_of, server)
    shown = view.after_rebuild(server, around, action.context, action.version, action.services.settings)
    shown["adminPass"] = wanted.admin_password or boot_request.password()
    return JSONResponse({"server": shown}, 202)


async def _evacuate(action: Action) -> Response:
    action.requires_admin("os-evacuate")
    wanted = parse(Evacuate, action.argument, action.version)
    begin(Verb.EVACUATE, action.server.vm_state, action.server.task_state)
    since = time.time() - action.services.settings.scheduler.host_down_seconds
    await action.services.db.read(move_checks.check_evacuation, action.server, wanted.host, since)
    await start_moves.move(action.services, action.context, action.server, MoveKind.EVACUATE, host=wanted.host)
    if action.version > 13:
        return empty(200)
    return JSONResponse({"adminPass": wanted.admin_password or boot_request.password()})


async def _check(
    action: Action,
    kind: MoveKind,
    *,
    flavor_id: str | None = None,
    rebuild: move_requests.Rebuild | None = None,
) -> None:
    """The cheap reads, so that what can't work costs no history."""
    begin(Verb(kind), action.server.vm_state, action.server.task_state)
    aliases = action.services.settings.scheduler.pci_alias
    await action.services.db.read(move_requests.resolve, action.server, kind, flavor_id, rebuild, aliases)


ACTIONS: dict[str, Callable[[Action], Awaitable[Response]]] = {
    "resize": _resize,
    "confirmResize": _confirm,
    "revertResize": _revert,
    "migrate": _migrate,
    "rebuild": _rebuild,
    "evacuate": _evacuate,
}
