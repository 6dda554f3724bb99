"""How the API has servers moved: resized, migrated, rebuilt, evacuated, rescued, unshelved, and what follows."""

import time
from typing import Any

from activities.models import Requester
from activities.moves import BeginEnd, BeginMove
from api import start
from api.auth import Context
from api.deps import Services
from infra.db.move_requests import Rebuild
from infra.domain.move import MoveKind
from infra.domain.server import Server, Verb
from workflows.confirm_resize import ConfirmResize
from workflows.end_move import EndMoveParams
from workflows.evacuate_server import EvacuateServer
from workflows.moving import MoveParams
from workflows.rebuild_server import RebuildServer
from workflows.rescue_server import RescueServer
from workflows.resize_server import ResizeServer
from workflows.revert_resize import RevertResize
from workflows.unrescue_server import UnrescueServer
from workflows.unshelve_server import UnshelveServer

_MOVES: dict[MoveKind, Any] = {
    MoveKind.RESIZE: ResizeServer,
    MoveKind.MIGRATE: ResizeServer,
    MoveKind.REBUILD: RebuildServer,
    MoveKind.EVACUATE: EvacuateServer,
    MoveKind.RESCUE: RescueServer,
    MoveKind.UNSHELVE: UnshelveServer,
}
_ENDS: dict[Verb, Any] = {
    Verb.CONFIRM_RESIZE: ConfirmResize,
    Verb.REVERT_RESIZE: RevertResize,
    Verb.UNRESCUE: UnrescueServer,
}


async def move(
    services: Services,
    context: Context,
    server: Server,
    kind: MoveKind,
    *,
    flavor_id: str | None = None,
    rebuild: Rebuild | None = None,
    user_data: str | None = None,
    image_id: str | None = None,
    zone: tuple[str | None] | None = None,
    host: str | None = None,
) -> None:
    """Returns when the move holds the server.

    Args:
        image_id: of a rescue; None is the server's own.
        zone: the availability zone from now on (None: any), of an unshelve that names one.
        user_data: base64, of a rebuild that has new one.
        host: an administrator's choice.

    Raises:
        KilonovaError: the refusal, by its OpenStack code.
    """
    settings, seal = services.settings, services.sealer.seal
    begin = BeginMove(
        server_id=server.id,
        op=context.request_id,
        kind=kind,
        user_id=context.user_id,
        flavor_id=flavor_id,
        rebuild=rebuild.model_dump(mode="json") if rebuild is not None else None,
        user_data=seal(user_data, server_id=server.id, field="user_data") if user_data else None,
        image_id=image_id,
        rezoned=zone is not None,
        zone=zone[0] if zone is not None else None,
        host=host,
        silent_since=time.time() - settings.scheduler.host_down_seconds,
    )
    params = MoveParams(
        requester=Requester(
            request_id=context.request_id,
            project_id=context.project_id,
            user_id=context.user_id,
            token=seal(context.token, server_id=server.id, field="token"),
            token_server_id=server.id,
            is_admin=context.is_admin,
        ),
        begin=begin,
        name=server.name[:60],
        max_attempts=settings.scheduler.max_attempts,
        seconds=settings.limits.move_seconds,
        to_same_host=settings.scheduler.allow_resize_to_same_host,
        to_host=host,
    )
    await start.hold(services, context, server, Verb(kind), _MOVES[kind].run, params)


async def end_move(services: Services, context: Context, server: Server, verb: Verb) -> None:
    """Confirm a move or take it back, or end a rescue; returns when that holds the server. Raises as ``move`` does."""
    begin = BeginEnd(server_id=server.id, op=context.request_id, verb=verb, user_id=context.user_id)
    params = EndMoveParams(begin=begin, name=server.name[:60])
    await start.hold(services, context, server, verb, _ENDS[verb].run, params)
