"""The server's face to clients: the requests of ``temporalio.client``, as messages."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from google.protobuf.message import Message
from temporalio.api.common.v1 import GrpcStatus
from temporalio.api.enums.v1 import (
    UpdateWorkflowExecutionLifecycleStage,
    WorkflowIdConflictPolicy,
    WorkflowIdReusePolicy,
)
from temporalio.api.errordetails.v1 import MultiOperationExecutionFailure, WorkflowExecutionAlreadyStartedFailure
from temporalio.api.workflowservice import v1 as api
from temporalio.bridge.proto.workflow_activation import InitializeWorkflow
from temporalio.client import Client
from temporalio.converter import DataConverter
from temporalio.plugin import SimplePlugin
from temporalio.service import ConnectConfig, RPCError, RPCStatusCode, _BridgeServiceClient

from tests.engine.engine import Engine, Execution, Update
from tests.engine.messages import Job

_POLL_SECONDS = 20.0
"""How long a client's question waits for its answer, before it is asked again."""
_COMPLETED = UpdateWorkflowExecutionLifecycleStage.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED
_ACCEPTED = UpdateWorkflowExecutionLifecycleStage.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED
_ADMITTED = UpdateWorkflowExecutionLifecycleStage.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ADMITTED


def connect(engine: Engine, data_converter: DataConverter, plugins: list[SimplePlugin]) -> Client:
    """A client of this engine. Its workers need ``core.in_place``."""
    return Client(_Service(engine), namespace=engine.namespace, data_converter=data_converter, plugins=plugins)


class _Service(_BridgeServiceClient):
    def __init__(self, engine: Engine) -> None:
        super().__init__(ConnectConfig(target_host="in-process"))
        self._engine = engine
        # Never called: it tells workers whose they are.
        self._bridge_client = SimpleNamespace(engine=engine)  # type: ignore[assignment]

    async def _rpc_call(
        self,
        rpc: str,
        req: Message,
        resp_type: Any,
        *,
        service: str,
        retry: bool,
        metadata: Mapping[str, str | bytes],
        timeout: timedelta | None,
    ) -> Any:
        call = getattr(self, f"_{rpc}", None)
        if call is None:
            raise _error(RPCStatusCode.UNIMPLEMENTED, f"This engine does not do {rpc}.")
        try:
            async with asyncio.timeout(None if timeout is None else timeout.total_seconds()):
                return await call(req)
        except TimeoutError:
            raise _error(RPCStatusCode.DEADLINE_EXCEEDED, "The request's time is over.") from None

    # -- starting

    async def _start_workflow_execution(
        self, request: api.StartWorkflowExecutionRequest
    ) -> api.StartWorkflowExecutionResponse:
        execution, jobs = self._start(request)
        execution.run.told(*jobs)
        return api.StartWorkflowExecutionResponse(run_id=execution.run.run_id, started=bool(jobs))

    async def _signal_with_start_workflow_execution(
        self, request: api.SignalWithStartWorkflowExecutionRequest
    ) -> api.SignalWithStartWorkflowExecutionResponse:
        execution, jobs = self._start(request)
        job = Job()
        job.signal_workflow.signal_name = request.signal_name
        job.signal_workflow.input.extend(request.signal_input.payloads)
        execution.run.told(*jobs, job)
        return api.SignalWithStartWorkflowExecutionResponse(run_id=execution.run.run_id, started=bool(jobs))

    async def _execute_multi_operation(
        self, request: api.ExecuteMultiOperationRequest
    ) -> api.ExecuteMultiOperationResponse:
        start, update = (operation for operation in request.operations)
        asked = update.update_workflow
        latest = self._engine.latest(start.start_workflow.workflow_id)
        known = latest is not None and asked.request.meta.update_id in latest.updates
        jobs: list[Job] = []
        if latest is not None and known:
            execution = latest
        else:
            try:
                execution, jobs = self._start(start.start_workflow)
            except _Started as error:
                raise _multiple(error) from None
        found = self._update(execution, asked, jobs)
        response = api.ExecuteMultiOperationResponse()
        started = response.responses.add().start_workflow
        started.run_id, started.started = execution.run.run_id, bool(jobs)
        response.responses.add().update_workflow.CopyFrom(
            await _outcome(execution, found, asked.wait_policy.lifecycle_stage)
        )
        return response

    def _start(
        self, request: api.StartWorkflowExecutionRequest | api.SignalWithStartWorkflowExecutionRequest
    ) -> tuple[Execution, list[Job]]:
        """The open run that there is, where it is to be used; or a new one, and what it is told first."""
        latest = self._engine.latest(request.workflow_id)
        with_signal = isinstance(request, api.SignalWithStartWorkflowExecutionRequest)
        if latest is not None and latest.open:
            use = WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING
            if with_signal or request.workflow_id_conflict_policy == use:
                return latest, []
            raise _Started(latest)
        never = WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
        if latest is not None and request.workflow_id_reuse_policy == never:
            raise _Started(latest)
        begun = InitializeWorkflow(workflow_type=request.workflow_type.name, workflow_id=request.workflow_id)
        begun.arguments.extend(request.input.payloads)
        begun.search_attributes.CopyFrom(request.search_attributes)
        begun.memo.CopyFrom(request.memo)
        begun.workflow_task_timeout.CopyFrom(request.workflow_task_timeout)
        begun.workflow_run_timeout.CopyFrom(request.workflow_run_timeout)
        begun.priority.CopyFrom(request.priority)
        execution, first = self._engine.start(begun, request.task_queue.name)
        return execution, [first]

    # -- updates and signals

    def _update(self, execution: Execution, asked: api.UpdateWorkflowExecutionRequest, jobs: list[Job]) -> Update:
        update_id = asked.request.meta.update_id
        found = execution.updates.get(update_id)
        if found is None:
            found = execution.updates[update_id] = Update(update_id)
            job = Job()
            told = job.do_update
            told.id = told.protocol_instance_id = update_id
            told.name = asked.request.input.name
            told.input.extend(asked.request.input.args.payloads)
            told.meta.CopyFrom(asked.request.meta)
            told.run_validator = True
            if not execution.open:
                raise _error(RPCStatusCode.NOT_FOUND, "workflow execution already completed")
            jobs = [*jobs, job]
        execution.run.told(*jobs)
        return found

    async def _update_workflow_execution(
        self, request: api.UpdateWorkflowExecutionRequest
    ) -> api.UpdateWorkflowExecutionResponse:
        execution = self._find(request.workflow_execution)
        return await _outcome(execution, self._update(execution, request, []), request.wait_policy.lifecycle_stage)

    async def _poll_workflow_execution_update(
        self, request: api.PollWorkflowExecutionUpdateRequest
    ) -> api.PollWorkflowExecutionUpdateResponse:
        execution = self._find(request.update_ref.workflow_execution)
        found = execution.updates.get(request.update_ref.update_id)
        if found is None:
            raise _error(RPCStatusCode.NOT_FOUND, "update not found")
        answer = await _outcome(execution, found, request.wait_policy.lifecycle_stage)
        response = api.PollWorkflowExecutionUpdateResponse(stage=answer.stage, update_ref=answer.update_ref)
        if answer.HasField("outcome"):
            response.outcome.CopyFrom(answer.outcome)
        return response

    async def _signal_workflow_execution(
        self, request: api.SignalWorkflowExecutionRequest
    ) -> api.SignalWorkflowExecutionResponse:
        job = Job()
        job.signal_workflow.signal_name = request.signal_name
        job.signal_workflow.input.extend(request.input.payloads)
        self._find_open(request.workflow_execution).run.told(job)
        return api.SignalWorkflowExecutionResponse()

    # -- ends

    async def _request_cancel_workflow_execution(
        self, request: api.RequestCancelWorkflowExecutionRequest
    ) -> api.RequestCancelWorkflowExecutionResponse:
        self._engine.cancel(self._find_open(request.workflow_execution), request.reason)
        return api.RequestCancelWorkflowExecutionResponse()

    async def _terminate_workflow_execution(
        self, request: api.TerminateWorkflowExecutionRequest
    ) -> api.TerminateWorkflowExecutionResponse:
        self._engine.terminate(self._find_open(request.workflow_execution), request.reason)
        return api.TerminateWorkflowExecutionResponse()

    # -- questions

    async def _describe_workflow_execution(
        self, request: api.DescribeWorkflowExecutionRequest
    ) -> api.DescribeWorkflowExecutionResponse:
        execution = self._find(request.execution)
        response = api.DescribeWorkflowExecutionResponse()
        info = response.workflow_execution_info
        info.execution.workflow_id, info.execution.run_id = execution.run.workflow_id, execution.run.run_id
        info.type.name, info.task_queue = execution.run.kind, execution.run.queue
        info.status = execution.status
        info.start_time.CopyFrom(execution.begun.start_time)
        info.search_attributes.CopyFrom(execution.begun.search_attributes)
        return response

    async def _get_workflow_execution_history(
        self, request: api.GetWorkflowExecutionHistoryRequest
    ) -> api.GetWorkflowExecutionHistoryResponse:
        """Its last event, which is all there is of it here."""
        execution = self._find(request.execution)
        response = api.GetWorkflowExecutionHistoryResponse()
        if request.wait_new_event:
            await execution.closed.wait()
        if execution.last is not None:
            response.history.events.append(execution.last)
        return response

    def _find(self, wanted: Any) -> Execution:
        runs = self._engine.executions.get(wanted.workflow_id) or []
        found = next((one for one in reversed(runs) if wanted.run_id in ("", one.run.run_id)), None)
        if found is None:
            raise _error(RPCStatusCode.NOT_FOUND, f"workflow not found for ID: {wanted.workflow_id}")
        return found

    def _find_open(self, wanted: Any) -> Execution:
        found = self._find(wanted)
        if not found.open:
            raise _error(RPCStatusCode.NOT_FOUND, "workflow execution already completed")
        return found


class _Started(RPCError):
    """There is a run with this id."""

    def __init__(self, latest: Execution) -> None:
        status = GrpcStatus(code=int(RPCStatusCode.ALREADY_EXISTS), message="Workflow execution is already running.")
        details = WorkflowExecutionAlreadyStartedFailure(run_id=latest.run.run_id)
        status.details.add().Pack(details)
        super().__init__(status.message, RPCStatusCode.ALREADY_EXISTS, status.SerializeToString())


def _multiple(error: RPCError) -> RPCError:
    """As the first operation's failure of several."""
    failure = MultiOperationExecutionFailure()
    first = failure.statuses.add()
    first.code, first.message = int(error.status), error.message
    first.details.extend(error.grpc_status.details)
    failure.statuses.add().code = int(RPCStatusCode.ABORTED)
    status = GrpcStatus(code=int(error.status), message=error.message)
    status.details.add().Pack(failure)
    return RPCError(error.message, error.status, status.SerializeToString())


async def _outcome(
    execution: Execution, update: Update, stage: UpdateWorkflowExecutionLifecycleStage.ValueType
) -> api.UpdateWorkflowExecutionResponse:
    """When the stage is reached, or a while is over.

    Raises:
        RPCError: NOT_FOUND, the run closed and had not heard of the update.
    """
    try:
        async with asyncio.timeout(_POLL_SECONDS):
            while not (update.outcome or update.aborted or (stage <= _ACCEPTED and update.accepted)):
                await update.changed.wait()
    except TimeoutError:
        pass
    if update.aborted:
        raise _error(RPCStatusCode.NOT_FOUND, "workflow execution already completed")
    response = api.UpdateWorkflowExecutionResponse(stage=_ACCEPTED if update.accepted else _ADMITTED)
    response.update_ref.workflow_execution.workflow_id = execution.run.workflow_id
    response.update_ref.workflow_execution.run_id = execution.run.run_id
    response.update_ref.update_id = update.id
    if update.outcome is not None:
        response.stage = _COMPLETED
        response.outcome.CopyFrom(update.outcome)
    return response


def _error(status: RPCStatusCode, message: str) -> RPCError:
    raw = GrpcStatus(code=int(status), message=message)
    return RPCError(message, status, raw.SerializeToString())
