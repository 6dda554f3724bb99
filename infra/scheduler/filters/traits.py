from infra.domain.placement import PlacementRequest
from infra.scheduler.table import HostTable, Mask
from infra.settings import SchedulerSettings


class TraitsFilter:
    """``trait:<NAME>`` of flavor or image: ``required`` traits must be there, ``forbidden`` ones must not."""

    def passes(self, table: HostTable, request: PlacementRequest, options: SchedulerSettings) -> Mask | None:
        required, forbidden = required_traits(request), _named(request, "forbidden")
        if not required and not forbidden:
            return None
        return table.by_kind(lambda kind: kind.traits >= required and not kind.traits & forbidden)


def required_traits(request: PlacementRequest) -> frozenset[str]:
    return _named(request, "required")


def _named(request: PlacementRequest, wish: str) -> frozenset[str]:
    return frozenset(
        name.removeprefix("trait:")
        for source in (request.flavor.extra_specs, request.image_properties)
        for name, value in source.items()
        if value == wish and name.startswith("trait:")
    )
