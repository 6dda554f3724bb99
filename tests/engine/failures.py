"""Failures as the server and the core word them."""

from temporalio.api.enums.v1 import RetryState, TimeoutType
from temporalio.api.failure.v1 import Failure

from tests.engine.messages import Spec


def of_activity(message: str, spec: Spec, cause: Failure | None, retry_state: RetryState.ValueType) -> Failure:
    """What a workflow gets of an activity that did not succeed."""
    failure = Failure(message=message)
    failure.activity_failure_info.activity_type.name = spec.activity_type
    failure.activity_failure_info.activity_id = spec.activity_id
    failure.activity_failure_info.retry_state = retry_state
    if cause is not None:
        failure.cause.CopyFrom(cause)
    return failure


def timeout(kind: TimeoutType.ValueType, cause: Failure | None = None) -> Failure:
    failure = Failure(message=f"activity {TimeoutType.Name(kind).removeprefix('TIMEOUT_TYPE_')} timeout")
    failure.timeout_failure_info.timeout_type = kind
    if cause is not None:
        # Of the attempt before, and no more.
        failure.cause.CopyFrom(cause)
        failure.cause.ClearField("cause")
    return failure


def cancelled() -> Failure:
    failure = Failure()
    failure.canceled_failure_info.SetInParent()
    return failure


def application(message: str, kind: str) -> Failure:
    failure = Failure(message=message)
    failure.application_failure_info.type = kind
    return failure


def is_final(failure: Failure, never: list[str]) -> bool:
    """Whether no other attempt can change it."""
    match failure.WhichOneof("failure_info"):
        case "application_failure_info":
            info = failure.application_failure_info
            return info.non_retryable or info.type in never
        case "timeout_failure_info":
            kind = failure.timeout_failure_info.timeout_type
            return kind not in (TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE, TimeoutType.TIMEOUT_TYPE_HEARTBEAT)
        case "canceled_failure_info" | "terminated_failure_info":
            return True
    return False
