from infra.domain.extra_specs import pci_wishes
from infra.domain.fitting import Wish
from infra.domain.placement import PlacementRequest
from infra.scheduler.table import HostTable, Mask
from infra.settings import SchedulerSettings


class PciPassthroughFilter:
    """Passes hosts with the devices that ``pci_passthrough:alias`` asks for, near the memory asked for if need be."""

    def passes(self, table: HostTable, request: PlacementRequest, options: SchedulerSettings) -> Mask | None:
        devices = pci_wishes(request.flavor, options.pci_alias)
        return table.fits_devices(Wish(topology=request.topology, devices=devices)) if devices else None
