from infra.domain.inventory import CLASSES
from infra.domain.placement import PlacementRequest
from infra.scheduler.columns import Kind
from infra.scheduler.table import HostTable, Mask
from infra.settings import SchedulerSettings


class UnitsFilter:
    """Passes hosts that give out such amounts: not less than ``min_unit``, and multiples of ``step_size``."""

    def passes(self, table: HostTable, request: PlacementRequest, options: SchedulerSettings) -> Mask | None:
        asked = [getattr(request.resources, column) for column in CLASSES.values()]

        def gives(kind: Kind) -> bool:
            pairs = zip(asked, kind.units, strict=True)
            return all(not amount or (amount >= least and amount % step == 0) for amount, (least, step) in pairs)

        return table.by_kind(gives)
