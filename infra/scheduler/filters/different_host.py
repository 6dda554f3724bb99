from infra.domain.placement import PlacementRequest
from infra.scheduler.table import HostTable, Mask
from infra.settings import SchedulerSettings


class DifferentHostFilter:
    """Hint ``different_host``: removes the hosts that have any of the servers it names."""

    def passes(self, table: HostTable, request: PlacementRequest, options: SchedulerSettings) -> Mask | None:
        servers = request.hinted_servers("different_host")
        if not servers:
            return None
        return ~table.named(request.server_hosts[server] for server in servers if server in request.server_hosts)
