"""How the API has work done: it starts workflows by update-with-start and waits for their admission, nothing else.

The update's id is the request's id, so that the SDK's own retry after a lost reply finds the first call. A refusal
comes back with its OpenStack code; where Temporal gives no answer in time the caller is told to come back.
"""

import contextlib
import time
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio.client import (
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import Priority, WorkflowIDConflictPolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.base import Failure
from activities.hypervisor import ReadConsole
from activities.models import Requester
from activities.records import BeginVerb, CreateServers
from api.auth import Context
from api.deps import Services
from infra.db import servers
from infra.domain.boot import ServerSpec
from infra.domain.errors import Conflict, KilonovaError, Unavailable
from infra.domain.server import Server, Verb
from infra.domain.transitions import begin
from infra.temporal import attributes
from infra.temporal.queues import CONTROL
from workflows import policies
from workflows.boot_server import BootParams, BootServer
from workflows.boot_servers import BootServers
from workflows.delete_server import DeleteServer
from workflows.failures import cause_of
from workflows.power_server import PowerParams, PowerServer
from workflows.read_console import ConsoleParams, ReadConsoleLog
from workflows.verb import DeleteParams, DeleteRequest

HELD_SECONDS = 10.0
"""How long a verb waits for the run before it, whose row is free already, to close."""
_NAMESPACE = uuid.UUID("6f1d7d0a-7c59-4f0e-9d34-2f5f0f6b1c55")


@dataclass(frozen=True)
class Booted:
    server_ids: tuple[str, ...]
    reservation_id: str


async def boot(services: Services, context: Context, spec: ServerSpec, *, idempotency_key: str | None = None) -> Booted:
    """Start a boot; returns when the request is durable and its rows are there.

    Raises:
        KilonovaError: the refusal, by its OpenStack code; nothing is left of the request.
        Unavailable: no answer in time; the same request may be sent again.
    """
    first = str(uuid.uuid5(_NAMESPACE, f"{context.project_id}/{idempotency_key}") if idempotency_key else uuid.uuid4())
    if idempotency_key and await _is_made(services, first):
        return Booted((first,), _reservation(first))
    ids = (first, *(str(uuid.uuid4()) for _ in range(spec.max_count - 1)))
    reservation = _reservation(first)
    seal = services.sealer.seal
    bare = spec.model_copy(update={"user_data": None, "admin_password": None})
    create = CreateServers(
        server_ids=ids,
        reservation_id=reservation,
        request_id=context.request_id,
        project_id=context.project_id,
        user_id=context.user_id,
        is_admin=context.is_admin,
        spec=bare.model_dump(mode="json", exclude_defaults=True),
        user_data=seal(spec.user_data, server_id=first, field="user_data") if spec.user_data else None,
        admit_before=time.time() + policies.ADMIT_SECONDS,
    )
    params = BootParams(
        requester=Requester(
            request_id=context.request_id,
            project_id=context.project_id,
            user_id=context.user_id,
            token=seal(context.token, server_id=first, field="token"),
            token_server_id=first,
            is_admin=context.is_admin,
        ),
        create=create,
        max_attempts=services.settings.scheduler.max_attempts,
        boot_seconds=services.settings.limits.boot_seconds,
    )
    several = spec.max_count > 1
    operation = WithStartWorkflowOperation(
        BootServers.run if several else BootServer.run,
        params,
        id=f"reservation/{reservation}-{first}" if several else f"server/{first}",
        task_queue=CONTROL,
        # The same Idempotency-Key again: an open run answers both, and one that ended as refused is tried anew.
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        task_timeout=policies.TASK_TIMEOUT,
        search_attributes=attributes.initial(first, context.project_id, "admission"),
        static_summary=f"boot {_plain(spec.name)}",
        priority=Priority(priority_key=policies.BOOT_PRIORITY, fairness_key=context.project_id[:64]),
    )
    try:
        if several:
            created = await admit(services, operation, BootServers.admission, None, context.request_id)
            ids = tuple(entry["server_id"] for entry in created["servers"])
        else:
            await admit(services, operation, BootServer.admission, None, context.request_id)
    except Unavailable:
        if not await _is_made(services, first):
            await _cancel(services, operation)
            raise
    return Booted(ids, reservation)


async def run_verb(services: Services, context: Context, server: Server, verb: Verb) -> None:
    """Start stop, start, reboot, ...; returns when the verb holds the server."""
    params = PowerParams(server_id=server.id, name=server.name[:60], begin=begin_verb(context, server, verb))
    await hold(services, context, server, verb, PowerServer.run, params)


def begin_verb(context: Context, server: Server, verb: Verb) -> BeginVerb:
    return BeginVerb(server_id=server.id, op=context.request_id, verb=verb, user_id=context.user_id)


async def hold(services: Services, context: Context, server: Server, verb: Verb, run: Any, params: Any) -> None:
    """Start a verb's run; returns when its ``admission`` says that the verb holds the server.

    Raises:
        Conflict: the server is in the wrong state, or another verb holds it.
        KilonovaError: as ``boot``.
    """
    begin(verb, server.vm_state, server.task_state)
    deadline = time.monotonic() + HELD_SECONDS
    while True:
        operation = WithStartWorkflowOperation(
            run,
            params,
            id=f"server/{server.id}",
            task_queue=CONTROL,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            task_timeout=policies.TASK_TIMEOUT,
            search_attributes=attributes.initial(server.id, server.project_id, verb),
            static_summary=f"{verb} {_plain(server.name)}",
            priority=Priority(priority_key=policies.VERB_PRIORITY),
        )
        try:
            await admit(services, operation, "admission", None, context.request_id)
            return
        except WorkflowAlreadyStartedError:
            # The row says that nobody holds the server before the run that held it has closed.
            current = await services.db.read(servers.get, server.id)
            begin(verb, current.vm_state, current.task_state)
            if time.monotonic() > deadline:
                raise Conflict(f"Cannot '{verb}' instance while another request holds it") from None


async def delete(services: Services, context: Context, server: Server) -> None:
    """Take the server for its deletion, whatever holds it; returns when its row says ``deleting``."""
    request = DeleteRequest(request_id=context.request_id, user_id=context.user_id)
    deadline = time.monotonic() + HELD_SECONDS
    while True:
        operation = WithStartWorkflowOperation(
            DeleteServer.run,
            DeleteParams(server_id=server.id, request=request),
            id=f"server/{server.id}",
            task_queue=CONTROL,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            task_timeout=policies.TASK_TIMEOUT,
            search_attributes=attributes.initial(server.id, server.project_id, "deleting"),
            static_summary=f"delete {_plain(server.name)}",
            priority=Priority(priority_key=policies.DELETE_PRIORITY),
        )
        try:
            await admit(services, operation, "delete", request, context.request_id)
            return
        except _Overtaken:
            # The run that held the server closed while the delete was on its way to it.
            if time.monotonic() > deadline:
                raise


async def console_log(services: Services, context: Context, server: Server, length: int | None) -> str:
    """The last ``length`` lines of the guest's console (all, at most 100 KiB, for None).

    Raises:
        Conflict: the server is on no host.
        Unavailable: its host does not answer.
    """
    if server.host is None:
        raise Conflict(f"Instance {server.id} is not ready")
    params = ConsoleParams(host=server.host, read=ReadConsole(server_id=server.id, lines=length))
    try:
        text = await services.temporal.execute_workflow(
            ReadConsoleLog.run,
            params,
            id=f"console/{context.request_id}",
            task_queue=CONTROL,
            task_timeout=policies.TASK_TIMEOUT,
            run_timeout=timedelta(seconds=30),
            static_summary=f"console log {_plain(server.name)}",
        )
    except Exception as error:
        raise Unavailable(f"The host of instance {server.id} does not answer.") from error
    return text.text


class _Overtaken(Unavailable):
    """The run completed or moved on before it could take the update."""

    def __init__(self) -> None:
        super().__init__("The server is busy; send the request again.", retry_after=1)


async def admit(
    services: Services, operation: WithStartWorkflowOperation[Any, Any], update: Any, argument: Any, update_id: str
) -> Any:
    """Start with the update and wait for its answer.

    Raises:
        KilonovaError: the refusal.
        WorkflowAlreadyStartedError: a run with this id is open, or was before where that is final.
        _Overtaken: the open run could not take the update.
        Unavailable: no answer.
    """
    arguments = {} if argument is None else {"arg": argument}
    try:
        return await services.temporal.execute_update_with_start_workflow(
            update,
            **arguments,
            id=update_id,
            start_workflow_operation=operation,
            rpc_timeout=policies.UPDATE_TIMEOUT,
        )
    except WorkflowUpdateFailedError as error:
        cause: BaseException = error.cause or error
        if getattr(cause, "type", None) == "AcceptedUpdateCompletedWorkflow":
            raise _Overtaken() from error
        raise _refusal(cause_of(cause)) from None
    except WorkflowUpdateRPCTimeoutOrCancelledError as error:
        raise Unavailable("The request could not be admitted in time; send it again.", retry_after=5) from error
    except RPCError as error:
        if error.status in (RPCStatusCode.ABORTED, RPCStatusCode.NOT_FOUND, RPCStatusCode.FAILED_PRECONDITION):
            raise _Overtaken() from error
        raise Unavailable("The workflow service does not answer; send the request again.") from error
    finally:
        # The operation keeps its error too, and asyncio logs with a traceback what nobody asked for.
        with contextlib.suppress(Exception):
            await operation.workflow_handle()


def _refusal(failure: Failure) -> KilonovaError:
    if failure.code >= 500 and failure.kind in ("Unavailable", "Lapsed", "TimedOut", "Cancelled"):
        return Unavailable(failure.message)
    error = KilonovaError(failure.message, kind=failure.kind or None)
    error.code = failure.code
    return error


def _reservation(server_id: str) -> str:
    return f"r-{server_id.replace('-', '')[:8]}"


async def _is_made(services: Services, server_id: str) -> bool:
    """Whether the server has been admitted. Raises NotFound if it was deleted since."""
    if await services.db.read(servers.find, server_id) is None:
        return False
    await services.db.read(servers.get, server_id)
    return True


async def _cancel(services: Services, operation: WithStartWorkflowOperation[Any, Any]) -> None:
    """Best effort: an admission later than its ``admit_before`` creates nothing in any case."""
    try:
        handle = await operation.workflow_handle()
        await handle.cancel()
    except (RPCError, WorkflowAlreadyStartedError, RuntimeError):
        return


def _plain(name: str) -> str:
    """A name for a summary: one line, nothing that Markdown would draw."""
    return "".join(c if c.isalnum() or c in " -_." else "?" for c in name)[:60]
