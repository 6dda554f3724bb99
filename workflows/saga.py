"""Order and undo: ``step`` registers a step's undo before it runs it, ``unwind`` runs the undos in reverse.

The forward code runs in a task that a delete or a cancel may end; the unwind runs in a task that nobody cancels. After
every await the stop flag is read again, because a cancel that meets an activity at its end is swallowed by it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from temporalio import workflow
from temporalio.common import Priority
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.base import info
    from activities.models import Attempt
    from activities.records import OweCleanup, RecordsActivities, Stuck
    from infra.temporal import attributes
    from workflows import failures, policies
    from workflows.execution import execute
    from workflows.policies import Policy
    from workflows.step_table import StepTable


class Stopped(Exception):
    """The forward code ends here: a delete or a cancel came."""


@dataclass(frozen=True)
class Undo:
    do: Callable[..., Any]
    params: Any
    policy: Policy
    host: str | None
    always: bool
    swept: bool


class Saga:
    """The steps of one run.

    Args:
        title: names the thing in summaries.
        server_id: of the server that shows an undo that does not get through; None where there is none.
        priority: and fairness, of every step.
    """

    def __init__(self, title: str, server_id: str | None, priority: Priority = Priority.default) -> None:
        self.title = title
        self.server_id = server_id
        self.priority = priority
        self.stopped = False
        self.table = StepTable()
        self._undos: list[Undo] = []
        self._stuck: dict[int, tuple[str, str]] = {}
        """What does not get through now: (step, why), the longest stuck first."""
        self._begun = 0
        self._telling = asyncio.Lock()

    async def step(
        self,
        do: Callable[..., Any],
        params: Any,
        policy: Policy,
        *,
        host: str | None = None,
        undo: Policy | None = None,
        always: bool = False,
        swept: bool = False,
        note: str = "",
    ) -> Any:
        """Run a step; its undo, if it has one, is registered first and will run under the policy ``undo``.

        Args:
            always: the undo runs also where the host owes the clean-up: it gives nothing away that a guest may use.
            swept: what the host does not undo in its time it removes by itself when it is next compared: nobody waits
                for it, and nothing is owed.

        Raises:
            Stopped: the run was stopped before or while the step ran.
            ActivityError: the step failed.
        """
        if self.stopped:
            raise Stopped
        undo_fn = info(do).undo
        if undo_fn is not None:
            assert undo is not None, f"{info(do).name} has an undo: say how it runs"
            self._undos.append(Undo(undo_fn, params, undo, host, always, swept))
        result = await self.run(do, params, policy, host=host, note=note)
        if self.stopped:
            raise Stopped
        return result

    async def run(
        self, do: Callable[..., Any], params: Any, policy: Policy, *, host: str | None = None, note: str = ""
    ) -> Any:
        """Run one activity and keep the step table; registers nothing."""
        row = self.table.begin(info(do).name, host, note)
        try:
            result = await execute(do, params, policy, host=host, title=self.title, priority=self.priority)
        except BaseException as error:
            self.table.end(row, failures.brief(error))
            raise
        self.table.end(row, "done")
        return result

    def mark(self) -> int:
        """Where the undos of what comes next will begin."""
        return len(self._undos)

    async def persist(
        self, do: Callable[..., Any], params: Any, policy: Policy, *, host: str | None = None, note: str = ""
    ) -> Any:
        """Run what must be done: what the engine gives up is tried again, and shows as stuck until it is done."""
        self._begun += 1
        mine = self._begun
        while True:
            try:
                result = await self.run(do, params, policy, host=host, note=note)
            except ActivityError as error:
                if failures.is_cancel(error):
                    raise
                self._stuck[mine] = info(do).name, failures.cause_of(error).message
                await self._tell_stuck(self._stuck[mine])
                await workflow.sleep(policies.STUCK_PAUSE)
                continue
            if self._stuck.pop(mine, None) is not None:
                await self._tell_stuck(None)
            return result

    def discard(self, to: int) -> None:
        """What was registered since ``to`` is not undone."""
        del self._undos[to:]

    async def unwind(self, attempt: Attempt | None, to: int = 0, owing: set[str] | None = None) -> set[str]:
        """Undo what was registered since ``to``, last first; returns when all of it is undone, or owed.

        Where the host of ``attempt`` can't do an undo in its time, it owes the clean-up of that attempt: what the
        guest may still use stays taken until then. ``attempt`` None: nothing is owed, the undo is waited for, since
        a debt would take the whole guest with it.

        Args:
            owing: hosts that owe something already, in an earlier part of the same unwind.

        Returns:
            The hosts that owe something: nothing more is asked of them, and what is kept for them is not given back.
        """
        owing = set() if owing is None else owing
        while len(self._undos) > to:
            undo = self._undos[-1]
            if not undo.always and (undo.host in owing or (undo.host is None and owing)):
                pass
            elif undo.swept:
                await self._try(undo)
            elif attempt is None or undo.policy.lane is None:
                await self.persist(undo.do, undo.params, undo.policy, host=undo.host, note="undo")
            else:
                try:
                    await self.run(undo.do, undo.params, undo.policy, host=undo.host, note="undo")
                except ActivityError as error:
                    host = undo.host or attempt.host
                    owing.add(host)
                    debtor = attempt.model_copy(update={"host": host})
                    await self._owe(debtor, f"{info(undo.do).name}: {failures.cause_of(error).message}")
            self._undos.pop()
        return owing

    async def _try(self, undo: Undo) -> None:
        try:
            await self.run(undo.do, undo.params, undo.policy, host=undo.host, note="undo")
        except ActivityError:
            workflow.logger.warning("%s was left to host %s.", info(undo.do).name, undo.host)

    async def _owe(self, attempt: Attempt, what: str) -> None:
        debt = OweCleanup(host=attempt.host, server_id=attempt.server_id, attempt=attempt.number, what=what)
        await self.persist(RecordsActivities.owe_cleanup, debt, policies.UNDO_RECORD)

    async def _tell_stuck(self, latest: tuple[str, str] | None) -> None:
        """Whatever is stuck now, one of them; the flag goes when all is through."""
        if not workflow.patched("stuck-beside-another"):
            await self._say_stuck(latest)
            return
        # In turn: what is said last is what is so.
        async with self._telling:
            await self._say_stuck(next(iter(self._stuck.values()), None))

    async def _say_stuck(self, what: tuple[str, str] | None) -> None:
        """In the list of runs, and on the server's row; None: it is through."""
        if workflow.patched("stuck-attribute"):
            workflow.upsert_search_attributes(
                [attributes.STUCK.value_unset() if what is None else attributes.STUCK.value_set(what[0])]
            )
        if self.server_id is not None:
            stuck = Stuck(server_id=self.server_id, what=None if what is None else f"{what[0]}: {what[1]}")
            await self.run(RecordsActivities.set_stuck, stuck, policies.UNDO_RECORD)


async def side_by_side(*branches: Any) -> list[Any]:
    """Run branches at the same time; when one fails the others are cancelled *and waited for*.

    Not a ``TaskGroup``: that cancels in the order of a set, so that a run which is made again from its history would
    cancel in another order than it did.
    """
    tasks = [asyncio.create_task(branch) for branch in branches]
    stopped = await _wait(tasks, asyncio.FIRST_EXCEPTION)
    errors = _errors(tasks)
    if errors or stopped is not None:
        for task in tasks:
            task.cancel()
        while not all(task.done() for task in tasks):
            # A second cancel finds them cancelled already.
            await _wait(tasks, asyncio.ALL_COMPLETED)
        errors += [error for error in _errors(tasks) if error not in errors]
    if errors:
        # Not ``from`` anything: that would take the place of the failure's own cause.
        raise failures.first(errors)
    if stopped is not None:
        raise stopped
    return [task.result() for task in tasks]


async def _wait(tasks: list[asyncio.Task[Any]], until: str) -> asyncio.CancelledError | None:
    """Returns the cancel that ended the wait, if one came."""
    if tasks:
        try:
            await workflow.wait(tasks, return_when=until)
        except asyncio.CancelledError as error:
            return error
    return None


def _errors(tasks: list[asyncio.Task[Any]]) -> list[BaseException]:
    ended = (task.exception() for task in tasks if task.done() and not task.cancelled())
    return [error for error in ended if error is not None]
