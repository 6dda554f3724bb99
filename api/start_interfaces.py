"""How the API has network interfaces attached to servers that are there, and detached."""

import time
import uuid
from typing import Any

from temporalio.client import WithStartWorkflowOperation
from temporalio.common import Priority, WorkflowIDConflictPolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.interfaces import BeginDetachInterface, BeginInterface
from api import start
from api.auth import Context
from api.deps import Services
from infra.db import interfaces
from infra.db.interfaces import InterfaceWish
from infra.domain.errors import Conflict
from infra.domain.server import Server
from infra.temporal import attributes
from infra.temporal.queues import CONTROL
from workflows import policies
from workflows.attach_interface import AttachInterface, AttachInterfaceParams
from workflows.detach_interface import DetachInterface, DetachInterfaceParams


async def attach(services: Services, context: Context, server: Server, wish: InterfaceWish) -> str:
    """Start giving the server an interface; returns its port's id when that is bound to the server.

    Raises:
        KilonovaError: the refusal, by its OpenStack code; nothing is left of the request.
    """
    names = uuid.UUID(server.id)
    port_id = wish.port_id or str(uuid.uuid5(names, f"port/{context.request_id}"))
    begin = BeginInterface(
        server_id=server.id,
        port_id=port_id,
        # The same port may go and come again: each time it is another attachment, with a fence of its own.
        attachment_id=str(uuid.uuid5(names, f"interface/{port_id}/{context.request_id}")),
        user_id=context.user_id,
        op=context.request_id,
        created=wish.port_id is None,
        network_id=wish.network_id,
        fixed_ip=wish.fixed_ip,
        tag=wish.tag,
        any_project=wish.any_project,
    )
    token = services.sealer.seal(context.token, server_id=server.id, field="token")
    params = AttachInterfaceParams(begin=begin, token=token)
    await _run(services, context, server, port_id, "attaching", AttachInterface, params)
    return port_id


async def detach(services: Services, context: Context, server: Server, port_id: str) -> None:
    """Start taking the interface out of the server; returns when its port is held for that. Raises as ``attach``."""
    begin = BeginDetachInterface(server_id=server.id, port_id=port_id, user_id=context.user_id, op=context.request_id)
    await _run(services, context, server, port_id, "detaching", DetachInterface, DetachInterfaceParams(begin=begin))


async def _run(
    services: Services, context: Context, server: Server, port_id: str, phase: str, workflow: Any, params: Any
) -> None:
    deadline = time.monotonic() + start.HELD_SECONDS
    while True:
        operation: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
            workflow.run,
            params,
            id=interfaces.workflow_id(server.id, port_id),
            task_queue=CONTROL,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            task_timeout=policies.TASK_TIMEOUT,
            search_attributes=attributes.initial(server.id, server.project_id, phase),
            static_summary=f"{phase} port {port_id}",
            priority=Priority(priority_key=policies.VERB_PRIORITY),
        )
        try:
            await start.admit(services, operation, workflow.admission, None, context.request_id)
            return
        except WorkflowAlreadyStartedError:
            # What is attached or gone by its row may have a run that has yet to close.
            changing = await services.db.read(interfaces.of_server, server.id)
            if port_id in changing or time.monotonic() > deadline:
                raise Conflict(f"Port {port_id} is being attached or detached already.", kind="PortInUse") from None
