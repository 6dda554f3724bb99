"""The one state machine of the project: which verb may start from which state, and which task it sets."""

from pydantic import BaseModel, ConfigDict

from infra.domain.errors import Conflict
from infra.domain.server import TaskState, Verb, VmState


class Transition(BaseModel):
    """From which states a verb may start, the task it shows while it runs, and the state it ends in."""

    model_config = ConfigDict(frozen=True)

    sources: frozenset[VmState]
    task: TaskState
    target: VmState | None
    """None: the state it came from, or one that the verb's own transaction says."""
    power: int | None = None
    """None: what it was."""


_AT_REST, _RESIZED = frozenset({VmState.ACTIVE, VmState.STOPPED}), frozenset({VmState.RESIZED})
_COPYABLE = frozenset({VmState.ACTIVE, VmState.STOPPED, VmState.PAUSED, VmState.SUSPENDED})
TRANSITIONS: dict[Verb, Transition] = {
    Verb.STOP: Transition(
        sources=frozenset({VmState.ACTIVE, VmState.ERROR}), task=TaskState.POWERING_OFF, target=VmState.STOPPED, power=4
    ),
    Verb.START: Transition(
        sources=frozenset({VmState.STOPPED}), task=TaskState.POWERING_ON, target=VmState.ACTIVE, power=1
    ),
    Verb.REBOOT_SOFT: Transition(
        sources=frozenset({VmState.ACTIVE}), task=TaskState.REBOOTING, target=VmState.ACTIVE, power=1
    ),
    Verb.REBOOT_HARD: Transition(
        sources=frozenset({VmState.ACTIVE, VmState.STOPPED, VmState.PAUSED, VmState.SUSPENDED, VmState.ERROR}),
        task=TaskState.REBOOTING_HARD,
        target=VmState.ACTIVE,
        power=1,
    ),
    Verb.PAUSE: Transition(sources=frozenset({VmState.ACTIVE}), task=TaskState.PAUSING, target=VmState.PAUSED, power=3),
    Verb.UNPAUSE: Transition(
        sources=frozenset({VmState.PAUSED}), task=TaskState.UNPAUSING, target=VmState.ACTIVE, power=1
    ),
    Verb.SUSPEND: Transition(
        sources=frozenset({VmState.ACTIVE}), task=TaskState.SUSPENDING, target=VmState.SUSPENDED, power=4
    ),
    Verb.RESUME: Transition(
        sources=frozenset({VmState.SUSPENDED}), task=TaskState.RESUMING, target=VmState.ACTIVE, power=1
    ),
    Verb.RESIZE: Transition(sources=_AT_REST, task=TaskState.RESIZE_PREP, target=None),
    Verb.MIGRATE: Transition(sources=_AT_REST, task=TaskState.RESIZE_PREP, target=None),
    Verb.REBUILD: Transition(sources=_AT_REST | {VmState.ERROR}, task=TaskState.REBUILDING, target=None),
    Verb.EVACUATE: Transition(sources=_AT_REST | {VmState.ERROR}, task=TaskState.REBUILDING, target=None),
    Verb.CONFIRM_RESIZE: Transition(sources=_RESIZED, task=TaskState.RESIZE_CONFIRMING, target=None),
    Verb.REVERT_RESIZE: Transition(sources=_RESIZED, task=TaskState.RESIZE_REVERTING, target=None),
    Verb.RESCUE: Transition(sources=_AT_REST | {VmState.ERROR}, task=TaskState.RESCUING, target=None),
    Verb.UNRESCUE: Transition(sources=frozenset({VmState.RESCUED}), task=TaskState.UNRESCUING, target=None),
    Verb.SHELVE: Transition(sources=_COPYABLE, task=TaskState.SHELVING, target=None),
    Verb.SHELVE_OFFLOAD: Transition(
        sources=frozenset({VmState.SHELVED}), task=TaskState.SHELVING_OFFLOADING, target=None
    ),
    Verb.UNSHELVE: Transition(sources=frozenset({VmState.SHELVED_OFFLOADED}), task=TaskState.UNSHELVING, target=None),
    Verb.CREATE_IMAGE: Transition(sources=_COPYABLE, task=TaskState.IMAGE_SNAPSHOT, target=None, power=None),
    Verb.CREATE_BACKUP: Transition(sources=_COPYABLE, task=TaskState.IMAGE_BACKUP, target=None, power=None),
}


def begin(verb: Verb, vm_state: VmState, task_state: TaskState | None) -> Transition:
    """Check that a verb may start now.

    Raises:
        Conflict: the server is in another state, or another verb holds it (compute API, 409).
    """
    rule = TRANSITIONS[verb]
    if task_state is not None:
        raise Conflict(f"Cannot '{verb}' instance while it is in task_state {task_state}")
    if vm_state not in rule.sources:
        raise Conflict(f"Cannot '{verb}' instance while it is in vm_state {vm_state}")
    return rule
