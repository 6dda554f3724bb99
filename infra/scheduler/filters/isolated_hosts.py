from infra.domain.placement import PlacementRequest
from infra.scheduler.table import HostTable, Mask
from infra.settings import SchedulerSettings


class IsolatedHostsFilter:
    """Isolated images run on isolated hosts only, and by default isolated hosts run nothing else."""

    def passes(self, table: HostTable, request: PlacementRequest, options: SchedulerSettings) -> Mask | None:
        if not options.isolated_hosts and not options.isolated_images:
            return None
        isolated = table.named(options.isolated_hosts)
        if request.image_id is not None and request.image_id in options.isolated_images:
            return isolated
        return ~isolated if options.restrict_isolated_hosts_to_isolated_images else None
