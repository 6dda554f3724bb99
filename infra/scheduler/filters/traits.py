from infra.domain.placement import PlacementRequest
from infra.scheduler.table import HostTable, Mask
from infra.settings import SchedulerSettings


class TraitsFilter:
    """``trait:<NAME>`` of flavor or image: ``required`` traits must be there, ``forbidden`` ones must not."""

    def passes(self, table: HostTable, request: PlacementRequest, options: SchedulerSettings) -> Mask | None:
        wishes = [
            (name.removeprefix("trait:"), wish)
            for source in (request.flavor.extra_specs, request.image_properties)
            for name, wish in source.items()
            if name.startswith("trait:")
        ]
        required = frozenset(trait for trait, wish in wishes if wish == "required")
        forbidden = frozenset(trait for trait, wish in wishes if wish == "forbidden")
        if not required and not forbidden:
            return None
        return table.by_kind(lambda kind: kind.traits >= required and not kind.traits & forbidden)
