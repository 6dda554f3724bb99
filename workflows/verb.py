"""What every verb on a server shares: its forward code can be stopped, by a delete or by an operator's cancel.

A delete writes the row, stops the forward task only, and answers. The run then ends what it must, waits for its
handlers and continues as ``DeleteServer`` under the same id, so that no other verb gets between.
"""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.base import Failure
    from activities.records import MarkDeleting, RecordsActivities
    from activities.remains import Remains
    from infra.temporal.history import History
    from workflows import failures, policies
    from workflows.execution import execute
    from workflows.saga import Saga


class DeleteRequest(History):
    request_id: str
    user_id: str


class DeleteParams(History):
    server_id: str
    request: DeleteRequest


class Outcome(History):
    """How a run ended: active, error, refused, deleted, done."""

    state: str
    host: str = ""
    code: int = 0
    message: str = ""


class Stoppable:
    """Base of all verbs' workflows. Subclasses set ``saga`` and run their forward code in ``guard``."""

    saga: Saga

    def __init__(self) -> None:
        self.stop_reason = ""
        self._forward: asyncio.Task[None] | None = None

    def stop(self, reason: str) -> None:
        """End the forward code; what it did is taken back by the run."""
        self.stop_reason = self.stop_reason or reason
        self.saga.stopped = True
        if self._forward is not None and not self._forward.done():
            self._forward.cancel()

    async def guard(self, forward: Coroutine[Any, Any, None], limit: timedelta | None) -> BaseException | None:
        """Run the forward code to its end, whatever ends it; returns what it failed with."""
        self._forward = task = asyncio.create_task(forward)
        if self.saga.stopped:
            task.cancel()
        try:
            await workflow.wait_condition(task.done, timeout=limit, timeout_summary="the request's time limit")
        except TimeoutError:
            self.stop(f"The request was not done after {limit} and was undone.")
        except asyncio.CancelledError:
            self.stop("The request was cancelled by an operator.")
        await self.shielded(_finished(task))
        return asyncio.CancelledError() if task.cancelled() else task.exception()

    async def shielded(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run what must happen in a task of its own: a cancel of the run does not reach it. Returns its result."""
        task = asyncio.create_task(work)
        while not task.done():
            try:
                await workflow.wait_condition(task.done)
            except asyncio.CancelledError:
                # The forward code is only ever cancelled by ``stop``; a second stop would cancel this wait for ever.
                if asyncio.current_task() is not self._forward:
                    self.stop("The request was cancelled by an operator.")
        return task.result()


class Admissible(Stoppable):
    """A verb whose ``admission`` answers the API: with ``answer``, or with the code of a refusal."""

    def __init__(self) -> None:
        super().__init__()
        self.answer: Any = None
        self.refused: Failure | None = None

    def refuse(self, error: BaseException) -> None:
        """The request is refused; a stop has its own reason, and is nobody's fault."""
        self.refused = failures.cause_of(error)
        if self.saga.stopped:
            self.refused = Failure(code=409, message=self.stop_reason, kind="Conflict")

    async def admitted(self) -> Any:
        """What an ``admission`` update waits for."""
        await workflow.wait_condition(lambda: self.answer is not None or self.refused is not None)
        if self.answer is None:
            assert self.refused is not None
            raise ApplicationError(self.refused.message, self.refused, type="Refused", non_retryable=True)
        return self.answer

    async def close(self, error: BaseException | None, done: Outcome) -> Outcome:
        """Answer whoever still waits; a refusal completes the run, it does not fail it."""
        if self.answer is None and self.refused is None:
            self.refuse(error or asyncio.CancelledError())
        await workflow.wait_condition(workflow.all_handlers_finished)
        if self.answer is None and self.refused is not None:
            return Outcome(state="refused", code=self.refused.code, message=self.refused.message)
        if error is not None:
            return Outcome(state="error", message=self.stop_reason or failures.cause_of(error).message)
        return done


class Deletable(Admissible):
    """A verb that holds the server ``server_id``: a delete may come while it runs."""

    def __init__(self, server_id: str) -> None:
        super().__init__()
        self.server_id = server_id
        self.delete_request: DeleteRequest | None = None
        self.remains: Remains | None = None

    @workflow.update(name="delete")
    async def delete(self, request: DeleteRequest) -> None:
        """Answers when the row says that the server is being deleted; fails with 404 if there is none."""
        await self.take_for_delete(request)
        self.stop("The server was deleted.")

    def hand_over(self) -> None:
        """Continue as the delete, if one came; no other verb gets between."""
        if self.delete_request is not None:
            params = DeleteParams(server_id=self.server_id, request=self.delete_request)
            workflow.continue_as_new(args=[params], workflow="DeleteServer")

    async def take_for_delete(self, request: DeleteRequest) -> None:
        mark = MarkDeleting(server_id=self.server_id, op=request.request_id, user_id=request.user_id)
        try:
            self.remains = await execute(RecordsActivities.mark_deleting, mark, policies.ADMISSION)
        except ActivityError as error:
            raise refusal(error) from error
        self.delete_request = self.delete_request or request


class Holding(Deletable):
    """A verb of one server whose admission answers that it holds the server, and nothing more."""

    @workflow.update(name="admission")
    async def admission(self) -> None:
        """Answers when the verb holds the server; fails with the refusal's code otherwise."""
        await self.admitted()


async def _finished(task: asyncio.Task[None]) -> None:
    await workflow.wait_condition(task.done)


def refusal(error: BaseException) -> ApplicationError:
    """A failed admission as the API gets it: with the code of the refusal."""
    cause = failures.cause_of(error)
    return ApplicationError(cause.message, cause, type="Refused", non_retryable=True)
