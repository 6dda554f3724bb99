"""``POST /servers/{id}/action`` (Compute API reference, "Servers - run an action")."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field, model_validator

from api import start
from api.auth import MemberDep
from api.compute import group_actions, image_actions, move_actions, rescue_actions, shelve_actions
from api.compute.action import Action
from api.compute.common import Locked, NotImplementedHere, OwnServer, empty
from api.compute.group_actions import GroupArgument
from api.compute.wire import Integer, Printable, Wire, json_body, parse
from api.deps import ServicesDep
from infra.db import server_details
from infra.domain.errors import BadRequest, Conflict
from infra.domain.server import Verb, VmState

router = APIRouter()
_LOCK_REASONS = 73
_MISSING = (
    *("addFixedIp", "removeFixedIp", "addFloatingIp", "removeFloatingIp"),
    *("changePassword", "injectNetworkInfo"),
    *("os-getRDPConsole", "os-getSerialConsole", "os-getSPICEConsole", "os-getVNCConsole"),
    *("os-migrateLive", "resetNetwork", "trigger_crash_dump"),
)


class Reboot(Wire):
    type: Literal["SOFT", "HARD"]

    @model_validator(mode="before")
    @classmethod
    def _any_case(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("type"), str):
            return {**data, "type": data["type"].upper()}
        return data


class ConsoleOutput(Wire):
    length: Annotated[Integer, Field(ge=-1, le=2**31 - 1)] | None = None


class Lock(Wire):
    locked_reason: Annotated[Printable, Field(min_length=1)] | None = None


class ResetState(Wire):
    state: Literal["active", "error"]


@router.post("/servers/{server_id}/action")
async def act(request: Request, server: OwnServer, context: MemberDep, found: ServicesDep) -> Response:
    """The body is one action by name, with its argument."""
    asked = await json_body(request)
    if not isinstance(asked, dict) or len(asked) != 1:
        raise BadRequest("The body must hold one action and nothing else.")
    name, argument = next(iter(asked.items()))
    if name in _MISSING:
        raise NotImplementedHere(f"The action {name} is not available.")
    if name not in _ACTIONS:
        raise BadRequest("There is no such action.")
    if server.locked and name not in _ALLOWED_WHEN_LOCKED and not context.is_admin:
        raise Locked(f"Instance {server.id} is locked")
    return await _ACTIONS[name](Action(name, argument, server, context, found, request.scope["microversion"]))


async def _power(action: Action) -> Response:
    action.takes_no_argument()
    await start.run_verb(action.services, action.context, action.server, _VERBS[action.name])
    return empty(202)


async def _reboot(action: Action) -> Response:
    hard = parse(Reboot, action.argument, action.version).type == "HARD"
    await start.run_verb(action.services, action.context, action.server, Verb.REBOOT_HARD if hard else Verb.REBOOT_SOFT)
    return empty(202)


async def _console(action: Action) -> Response:
    length = parse(ConsoleOutput, action.argument or {}, action.version).length
    unlimited = length is None or length < 0
    text = await start.console_log(action.services, action.context, action.server, None if unlimited else length)
    return JSONResponse({"output": text})


async def _create_image(action: Action) -> Response:
    wanted = parse(image_actions.CreateImage, action.argument, action.version)
    return await image_actions.create_image(action.services, action.context, action.server, wanted, action.version)


async def _create_backup(action: Action) -> Response:
    wanted = parse(image_actions.CreateBackup, action.argument, action.version)
    return await image_actions.create_backup(action.services, action.context, action.server, wanted, action.version)


async def _lock(action: Action) -> Response:
    reason = None
    if action.argument not in (None, {}):
        if action.version < _LOCK_REASONS:
            raise BadRequest("Invalid input for field/attribute lock: it takes no argument.")
        reason = parse(Lock, action.argument, action.version).locked_reason
    await action.services.db.write(server_details.set_lock, action.server.id, True, reason)
    return empty(202)


async def _unlock(action: Action) -> Response:
    await action.services.db.write(server_details.set_lock, action.server.id, False)
    return empty(202)


async def _reset_state(action: Action) -> Response:
    action.requires_admin("os-admin-actions:reset_state")
    state = VmState(parse(ResetState, action.argument, action.version).state)
    await action.services.db.write(server_details.reset_state, action.server.id, state)
    return empty(202)


async def _force_delete(action: Action) -> Response:
    action.takes_no_argument()
    await start.delete(action.services, action.context, action.server)
    return empty(204)


async def _restore(action: Action) -> Response:
    """Deletes are never put off (Nova's ``reclaim_instance_interval`` of 0), so no server waits to be restored."""
    action.takes_no_argument()
    raise Conflict(f"Cannot 'restore' instance {action.server.id} while it is in vm_state {action.server.vm_state}")


async def _add_group(action: Action) -> Response:
    name = parse(GroupArgument, action.argument, action.version).name
    await action.services.db.write(group_actions.add, action.server, name)
    return empty(202)


async def _remove_group(action: Action) -> Response:
    name = parse(GroupArgument, action.argument, action.version).name
    await action.services.db.write(group_actions.remove, action.server, name)
    return empty(202)


_VERBS = {
    "os-start": Verb.START,
    "os-stop": Verb.STOP,
    "pause": Verb.PAUSE,
    "unpause": Verb.UNPAUSE,
    "suspend": Verb.SUSPEND,
    "resume": Verb.RESUME,
}
_ACTIONS: dict[str, Callable[[Action], Awaitable[Response]]] = {
    **dict.fromkeys(_VERBS, _power),
    "reboot": _reboot,
    "os-getConsoleOutput": _console,
    "createImage": _create_image,
    "createBackup": _create_backup,
    "lock": _lock,
    "unlock": _unlock,
    "os-resetState": _reset_state,
    "forceDelete": _force_delete,
    "restore": _restore,
    "addSecurityGroup": _add_group,
    "removeSecurityGroup": _remove_group,
    **move_actions.ACTIONS,
    **rescue_actions.ACTIONS,
    **shelve_actions.ACTIONS,
}
_ALLOWED_WHEN_LOCKED = ("lock", "unlock", "os-getConsoleOutput")
