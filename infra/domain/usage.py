"""What a server has used of its host in a period. Pure."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from infra.domain.server import Server


class ServerUsage(BaseModel):
    """A server's share of a period; ``totals`` are its resources times ``hours``."""

    model_config = ConfigDict(frozen=True)

    server: Server
    started_at: datetime
    ended_at: datetime | None
    hours: float
    uptime_seconds: int
    """From its launch to its end, or to now, whatever the period."""

    @property
    def totals(self) -> tuple[float, float, float]:
        """(vCPU hours, MiB hours of memory, GiB hours of disk)."""
        flavor = self.server.flavor
        disk_gb = flavor.disk_gb + flavor.ephemeral_gb
        return self.hours * flavor.vcpus, self.hours * flavor.ram_mb, self.hours * disk_gb


def usage_of(server: Server, start: datetime, stop: datetime, now: datetime) -> ServerUsage | None:
    """None: it did not run between ``start`` and ``stop``."""
    if server.launched_at is None:
        return None
    ended = server.terminated_at
    began, end = max(server.launched_at, start), min(ended or now, stop)
    if server.launched_at >= stop or (ended is not None and ended < start):
        return None
    return ServerUsage(
        server=server,
        started_at=server.launched_at,
        ended_at=ended,
        hours=max((end - began).total_seconds(), 0.0) / 3600,
        uptime_seconds=int(((ended or now) - server.launched_at).total_seconds()),
    )
