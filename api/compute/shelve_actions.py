"""``shelve``, ``shelveOffload`` and ``unshelve`` (Compute API reference, "Servers - run an action")."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Response
from pydantic import Field, model_validator

from api import start, start_image, start_moves
from api.compute.action import Action
from api.compute.common import empty
from api.compute.schemas.servers import HostName, Zone
from api.compute.wire import Versions, Wire, parse
from infra.db import hosts, move_checks
from infra.domain.errors import BadRequest
from infra.domain.move import MoveKind
from infra.domain.server import Verb
from infra.domain.transitions import begin
from workflows.offload_server import OffloadParams, OffloadServer

_ZONES, _HOSTS = 77, 91


class Unshelve(Wire):
    zone: Annotated[Zone | None, Field(alias="availability_zone")] = None
    host: Annotated[HostName | None, Versions(_HOSTS)] = None

    @model_validator(mode="after")
    def _names_something(self) -> "Unshelve":
        if not self.model_fields_set:
            raise ValueError("an availability zone or a host is missing")
        if "host" in self.model_fields_set and self.host is None:
            raise ValueError("host must not be null")
        return self


async def _shelve(action: Action) -> Response:
    action.takes_no_argument()
    begin(Verb.SHELVE, action.server.vm_state, action.server.task_state)
    await start_image.shelve(action.services, action.context, action.server)
    return empty(202)


async def _offload(action: Action) -> Response:
    action.takes_no_argument()
    action.requires_admin("os-shelve:shelve_offload")
    verb = Verb.SHELVE_OFFLOAD
    params = OffloadParams(begin=start.begin_verb(action.context, action.server, verb), name=action.server.name[:60])
    await start.hold(action.services, action.context, action.server, verb, OffloadServer.run, params)
    return empty(202)


async def _unshelve(action: Action) -> Response:
    """Users name a zone from 2.77 on, and null for any from 2.91 on; administrators a host."""
    wanted = None
    if action.argument is not None and action.version >= _ZONES:
        wanted = parse(Unshelve, action.argument, action.version)
    else:
        action.takes_no_argument()
    begin(Verb.UNSHELVE, action.server.vm_state, action.server.task_state)
    zone, host = None, None
    if wanted is not None:
        host = wanted.host
        zone = (wanted.zone,) if "zone" in wanted.model_fields_set else None
        if zone == (None,) and action.version < _HOSTS:
            raise BadRequest("Invalid input for field/attribute availability_zone: it is not a string.")
        if host is not None:
            action.requires_admin("os-shelve:unshelve_to_host")
        if wanted.zone is not None and wanted.zone not in await action.services.db.read(hosts.zones):
            raise BadRequest("The requested availability zone is not available")
        await action.services.db.read(move_checks.check_target, action.server, host)
    await start_moves.move(action.services, action.context, action.server, MoveKind.UNSHELVE, zone=zone, host=host)
    return empty(202)


ACTIONS: dict[str, Callable[[Action], Awaitable[Response]]] = {
    "shelve": _shelve,
    "shelveOffload": _offload,
    "unshelve": _unshelve,
}
