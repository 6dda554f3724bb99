"""What a failed step means for the run: try another host, or give the request up; and the chain of causes."""

from asyncio import CancelledError

from pydantic import ValidationError
from temporalio import workflow
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    FailureError,
    TemporalError,
    TimeoutError,
    TimeoutType,
    is_cancelled_exception,
)

with workflow.unsafe.imports_passed_through():
    from activities.base import Failure

_REFUSALS = {"HostRejected"}
"""Kinds of failure for which another host may do."""
_LIMITS = {
    TimeoutType.SCHEDULE_TO_START: "nobody on the host took the work in time",
    TimeoutType.HEARTBEAT: "the host's worker stopped answering",
    TimeoutType.START_TO_CLOSE: "it took longer than its time limit",
    TimeoutType.SCHEDULE_TO_CLOSE: "it did not succeed within its time limit",
}


def cause_of(error: BaseException) -> Failure:
    """The domain's words for a failed step."""
    cause: BaseException | None = error.cause if isinstance(error, ActivityError) else error
    if isinstance(cause, TimeoutError):
        # The last real failure says more than that the tries ran out.
        if isinstance(cause.cause, ApplicationError):
            return cause_of(cause.cause)
        why = _LIMITS.get(cause.type, "it timed out") if cause.type else "it timed out"
        name = error.activity_type if isinstance(error, ActivityError) else "The step"
        return Failure(code=500, message=f"{name}: {why}.", kind="TimedOut", soft=True)
    if isinstance(cause, ApplicationError):
        for detail in cause.details:
            try:
                return Failure.model_validate(detail)
            except ValidationError:
                continue
        return Failure(code=500, message="An unexpected error happened.", kind=cause.type or "ApplicationError")
    return Failure(code=500, message="An unexpected error happened.", kind=type(error).__name__)


def is_refusal(error: BaseException) -> bool:
    """True if another host may do: the host said no, did not answer, or failed in a way nobody foresaw.

    As Nova: unknown errors are tried elsewhere; those that name something wrong with the request are not.
    """
    if not isinstance(error, ActivityError):
        return False
    cause = error.cause
    if isinstance(cause, TimeoutError):
        return True
    if isinstance(cause, ApplicationError):
        if cause.type in _REFUSALS:
            return True
        return not cause.non_retryable and cause_of(error).kind in ("", "Unavailable", cause.type)
    return False


def is_cancel(error: BaseException) -> bool:
    return isinstance(error, CancelledError) or is_cancelled_exception(error)


def first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure that ended a group of branches: the first that is not the cancel it caused."""
    flat = list(_flat(errors))
    return next((error for error in flat if not is_cancel(error)), flat[0])


def _flat(errors: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in errors.exceptions:
        found.extend(_flat(error) if isinstance(error, BaseExceptionGroup) else [error])
    return found


def brief(error: BaseException) -> str:
    if is_cancel(error):
        return "cancelled"
    if isinstance(error, FailureError | TemporalError):
        return f"failed: {cause_of(error).message}".replace("|", "/").replace("\n", " ")[:200]
    return "failed"
