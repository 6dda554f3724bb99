"""What a host sees of a server's guest, and the state that the server is in by that."""

from infra.domain.server import PowerState, TaskState, VmState
from infra.domain.transitions import TRANSITIONS

_SEEN: dict[int, VmState] = {
    PowerState.RUNNING: VmState.ACTIVE,
    PowerState.PAUSED: VmState.PAUSED,
    PowerState.SUSPENDED: VmState.SUSPENDED,
    PowerState.SHUTDOWN: VmState.STOPPED,
    PowerState.CRASHED: VmState.STOPPED,
    # There is no guest: it runs no more, and what its disks hold may be there still.
    PowerState.NOSTATE: VmState.STOPPED,
}


def seen(vm_state: VmState, task_state: TaskState | None, power_state: int) -> VmState:
    """The state of a server by what its host sees of the guest, after a verb of which nobody knows how far it came.

    One in ERROR leaves that only where the guest is as the verb would have left it.
    """
    found = _SEEN.get(power_state, vm_state)
    if vm_state is not VmState.ERROR:
        return found
    return found if any(rule.task is task_state and rule.target is found for rule in TRANSITIONS.values()) else vm_state
