"""One run of a workflow: what it was told, what it wants, and how it is made again from both.

What a run is told reaches it in tasks. A task begins when there is news, and ends when the workflow waits for nothing
but news: the results of local activities belong to the task that began them. Only with its end does the server get what
the run wants (``_held``), and is the task kept (``_tasks``). A run that is lost before loses its task, not its news.
"""

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion

from tests.engine.activities import Activity
from tests.engine.messages import Command, Job, later

if TYPE_CHECKING:
    from tests.engine.core import Core
    from tests.engine.engine import Engine

ENDS = (
    "complete_workflow_execution",
    "fail_workflow_execution",
    "cancel_workflow_execution",
    "continue_as_new_workflow_execution",
)
_ORDER = ("initialize_workflow", "notify_has_patch", "update_random_seed", "signal_workflow", "do_update")
_TASK_SHARE = 0.8
"""Of its time limit: a task that waits longer for local activities is ended, and another begun."""
_AGAIN_SECONDS = 0.05


class Nondeterministic(AssertionError):
    """A run that was made again wanted something else than before."""


@dataclass
class Step:
    """One activation and its answer."""

    time: Timestamp
    jobs: list[Job]
    commands: list[bytes] = field(default_factory=list)
    patches: list[str] = field(default_factory=list)


class Run:
    """``told`` and ``resolved`` bring news, ``wanted`` of the engine gets what the run wants."""

    def __init__(
        self, engine: "Engine", workflow_id: str, run_id: str, kind: str, queue: str, task_seconds: float
    ) -> None:
        self.engine = engine
        self.workflow_id = workflow_id
        self.run_id = run_id
        self.kind = kind
        self.queue = queue
        self.open = True
        self._task_seconds = task_seconds
        self._news: list[Job] = []
        self._tasks: list[list[Step]] = []
        self._task: list[Step] | None = None
        self._task_news: list[Job] = []
        self._task_limit: list[asyncio.TimerHandle] = []
        self._held: list[Command] = []
        self._now: list[Job] = []
        """What the task itself leads to."""
        self._locals: dict[int, Activity] = {}
        self._core: Core | None = None
        """Which worker remembers the run."""
        self.forgotten = asyncio.Event()
        """No worker does."""
        self._asked: Step | None = None
        """What it answers now."""
        self._repeats: list[Step] = []
        self._evicting = False
        self._lost = False

    # -- news

    def told(self, *jobs: Job) -> None:
        """Something happened on the server; all of it is known with one task."""
        if self.open:
            self._news += jobs
            self.go_on()

    def resolved(self, activity: Activity, job: Job) -> None:
        if not activity.local:
            self.told(job)
        elif self._locals.pop(activity.spec.seq, None) is not None:
            self._now.append(job)
            self.go_on()

    def remembered_by(self, core: "Core") -> bool:
        return self._core is core

    def go_on(self) -> None:
        """Have the worker told what there is to tell."""
        if self._asked is not None or self._evicting:
            return
        if self._lost:
            self._forget()
            return
        if self._task is None and not (self.open and self._news):
            if self._repeats:
                self._ask(self._repeats[0])
            return
        if self._core is None and not self._remember():
            return
        if self._repeats:
            self._ask(self._repeats[0])
        elif self._task is None:
            self._begin_task()
        elif self._now:
            jobs, self._now = self._now, []
            self._ask(Step(_now(), _sorted(jobs)))
        elif not self._locals:
            self._end_task()

    def _remember(self) -> bool:
        """A worker makes the run again from what it was told."""
        self._core = self.engine.core_of_workflows(self.queue)
        if self._core is None:
            return False
        self.forgotten.clear()
        self._repeats = [step for task in self._tasks for step in task]
        return True

    # -- tasks

    def _begin_task(self) -> None:
        self._task, self._task_news, self._news = [], self._news, []
        self._task_limit = later(_TASK_SHARE * self._task_seconds, self._end_task)
        if self._task_news:
            self._ask(Step(_now(), _sorted(self._task_news)))

    def _end_task(self) -> None:
        """The server gets what the run wants; local activities that still run belong to the next task."""
        if self._asked is not None or self._task is None or self._lost:
            return
        held, self._held = self._held, []
        ends = any(command.WhichOneof("variant") in ENDS for command in held)
        if ends and any(not job.HasField("do_update") for job in self._news):
            # It does not end without having heard what came meanwhile.
            self.lose()
            return
        self._tasks.append(self._task)
        self._drop_task()
        for command in held:
            self.engine.wanted(self, command)
        if self._locals and self.open:
            self._begin_task()
        self.go_on()

    def _drop_task(self) -> None:
        self._task, self._task_news = None, []
        for limit in self._task_limit:
            limit.cancel()

    # -- a worker's answers

    def _ask(self, step: Step) -> None:
        assert self._core is not None
        self._asked = step
        repeated = bool(self._repeats)
        activation = WorkflowActivation(run_id=self.run_id, is_replaying=repeated, history_length=len(self._tasks) + 1)
        activation.timestamp.CopyFrom(step.time)
        activation.jobs.extend(_sorted([*_patches(step), *step.jobs]) if repeated else step.jobs)
        self._core.activate(activation)

    def answered(self, completion: WorkflowActivationCompletion) -> None:
        """The worker has done what it was asked."""
        if self._evicting:
            self._evicting, self._core = False, None
            self.forgotten.set()
            self.go_on()
            return
        step, self._asked = self._asked, None
        assert step is not None
        if self._lost:
            self.go_on()
            return
        if not self.open and not self._repeats:
            self._drop_task()
            self.evict()
            return
        if completion.HasField("failed"):
            self.engine.failed_tasks.append((self.workflow_id, completion.failed.failure.message))
            self._lost = True
            later(_AGAIN_SECONDS, self.go_on)
            return
        commands = list(completion.successful.commands)
        if self._repeats:
            self._compare(step, commands)
            return
        step.commands = [command.SerializeToString(deterministic=True) for command in commands]
        step.patches = [c.set_patch_marker.patch_id for c in commands if c.HasField("set_patch_marker")]
        assert self._task is not None
        self._task.append(step)
        for command in commands:
            self._take(command)
        if any(command.WhichOneof("variant") in ENDS for command in self._held):
            self._end_task()
        else:
            self.go_on()

    def _compare(self, step: Step, commands: list[Command]) -> None:
        del self._repeats[0]
        again = [command.SerializeToString(deterministic=True) for command in commands]
        if again != step.commands:
            was = [Command.FromString(command) for command in step.commands]
            self.engine.errors.append(Nondeterministic(f"{self.workflow_id} wanted {was}, and then {commands}."))
        if self._repeats:
            self.go_on()
        elif self.open:
            self._begin_locals_again()
            self.go_on()
        else:
            self.evict()

    def _begin_locals_again(self) -> None:
        """Those that ran when the run was lost, and of whose end no task knows."""
        steps = [step for task in self._tasks for step in task]
        ended = {job.resolve_activity.seq for step in steps for job in step.jobs if job.resolve_activity.is_local}
        wanted = [Command.FromString(command) for step in steps for command in step.commands]
        open_ones = [
            command
            for command in wanted
            if command.HasField("schedule_local_activity") and command.schedule_local_activity.seq not in ended
        ]
        if open_ones:
            self._task = []
        for command in open_ones:
            self._take(command)

    def _take(self, command: Command) -> None:
        match command.WhichOneof("variant"):
            case "schedule_local_activity":
                spec = command.schedule_local_activity
                activity = self._locals[spec.seq] = Activity(self, spec, local=True)
                activity.attempt()
            case "request_cancel_local_activity":
                self._cancel(command.request_cancel_local_activity.seq)
            case "request_cancel_activity":
                self._cancel_activity(command)
            case "cancel_timer":
                started = _index(self._held, "start_timer", command.cancel_timer.seq)
                if started is None:
                    self._held.append(command)
                else:
                    del self._held[started]
            case _:
                self._held.append(command)

    def _cancel_activity(self, command: Command) -> None:
        seq = command.request_cancel_activity.seq
        scheduled = _index(self._held, "schedule_activity", seq)
        if scheduled is None:
            # What is told at once is told in this task.
            self._now += self.engine.cancel_now(self, seq)
            self._held.append(command)
        else:
            never = Activity(self, self._held.pop(scheduled).schedule_activity, local=False)
            never.drop()
            self._now.append(never.told(never.cancellation()))

    def _cancel(self, seq: int) -> None:
        activity = self._locals.get(seq)
        if activity is not None and (told := activity.cancel()):
            self._locals.pop(seq, None)
            self._now += told

    def forget_news(self, kind: str, seq: int) -> None:
        """Of what the run has no interest in any more."""
        self._news = [job for job in self._news if not (job.HasField(kind) and getattr(job, kind).seq == seq)]  # type: ignore[arg-type]

    # -- losing and closing

    def lose(self) -> None:
        """No worker remembers the run any more, and what its task did not end is as if it had not begun."""
        self._lost = True
        for activity in self._locals.values():
            activity.drop()
        self._locals = {}
        self.go_on()

    def _forget(self) -> None:
        self._lost = False
        if self._task is not None:
            self._news = [*self._task_news, *self._news]
            self._held, self._now = [], []
            self._drop_task()
        self._repeats = []
        self.evict()

    def evict(self) -> None:
        """Out of the worker's memory."""
        if self._core is None or self._core.stopping:
            self._core = None
            self.forgotten.set()
            self.go_on()
            return
        self._evicting = True
        activation = WorkflowActivation(run_id=self.run_id)
        activation.jobs.add().remove_from_cache.message = "lost"
        self._core.activate(activation)

    def close(self) -> None:
        """Nothing is told any more."""
        self.open = False
        for activity in self._locals.values():
            activity.drop()
        self._locals, self._news, self._now = {}, [], []
        if self._asked is None and not self._evicting:
            self._drop_task()
            self.evict()

    async def repeat(self) -> None:
        """Make a closed run again, as a worker without memory would; returns when that has forgotten it."""
        await self.forgotten.wait()
        assert self._remember(), "no worker runs workflows"
        self.go_on()
        await self.forgotten.wait()


def _now() -> Timestamp:
    moment = Timestamp()
    moment.GetCurrentTime()
    return moment


def _sorted(jobs: list[Job]) -> list[Job]:
    """As the core does it: what happened to a run before what came of it, local activities last."""

    def rank(job: Job) -> int:
        variant = job.WhichOneof("variant")
        if variant in _ORDER:
            return min(_ORDER.index(variant), 3)
        return 5 if job.HasField("resolve_activity") and job.resolve_activity.is_local else 4

    return sorted(jobs, key=rank)


def _patches(step: Step) -> list[Job]:
    jobs = []
    for patch in step.patches:
        job = Job()
        job.notify_has_patch.patch_id = patch
        jobs.append(job)
    return jobs


def _index(commands: list[Command], kind: str, seq: int) -> int | None:
    for index, command in enumerate(commands):
        if command.WhichOneof("variant") == kind and getattr(command, kind).seq == seq:
            return index
    return None
