from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra.domain.placement import PlacementRequest
from infra.scheduler.table import HostTable, Rows
from infra.settings import SchedulerSettings


class MetricsWeigher:
    """The sum of the metrics of ``metrics_weight_setting``, each times its factor."""

    multiplier = "metrics_weight_multiplier"
    sign = 1.0

    def weigh(
        self, table: HostTable, request: PlacementRequest, options: SchedulerSettings, rows: Rows
    ) -> NDArray[Any] | None:
        setting = options.metrics_weight_setting
        if not setting:
            return None
        weights = np.zeros(len(rows))
        for metric, factor in setting.items():
            column = table.metrics.get(metric)
            weights += np.nan if column is None else factor * column[rows]
        return np.where(np.isnan(weights), options.metrics_weight_of_unavailable, weights)
