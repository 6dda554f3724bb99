from infra.domain.placement import PlacementRequest
from infra.scheduler.table import HostTable, Mask
from infra.settings import SchedulerSettings


class ServerGroupAntiAffinityFilter:
    """Group policy ``anti-affinity``: passes hosts with fewer than ``max_server_per_host`` other members."""

    def passes(self, table: HostTable, request: PlacementRequest, options: SchedulerSettings) -> Mask | None:
        group = request.group
        if group is None or group.policy != "anti-affinity" or not group.hosts:
            return None
        found: Mask = table.counts(group.hosts) < group.max_server_per_host
        return found
