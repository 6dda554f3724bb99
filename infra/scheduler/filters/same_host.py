from infra.domain.placement import PlacementRequest
from infra.scheduler.table import HostTable, Mask
from infra.settings import SchedulerSettings


class SameHostFilter:
    """Hint ``same_host``: passes only hosts that have any of the servers it names."""

    def passes(self, table: HostTable, request: PlacementRequest, options: SchedulerSettings) -> Mask | None:
        servers = request.hinted_servers("same_host")
        if not servers:
            return None
        return table.named(request.server_hosts[server] for server in servers if server in request.server_hosts)
