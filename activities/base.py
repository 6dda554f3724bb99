"""What makes a function a step: its name, its undo (or why it has none), and how its errors travel.

An undo takes the same params as its do. Domain errors become ``ApplicationError`` with the class's name as type and
``Failure`` as detail; only what is busy or restarting, and what nobody expected, is retried by the engine.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

from pydantic import ValidationError
from temporalio import activity
from temporalio.exceptions import ApplicationError

from infra.domain.errors import HostRejected, KilonovaError, Unavailable
from infra.domain.placement import Unplaceable
from infra.temporal.history import History

F = TypeVar("F", bound=Callable[..., Any])


class Failure(History):
    """What a failed step says of its cause."""

    code: int = 500
    message: str = ""
    kind: str = ""
    soft: bool = False
    """The host, or a service, is only busy or restarting."""
    explanation: dict[str, Any] | None = None
    """Of ``NoValidHost``: how many hosts each filter removed (``infra.domain.placement.Explanation.for_users``)."""


class StepInfo:
    """What is declared of one step; ``workflows/saga.py`` and the proofs read it."""

    def __init__(self, name: str, undo: Callable[..., Any] | None, because: str | None) -> None:
        self.name = name
        self.undo = undo
        self.because = because


def step(name: str, *, undo: Callable[..., Any] | None = None, because: str | None = None) -> Callable[[F], F]:
    """Declare an activity. Exactly one of ``undo`` (its function) and ``because`` (why there is none) is given."""
    if (undo is None) == (because is None):
        raise TypeError(f"{name}: a step has an undo, or says why it has none")

    def declare(fn: F) -> F:
        wrapped = _translating(fn)
        defined = activity.defn(name=name, no_thread_cancel_exception=not inspect.iscoroutinefunction(fn))(wrapped)
        defined.__step__ = StepInfo(name, undo, because)
        return cast(F, defined)

    return declare


def info(fn: Callable[..., Any]) -> StepInfo:
    declared = getattr(fn, "__step__", None)
    assert isinstance(declared, StepInfo), f"{fn!r} is not a step"
    return declared


def _translating(fn: Callable[..., Any]) -> Any:
    if inspect.iscoroutinefunction(fn):

        @functools.wraps(fn)
        async def run_async(*args: Any) -> Any:
            try:
                return await fn(*args)
            except (KilonovaError, ValidationError) as error:
                raise translate(error) from error

        return run_async

    @functools.wraps(fn)
    def run(*args: Any) -> Any:
        try:
            return fn(*args)
        except (KilonovaError, ValidationError) as error:
            raise translate(error) from error

    return run


def translate(error: KilonovaError | ValidationError) -> ApplicationError:
    """A domain error as it goes into history; the message is the user's, so it holds no secret."""
    if isinstance(error, ValidationError):
        failure = Failure(message=f"A {error.title} does not have the expected form.", kind="ValidationError")
        return ApplicationError(failure.message, failure, type="ValidationError", non_retryable=True)
    soft = error.soft if isinstance(error, HostRejected) else isinstance(error, Unavailable)
    failure = Failure(
        code=error.code,
        message=error.message,
        kind=error.kind,
        soft=soft,
        explanation=error.explanation.for_users().model_dump(mode="json") if isinstance(error, Unplaceable) else None,
    )
    return ApplicationError(error.message, failure, type=type(error).__name__, non_retryable=not soft)
