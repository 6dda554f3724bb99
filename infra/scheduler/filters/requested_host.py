from infra.domain.placement import PlacementRequest
from infra.scheduler.table import HostTable, Mask
from infra.settings import SchedulerSettings


class RequestedHostFilter:
    """Passes only the host that an administrator asked for, if one did (``availability_zone=zone:host``, ``host``)."""

    def passes(self, table: HostTable, request: PlacementRequest, options: SchedulerSettings) -> Mask | None:
        return None if request.forced_host is None else table.named((request.forced_host,))
