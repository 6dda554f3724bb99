"""The server's part: which runs there are, what they want done, and who does it."""

import asyncio
import uuid
from collections import defaultdict, deque
from dataclasses import dataclass, field

from temporalio.api.enums.v1 import ParentClosePolicy, WorkflowExecutionStatus
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.update.v1 import Outcome
from temporalio.bridge.proto.workflow_activation import InitializeWorkflow
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion

from tests.engine import failures
from tests.engine.activities import Activity
from tests.engine.core import Core
from tests.engine.messages import Command, Job, later, seconds
from tests.engine.run import Run

_TASK_SECONDS = 10.0


@dataclass
class Update:
    """One update of a run, from its request to its outcome."""

    id: str
    accepted: bool = False
    outcome: Outcome | None = None
    aborted: bool = False
    """The run closed and had not heard of it."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def set(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


@dataclass
class Execution:
    """A run, and what the server knows of it."""

    run: Run
    begun: InitializeWorkflow
    parent: "tuple[Execution, int] | None" = None
    status: WorkflowExecutionStatus.ValueType = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING
    last: HistoryEvent | None = None
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    updates: dict[str, Update] = field(default_factory=dict)
    activities: dict[int, Activity] = field(default_factory=dict)
    timers: dict[int, asyncio.TimerHandle] = field(default_factory=dict)
    children: "list[tuple[Execution, ParentClosePolicy.ValueType]]" = field(default_factory=list)

    @property
    def open(self) -> bool:
        return self.run.open


class Engine:
    """All of one namespace. Everything happens on one event loop.

    Attributes:
        errors: of runs that were made again and became another.
        failed_tasks: (workflow id, message) of tasks that a worker could not do: faults of workflows' code.
    """

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.errors: list[AssertionError] = []
        self.failed_tasks: list[tuple[str, str]] = []
        self.executions: dict[str, list[Execution]] = defaultdict(list)
        self._by_run: dict[str, Execution] = {}
        self._cores: dict[str, list[Core]] = defaultdict(list)
        self._backlog: dict[str, deque[Activity]] = defaultdict(deque)

    # -- workers

    def register(self, core: Core) -> None:
        self._cores[core.queue].append(core)
        backlog = self._backlog.pop(core.queue, deque())
        for activity in backlog:
            self.enqueue(activity)
        for execution in [*self._by_run.values()]:
            if execution.open and execution.run.queue == core.queue:
                execution.run.go_on()

    def unregister(self, core: Core) -> None:
        """As a crash: what the worker remembers of runs is lost with it."""
        self._cores[core.queue].remove(core)
        for execution in [*self._by_run.values()]:
            if execution.run.remembered_by(core):
                execution.run.lose()

    def core_of_workflows(self, queue: str) -> Core | None:
        return next((core for core in self._cores[queue] if core.runs_workflows), None)

    def enqueue(self, activity: Activity) -> None:
        cores = self._cores[activity.queue]
        if cores:
            cores[0].begin(activity)
        else:
            self._backlog[activity.queue].append(activity)

    def withdraw(self, activity: Activity) -> None:
        """Nobody is to begin it any more."""
        if activity in self._backlog[activity.queue]:
            self._backlog[activity.queue].remove(activity)

    def activated(self, completion: WorkflowActivationCompletion) -> None:
        self._by_run[completion.run_id].run.answered(completion)

    # -- what clients and parents do

    def latest(self, workflow_id: str) -> Execution | None:
        return self.executions[workflow_id][-1] if self.executions.get(workflow_id) else None

    def start(
        self, begun: InitializeWorkflow, queue: str, parent: tuple[Execution, int] | None = None
    ) -> tuple[Execution, Job]:
        """A new run; it begins with the job, and what else it is told then."""
        run_id = str(uuid.uuid4())
        begun.randomness_seed = uuid.UUID(run_id).int >> 80
        begun.first_execution_run_id = begun.first_execution_run_id or run_id
        begun.attempt = 1
        begun.start_time.GetCurrentTime()
        task_seconds = seconds(begun.workflow_task_timeout) or _TASK_SECONDS
        run = Run(self, begun.workflow_id, run_id, begun.workflow_type, queue, task_seconds)
        execution = Execution(run, begun, parent)
        self.executions[begun.workflow_id].append(execution)
        self._by_run[run_id] = execution
        job = Job()
        job.initialize_workflow.CopyFrom(begun)
        return execution, job

    def close(self, execution: Execution, status: WorkflowExecutionStatus.ValueType, last: HistoryEvent) -> None:
        execution.status, execution.last = status, last
        for timer in execution.timers.values():
            timer.cancel()
        for activity in [*execution.activities.values()]:
            activity.orphan()
        execution.run.close()
        for update in [*execution.updates.values()]:
            if update.outcome is None:
                _abandon(execution, update)
                update.set()
        for child, policy in execution.children:
            if child.open and policy == ParentClosePolicy.PARENT_CLOSE_POLICY_TERMINATE:
                self.terminate(child, "by parent close policy")
            elif child.open and policy == ParentClosePolicy.PARENT_CLOSE_POLICY_REQUEST_CANCEL:
                self.cancel(child)
        execution.closed.set()

    def cancel(self, execution: Execution, reason: str = "") -> None:
        job = Job()
        job.cancel_workflow.reason = reason
        execution.run.told(job)

    def terminate(self, execution: Execution, reason: str) -> None:
        event = HistoryEvent()
        event.workflow_execution_terminated_event_attributes.reason = reason
        status = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TERMINATED
        self.close(execution, status, event)
        failure = Failure(message="terminated")
        failure.terminated_failure_info.SetInParent()
        self._tell_parent(execution, failure=failure)

    # -- what only this engine can do

    def lose(self, workflow_id: str) -> None:
        """The worker that has this run in its memory dies, for this run alone."""
        execution = self.latest(workflow_id)
        if execution is not None and execution.open:
            execution.run.lose()

    async def repeat(self, workflow_id: str) -> None:
        """Make all closed runs of an id again from what they were told.

        Raises:
            Nondeterministic: one wanted something else.
        """
        for execution in self.executions[workflow_id]:
            if not execution.open:
                await execution.run.repeat()
        if self.errors:
            raise self.errors.pop()

    # -- what runs want

    def cancel_now(self, run: Run, seq: int) -> list[Job]:
        """What a run gets to know of an activity as soon as it cancels it."""
        activity = self._by_run[run.run_id].activities.get(seq)
        if activity is None or not activity.ends_at_once:
            return []
        del self._by_run[run.run_id].activities[seq]
        run.forget_news("resolve_activity", seq)
        return activity.cancel()

    def wanted(self, run: Run, command: Command) -> None:
        """The server gets one command of a task that has ended."""
        execution = self._by_run[run.run_id]
        match command.WhichOneof("variant"):
            case "start_timer":
                timer = command.start_timer
                self._start_timer(execution, timer.seq, seconds(timer.start_to_fire_timeout) or 0.0)
            case "cancel_timer":
                seq = command.cancel_timer.seq
                execution.timers.pop(seq).cancel()
                run.forget_news("fire_timer", seq)
            case "schedule_activity":
                spec = command.schedule_activity
                activity = execution.activities[spec.seq] = Activity(run, spec, local=False)
                activity.attempt()
            case "request_cancel_activity":
                cancelled = execution.activities.get(command.request_cancel_activity.seq)
                if cancelled is not None and not cancelled.over:
                    cancelled.cancel()
            case "start_child_workflow_execution":
                self._start_child(execution, command)
            case "update_response":
                self._respond(execution, command)
            case "upsert_workflow_search_attributes":
                upserted = command.upsert_workflow_search_attributes.search_attributes
                execution.begun.search_attributes.MergeFrom(upserted)
            case "set_patch_marker":
                pass
            case _:
                self._end(execution, command)

    def _start_timer(self, execution: Execution, seq: int, delay: float) -> None:
        def fire() -> None:
            job = Job()
            job.fire_timer.seq = seq
            execution.run.told(job)

        [execution.timers[seq]] = later(delay, fire)

    def _start_child(self, parent: Execution, command: Command) -> None:
        wanted = command.start_child_workflow_execution
        begun = InitializeWorkflow(workflow_type=wanted.workflow_type, workflow_id=wanted.workflow_id)
        begun.arguments.extend(wanted.input)
        begun.search_attributes.CopyFrom(wanted.search_attributes)
        begun.workflow_task_timeout.CopyFrom(wanted.workflow_task_timeout)
        begun.priority.CopyFrom(wanted.priority)
        begun.parent_workflow_info.workflow_id = parent.run.workflow_id
        begun.parent_workflow_info.run_id = parent.run.run_id
        latest = self.latest(wanted.workflow_id)
        job = Job()
        answer = job.resolve_child_workflow_execution_start
        answer.seq = wanted.seq
        if latest is not None and latest.open:
            answer.failed.workflow_id, answer.failed.workflow_type = wanted.workflow_id, wanted.workflow_type
            answer.failed.cause = 1
            parent.run.told(job)
            return
        child, first = self.start(begun, wanted.task_queue or parent.run.queue, (parent, wanted.seq))
        # The enumeration of the core counts as the server's does.
        parent.children.append((child, ParentClosePolicy.ValueType(int(wanted.parent_close_policy))))
        answer.succeeded.run_id = child.run.run_id
        parent.run.told(job)
        child.run.told(first)

    def _respond(self, execution: Execution, command: Command) -> None:
        response = command.update_response
        update = execution.updates[response.protocol_instance_id]
        match response.WhichOneof("response"):
            case "accepted":
                update.accepted = True
            case "completed":
                update.outcome = Outcome()
                update.outcome.success.payloads.append(response.completed)
            case "rejected":
                update.outcome = Outcome(failure=response.rejected)
        update.set()

    def _end(self, execution: Execution, command: Command) -> None:
        event = HistoryEvent()
        states = WorkflowExecutionStatus
        match command.WhichOneof("variant"):
            case "complete_workflow_execution":
                done = command.complete_workflow_execution
                event.workflow_execution_completed_event_attributes.result.payloads.append(done.result)
                self.close(execution, states.WORKFLOW_EXECUTION_STATUS_COMPLETED, event)
                self._tell_parent(execution, done=command)
            case "fail_workflow_execution":
                failure = command.fail_workflow_execution.failure
                event.workflow_execution_failed_event_attributes.failure.CopyFrom(failure)
                self.close(execution, states.WORKFLOW_EXECUTION_STATUS_FAILED, event)
                self._tell_parent(execution, failure=failure)
            case "cancel_workflow_execution":
                event.workflow_execution_canceled_event_attributes.SetInParent()
                self.close(execution, states.WORKFLOW_EXECUTION_STATUS_CANCELED, event)
                self._tell_parent(execution, failure=failures.cancelled())
            case "continue_as_new_workflow_execution":
                self._continue(execution, command)
            case other:
                raise NotImplementedError(f"A run wants {other}: this engine does not do it.")

    def _continue(self, execution: Execution, command: Command) -> None:
        wanted = command.continue_as_new_workflow_execution
        begun = InitializeWorkflow()
        begun.CopyFrom(execution.begun)
        begun.workflow_type = wanted.workflow_type or execution.begun.workflow_type
        del begun.arguments[:]
        begun.arguments.extend(wanted.arguments)
        begun.continued_from_execution_run_id = execution.run.run_id
        following, first = self.start(begun, wanted.task_queue or execution.run.queue, execution.parent)
        event = HistoryEvent()
        event.workflow_execution_continued_as_new_event_attributes.new_execution_run_id = following.run.run_id
        self.close(execution, WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW, event)
        following.run.told(first)

    def _tell_parent(
        self, execution: Execution, *, done: Command | None = None, failure: Failure | None = None
    ) -> None:
        if execution.parent is None or not execution.parent[0].open:
            return
        parent, seq = execution.parent
        job = Job()
        result = job.resolve_child_workflow_execution
        result.seq = seq
        if done is not None:
            result.result.completed.result.CopyFrom(done.complete_workflow_execution.result)
        elif failure is not None:
            result.result.failed.failure.message = "Child Workflow execution failed"
            result.result.failed.failure.cause.CopyFrom(failure)
            result.result.failed.failure.child_workflow_execution_failure_info.SetInParent()
        parent.run.told(job)


def _abandon(execution: Execution, update: Update) -> None:
    if update.accepted:
        closed = "Workflow Update failed because the Workflow completed before the Update completed."
        update.outcome = Outcome(failure=failures.application(closed, "AcceptedUpdateCompletedWorkflow"))
    else:
        # As if it had never come: it may come again, to the next run.
        update.aborted = True
        del execution.updates[update.id]
