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

_LIMITS = {
    TimeoutType.SCHEDULE_TO_START: "nobody took the work in time",
    TimeoutType.HEARTBEAT: "the worker that did it stopped answering",
    TimeoutType.START_TO_CLOSE: "it took longer than its time limit",
    TimeoutType.SCHEDULE_TO_CLOSE: "it did not succeed within its time limit",
}
_AWAY = {TimeoutType.SCHEDULE_TO_START, TimeoutType.HEARTBEAT}
"""The host is not there now, which says nothing of what it can do when it is back."""
_DATABASE_AWAY = {"OperationalError", "InterfaceError"}
"""SQLAlchemy's names, as the engine keeps them."""


def cause_of(error: BaseException) -> Failure:
    """The domain's words for a failed step."""
    chain = _chain(error)
    name = next((link.activity_type for link in chain if isinstance(link, ActivityError)), "The request")
    # What a step last said of itself tells more than that its tries ran out.
    for link in chain:
        for detail in link.details if isinstance(link, ApplicationError) else ():
            try:
                return Failure.model_validate(detail)
            except ValidationError:
                continue
    for link in chain:
        if isinstance(link, TimeoutError):
            why = _LIMITS.get(link.type, "it timed out") if link.type else "it timed out"
            return Failure(code=500, message=f"{name}: {why}.", kind="TimedOut", soft=link.type in _AWAY)
    if any(is_cancel(link) for link in chain):
        return Failure(code=500, message=f"{name} was cancelled.", kind="Cancelled")
    kinds = [link.type for link in chain if isinstance(link, ApplicationError) and link.type]
    kind = kinds[0] if kinds else type(error).__name__
    if kind in _DATABASE_AWAY:
        what = "The database does not answer now; send the request again."
        return Failure(code=503, message=what, kind="Unavailable", soft=True)
    return Failure(code=500, message=f"{name}: an unexpected error happened ({kind}).", kind=kind)


def _chain(error: BaseException) -> list[BaseException]:
    """A failure and its causes; an exception of this run's own code ends with itself."""
    found: list[BaseException] = []
    link: BaseException | None = error
    while link is not None:
        found.append(link)
        link = link.cause if isinstance(link, FailureError) else None
    return found


def is_refusal(error: BaseException) -> bool:
    """True if another host may do: the host said no, did not answer, or failed in a way nobody foresaw.

    As Nova: unknown errors are tried elsewhere; those that name something wrong with the request are not. The engine
    retries the same errors, so what it was told not to repeat is of the second kind, but for a host's own refusal.
    """
    if not isinstance(error, ActivityError):
        return False
    cause = error.cause
    if isinstance(cause, ApplicationError):
        return cause.type == "HostRejected" or not cause.non_retryable
    return isinstance(cause, TimeoutError)


def is_untaken(error: BaseException) -> bool:
    """True if nobody took the work from its queue in time: it has not begun."""
    return any(isinstance(link, TimeoutError) and link.type is TimeoutType.SCHEDULE_TO_START for link in _chain(error))


def is_unsure(error: BaseException) -> bool:
    """True if a failed transaction may have been, or may still be, written: it was not refused."""
    return not 400 <= cause_of(error).code < 500


def is_cancel(error: BaseException) -> bool:
    return isinstance(error, CancelledError) or is_cancelled_exception(error)


def first(errors: list[BaseException]) -> BaseException:
    """The failure that ended branches side by side: the first that is not the cancel it caused."""
    return next((error for error in errors if not is_cancel(error)), errors[0])


def brief(error: BaseException) -> str:
    if is_cancel(error):
        return "cancelled"
    if isinstance(error, FailureError | TemporalError):
        return f"failed: {cause_of(error).message}".replace("|", "/").replace("\n", " ")[:200]
    return "failed"
