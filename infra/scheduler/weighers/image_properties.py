from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra.domain.placement import PlacementRequest
from infra.scheduler.table import HostTable, Rows
from infra.settings import SchedulerSettings


class ImagePropertiesWeigher:
    """More servers with the same image properties are better (packing); off by default."""

    multiplier = "image_props_weight_multiplier"
    sign = 1.0

    def weigh(
        self, table: HostTable, request: PlacementRequest, options: SchedulerSettings, rows: Rows
    ) -> NDArray[Any] | None:
        setting = options.image_props_weight_setting
        weights = np.zeros(len(rows))
        for name, value in request.image_properties.items():
            column = table.image_properties.get((name, str(value)))
            if column is not None:
                weights += (setting.get(name, 0.0) if setting else 1.0) * column[rows]
        return weights
