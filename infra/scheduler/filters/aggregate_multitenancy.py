from infra.domain.host import Aggregate
from infra.domain.placement import PlacementRequest
from infra.scheduler.specs import values
from infra.scheduler.table import HostTable, Mask
from infra.settings import SchedulerSettings


class AggregateMultiTenancyIsolation:
    """Hosts of aggregates with ``filter_tenant_id*`` take only servers of the projects that these list."""

    def passes(self, table: HostTable, request: PlacementRequest, options: SchedulerSettings) -> Mask | None:
        restricted = table.in_aggregates(lambda aggregate: bool(tenants(aggregate)))
        allowed = table.in_aggregates(lambda aggregate: request.project_id in tenants(aggregate))
        return ~restricted | allowed


def tenants(aggregate: Aggregate) -> frozenset[str]:
    keys = [key for key in aggregate.metadata if key.startswith("filter_tenant_id")]
    return frozenset().union(*(values(aggregate.metadata[key]) for key in keys))
