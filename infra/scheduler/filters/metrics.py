import numpy as np

from infra.domain.placement import PlacementRequest
from infra.scheduler.table import HostTable, Mask
from infra.settings import SchedulerSettings


class MetricsFilter:
    """Passes hosts that report every metric of ``metrics_weight_setting``."""

    def passes(self, table: HostTable, request: PlacementRequest, options: SchedulerSettings) -> Mask | None:
        mask = np.ones(len(table), np.bool_)
        for metric in options.metrics_weight_setting:
            column = table.metrics.get(metric)
            mask &= False if column is None else ~np.isnan(column)
        return mask
