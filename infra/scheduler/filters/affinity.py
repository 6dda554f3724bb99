from infra.domain.placement import PlacementRequest
from infra.scheduler.table import HostTable, Mask
from infra.settings import SchedulerSettings


class ServerGroupAffinityFilter:
    """Group policy ``affinity``: passes the hosts where other members are; all, for the first member."""

    def passes(self, table: HostTable, request: PlacementRequest, options: SchedulerSettings) -> Mask | None:
        group = request.group
        if group is None or group.policy != "affinity" or not group.hosts:
            return None
        return table.named(group.hosts)
