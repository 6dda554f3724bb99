"""Why a server is where it is, and where one would go: what no OpenStack API answers.

Users get counts; operators the names of hosts, the weights and the seed, with which the same choice can be made again.
"""

import uuid
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request
from sqlmodel import Session

from api.auth import Context, MemberDep, ReaderDep
from api.compute import boot_request
from api.compute.common import ReadableServer
from api.compute.prechecks import look_up
from api.compute.schemas.servers import CreateServerRequest
from api.compute.wire import body
from api.deps import Services, ServicesDep
from infra.db import explanations
from infra.domain.boot import ServerSpec
from infra.domain.pci import PciAlias
from infra.domain.placement import Explanation, PlacementRequest

if TYPE_CHECKING:
    from infra.scheduler.service import Scheduler

router = APIRouter()


@router.get("/servers/{server_id}/placement-explanation")
async def show(server: ReadableServer, context: ReaderDep, found: ServicesDep) -> dict[str, Any]:
    """Every attempt at the server, in order: hosts evaluated, removed by each filter, short of what."""
    kept = await found.db.read(explanations.of_server, server.id)
    attempts = [{"attempt": number, **_shown(told, context)} for number, told in kept.items()]
    return {"placement_explanation": {"server_id": server.id, "attempts": attempts}}


@router.post("/servers/placement-dry-run")
async def dry_run(
    request: Request,
    context: MemberDep,
    wanted: Annotated[CreateServerRequest, body(CreateServerRequest)],
    found: ServicesDep,
    seed: Annotated[str | None, Query(max_length=64)] = None,
) -> dict[str, Any]:
    """Where the server of this boot request would go now, and why not elsewhere. Nothing is claimed or kept.

    The same hosts, request and ``seed`` give the same choice; without a seed hosts of equal weight come in any order.
    """
    spec = boot_request.server_spec(wanted, context, found.settings)
    aliases = found.settings.scheduler.pci_alias
    placement = await found.db.read(_placement_request, spec, context, seed, aliases)
    told = await _scheduler(request, found).dry_run(placement)
    return {"placement_explanation": _shown(told, context)}


def _scheduler(request: Request, found: Services) -> "Scheduler":
    # Columns of all hosts are much to load and to keep for an API that is never asked this.
    from infra.scheduler.service import Scheduler

    state = request.app.state
    if not hasattr(state, "scheduler"):
        state.scheduler = Scheduler(found.db, found.settings.scheduler)
    scheduler: Scheduler = state.scheduler
    return scheduler


def _shown(told: Explanation, context: Context) -> dict[str, Any]:
    placed = told.chosen is not None
    shown = told if context.is_admin else told.for_users()
    return {"placed": placed, "reason": None if placed else told.sentence, **shown.model_dump(mode="json")}


def _placement_request(
    session: Session, spec: ServerSpec, context: Context, seed: str | None, aliases: tuple[PciAlias, ...]
) -> PlacementRequest:
    resolved = look_up(session, spec, context, 1, aliases)
    zone, _, host = (spec.availability_zone or "").partition(":")
    return PlacementRequest(
        server_id=str(uuid.uuid4()),
        project_id=context.project_id,
        flavor=resolved.flavor,
        image_id=resolved.image.id if resolved.image else None,
        image_properties=resolved.image.properties if resolved.image else {},
        volume_backed=resolved.image is None,
        availability_zone=zone or None,
        forced_host=host or spec.host or None,
        hints=spec.scheduler_hints,
        seed=seed,
    )
