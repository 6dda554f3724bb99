from infra.domain.fitting import Wish
from infra.domain.placement import PlacementRequest
from infra.scheduler.table import HostTable, Mask
from infra.settings import SchedulerSettings


class NUMATopologyFilter:
    """Passes hosts whose NUMA cells have the CPUs and pages that ``hw:`` extra specs ask for; the claim asks too."""

    def passes(self, table: HostTable, request: PlacementRequest, options: SchedulerSettings) -> Mask | None:
        return None if request.topology is None else table.fits_topology(Wish(topology=request.topology))
