"""Every time limit, retry and queue, by name. No workflow holds a number of its own.

Start-to-close says how long one try may take, schedule-to-start how long a host's queue may leave it lying,
heartbeat how soon a frozen worker or a cancel is noticed.
"""

from dataclasses import dataclass
from datetime import timedelta

from temporalio.common import RetryPolicy

from infra.temporal.queues import Lane


def _s(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


@dataclass(frozen=True)
class Policy:
    """How one kind of step runs. ``lane`` None: on a control queue."""

    name: str
    start_to_close: timedelta
    retry: RetryPolicy
    lane: Lane | None = None
    queue: str | None = None
    """Of the control queues; None is the workflow's own."""
    local: bool = False
    schedule_to_start: timedelta | None = None
    schedule_to_close: timedelta | None = None
    heartbeat: timedelta | None = None


_BRIEF = RetryPolicy(initial_interval=_s(0.2), backoff_coefficient=2, maximum_interval=_s(2), maximum_attempts=3)
_SOME = RetryPolicy(initial_interval=_s(0.5), backoff_coefficient=2, maximum_interval=_s(10), maximum_attempts=4)
_OFTEN = RetryPolicy(initial_interval=_s(0.5), backoff_coefficient=2, maximum_interval=_s(5))
_LONG = RetryPolicy(initial_interval=_s(0.5), backoff_coefficient=2, maximum_interval=_s(30))

ADMISSION = Policy("admission", local=True, start_to_close=_s(5), schedule_to_close=_s(10), retry=_BRIEF)
"""One transaction while a POST waits: at most three tries."""

RECORD = Policy("record", local=True, start_to_close=_s(10), retry=_LONG)
"""One transaction that must be written: tried for ever, since it only fails where the database does."""

UNDO_RECORD = Policy("undo-record", start_to_close=_s(10), heartbeat=_s(5), retry=_LONG)
"""A write of an undo: regular, so that a pending one shows in the UI."""

CLAIM = Policy("claim", queue="control.schedule", start_to_close=_s(30), heartbeat=_s(5), retry=_OFTEN)
"""Waits its turn behind other boots, and for hosts that restart: no limit on the queue but the boot's own."""

ACCEPT = Policy(
    "accept", lane=Lane.URGENT, schedule_to_start=_s(15), start_to_close=_s(30), heartbeat=_s(5), retry=_SOME
)
"""The first calls on a host: they also ask whether it is there. 15 s is longer than its worker's supervised restart."""

HOST_CALL = Policy(
    "host-call", lane=Lane.WORK, schedule_to_start=_s(120), start_to_close=_s(60), heartbeat=_s(5), retry=_SOME
)
"""A REST call or a short effect on a host that has accepted."""

RESERVE = Policy("reserve", start_to_close=_s(8), schedule_to_close=_s(12), retry=_BRIEF)
"""A call of a service while a POST waits for its answer."""

SERVICE_CALL = Policy("service-call", start_to_close=_s(30), schedule_to_close=_s(120), heartbeat=_s(5), retry=_LONG)
"""A call of a service that no host is needed for."""

HOST_DETACH = Policy(
    "host-detach",
    lane=Lane.WORK,
    schedule_to_start=_s(120),
    schedule_to_close=_s(300),
    start_to_close=_s(60),
    heartbeat=_s(5),
    retry=RetryPolicy(initial_interval=_s(1), backoff_coefficient=1.5, maximum_interval=_s(10)),
)
"""A guest lets go of a disk when it is up: asked again and again, as Nova does, for longer than a slow boot."""

HOST_SPAWN = Policy(
    "host-spawn",
    lane=Lane.WORK,
    schedule_to_start=_s(120),
    start_to_close=_s(180),
    heartbeat=_s(5),
    retry=RetryPolicy(initial_interval=_s(0.5), backoff_coefficient=2, maximum_attempts=3),
)
"""Starting a guest; a try that was killed with its worker is repeated and finds its own work."""

HOST_COPY = Policy(
    "host-copy", lane=Lane.BULK, schedule_to_start=_s(600), start_to_close=_s(3600), heartbeat=_s(10), retry=_SOME
)
"""Moves data: limited by heartbeats rather than by time."""

HOST_UPLOAD = Policy(
    "host-upload",
    lane=Lane.BULK,
    schedule_to_start=_s(600),
    start_to_close=_s(3600),
    heartbeat=_s(10),
    retry=RetryPolicy(initial_interval=_s(1), backoff_coefficient=2, maximum_interval=_s(15), maximum_attempts=10),
)
"""Data from a host to a service: tried for longer than an upload that died there holds its image (a minute)."""

HOST_UNDO = Policy(
    "host-undo",
    lane=Lane.URGENT,
    schedule_to_start=_s(15),
    schedule_to_close=_s(120),
    start_to_close=_s(90),
    heartbeat=_s(5),
    retry=RetryPolicy(initial_interval=_s(0.5), backoff_coefficient=2, maximum_interval=_s(10)),
)
"""An undo on a host. When its time is over the host owes it, and the run goes on."""

HOST_TIDY = Policy(
    "host-tidy", lane=Lane.URGENT, schedule_to_start=_s(15), start_to_close=_s(300), heartbeat=_s(5), retry=_SOME
)
"""A host removes what should not be there: as much as it has, one after the other."""

HOST_SYNC = Policy(
    "host-sync", lane=Lane.URGENT, schedule_to_start=_s(15), start_to_close=_s(60), heartbeat=_s(5), retry=_SOME
)
"""A host reads what its networking should be, and converges to it. One that is away does so when it is back."""

REST_UNDO = Policy("rest-undo", start_to_close=_s(30), schedule_to_close=_s(300), heartbeat=_s(5), retry=_LONG)
"""An undo at a service, from the control queue: it needs no host. After five minutes it shows as stuck, and goes on."""

HOST_READ = Policy(
    "host-read", lane=Lane.URGENT, schedule_to_start=_s(10), start_to_close=_s(10), heartbeat=_s(5), retry=_BRIEF
)

VOLUME_WAIT = Policy(
    "volume-wait",
    lane=Lane.WORK,
    start_to_close=_s(20),
    schedule_to_close=_s(3600),
    retry=RetryPolicy(initial_interval=_s(0.2), backoff_coefficient=1.5, maximum_interval=_s(5)),
)
"""Asks again until a volume that is being made is there: the waiting is the engine's."""

DATA_COPY = Policy(
    "data-copy",
    queue="control.data",
    start_to_close=_s(3600),
    heartbeat=_s(10),
    schedule_to_close=_s(7200),
    retry=_SOME,
)

BUSY_PAUSE = _s(1)
"""Before another host is looked for, or the same one again, when a host was only busy; twice as long each time."""
BUSY_PAUSE_LONGEST = _s(15)
STUCK_PAUSE = _s(30)
"""Before what must be done, and was given up by the engine, is tried again."""

TASK_TIMEOUT = _s(5)
"""Of workflow tasks: a control worker killed during an admission holds its POST no longer."""
HOST_PATIENCE = _s(40)
"""How long work lies in a host's queue before it is asked whether the host is up: longer than it may be silent."""
STICKY_TIMEOUT = _s(3)
UPDATE_TIMEOUT = _s(20)
"""How long the API waits for an admission."""
RECONCILE_TIMEOUT = _s(400)
"""How long an operator waits for a host to be compared: it may remove much."""
POKE_TIMEOUT = _s(10)
"""How long the API tries to have a host told that its networking changed: the host finds out by itself, too."""
ADMIT_SECONDS = 10.0
"""An admission later than this after the POST creates nothing."""

DELETE_PRIORITY = 1
"""Deletes go before other verbs, and these before boots."""
VERB_PRIORITY = 2
BOOT_PRIORITY = 3
