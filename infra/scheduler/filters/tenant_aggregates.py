import numpy as np

from infra.domain.placement import PlacementRequest
from infra.scheduler.filters.aggregate_multitenancy import tenants
from infra.scheduler.table import HostTable, Mask
from infra.settings import SchedulerSettings


class TenantAggregatesFilter:
    """Projects that aggregates list under ``filter_tenant_id*`` go to hosts of these aggregates only, if set so."""

    def passes(self, table: HostTable, request: PlacementRequest, options: SchedulerSettings) -> Mask | None:
        if not options.limit_tenants_to_placement_aggregate:
            return None
        if any(request.project_id in tenants(aggregate) for aggregate in table.aggregates):
            return table.in_aggregates(lambda aggregate: request.project_id in tenants(aggregate))
        return np.zeros(len(table), np.bool_) if options.placement_aggregate_required_for_tenants else None
