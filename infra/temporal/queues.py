"""Names of the task queues. One process polls all the queues of a host, each with slots of its own."""

from enum import StrEnum

CONTROL = "control"
"""Workflows, records, REST undos of hosts that are gone."""
SCHEDULE = "control.schedule"
"""``claim_host`` only, with few slots and fairness by project: the gate for boots in flight."""
DATA = "control.data"
"""Copies of volume data: long."""


class Lane(StrEnum):
    """Where on a host a step runs; a delete must not wait behind a download."""

    URGENT = "urgent"
    WORK = "work"
    BULK = "bulk"


def host_queue(host: str, lane: Lane) -> str:
    """``compute.<host>``, ``compute.<host>.urgent`` or ``compute.<host>.bulk``."""
    return f"compute.{host}" if lane is Lane.WORK else f"compute.{host}.{lane}"
