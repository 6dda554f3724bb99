from infra.domain.placement import PlacementRequest
from infra.scheduler.table import HostTable, Mask
from infra.settings import SchedulerSettings


class AvailabilityZoneFilter:
    """Passes hosts of the availability zone that was asked for, if one was."""

    def passes(self, table: HostTable, request: PlacementRequest, options: SchedulerSettings) -> Mask | None:
        return None if request.availability_zone is None else table.in_zone(request.availability_zone)
