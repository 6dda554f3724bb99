"""How the API has volumes attached and detached, and their data worked on."""

from typing import Any

from temporalio.client import WithStartWorkflowOperation
from temporalio.common import Priority, WorkflowIDConflictPolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from activities.attachments import BeginAttach, BeginDetach, BegunAttach
from activities.volume_data import DataRef
from api import start
from api.auth import Context
from api.deps import Services
from infra.db.admission import attachment_id
from infra.domain.errors import Conflict, Unavailable
from infra.domain.server import Server
from infra.temporal import attributes
from infra.temporal.queues import CONTROL
from workflows import policies
from workflows.attach_volume import AttachParams, AttachVolume
from workflows.detach_volume import DetachParams, DetachVolume
from workflows.volume_work import VolumeWork


async def attach(
    services: Services,
    context: Context,
    server: Server,
    volume_id: str,
    *,
    device: str | None = None,
    delete_on_termination: bool = False,
) -> BegunAttach:
    """Reserve the volume for the server and start attaching it; the answer names the device."""
    begin_attach = BeginAttach(
        server_id=server.id,
        volume_id=volume_id,
        # A later attachment of the same volume to the same server is another one: its fence is its own.
        attachment_id=attachment_id(server.id, f"{volume_id}/{context.request_id}"),
        project_id=context.project_id,
        user_id=context.user_id,
        request_id=context.request_id,
        device=device,
        delete_on_termination=delete_on_termination,
    )
    token = services.sealer.seal(context.token, server_id=server.id, field="token")
    operation = _on_volume(
        AttachVolume.run, AttachParams(begin=begin_attach, token=token), server, volume_id, "attaching"
    )
    answer = await _admit_or_conflict(services, operation, AttachVolume.admission, context.request_id, volume_id)
    return BegunAttach.model_validate(answer)


async def detach(services: Services, context: Context, server: Server, volume_id: str) -> None:
    """Start taking the volume out of the server; returns when it is ``detaching``."""
    begin_detach = BeginDetach(
        server_id=server.id,
        volume_id=volume_id,
        project_id=context.project_id,
        user_id=context.user_id,
        request_id=context.request_id,
    )
    token = services.sealer.seal(context.token, server_id=server.id, field="token")
    operation = _on_volume(
        DetachVolume.run, DetachParams(begin=begin_detach, token=token), server, volume_id, "detaching"
    )
    await _admit_or_conflict(services, operation, DetachVolume.admission, context.request_id, volume_id)


async def work_on(services: Services, volume_id: str, kind: str = "volume") -> None:
    """Have the data of a volume or snapshot brought to what its row says.

    Raises:
        Unavailable: Temporal does not answer. The row says what is to be done, so the sweeper starts it later.
    """
    try:
        await services.temporal.start_workflow(
            VolumeWork.run,
            DataRef(id=volume_id, kind=kind),
            id=f"{kind}/{volume_id}",
            task_queue=CONTROL,
            # A run that is about to close sees the signal first, and looks again.
            start_signal="poke",
            task_timeout=policies.TASK_TIMEOUT,
            static_summary=f"{kind} {volume_id}",
            rpc_timeout=policies.UPDATE_TIMEOUT,
        )
    except RPCError as error:
        raise Unavailable("The workflow service does not answer; the volume is worked on later.") from error


async def _admit_or_conflict(
    services: Services, operation: WithStartWorkflowOperation[Any, Any], update: Any, request_id: str, volume_id: str
) -> Any:
    try:
        return await start.admit(services, operation, update, None, request_id)
    except WorkflowAlreadyStartedError:
        raise Conflict(f"Volume {volume_id} is being attached or detached already.") from None


def _on_volume(
    run: Any, params: Any, server: Server, volume_id: str, phase: str
) -> WithStartWorkflowOperation[Any, Any]:
    return WithStartWorkflowOperation(
        run,
        params,
        id=f"server/{server.id}/volume/{volume_id}",
        task_queue=CONTROL,
        id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
        task_timeout=policies.TASK_TIMEOUT,
        search_attributes=attributes.initial(server.id, server.project_id, phase),
        static_summary=f"{phase} volume {volume_id}",
        priority=Priority(priority_key=policies.VERB_PRIORITY),
    )
