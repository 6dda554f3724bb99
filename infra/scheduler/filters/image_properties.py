import operator
import re
from typing import Any

from infra.domain.placement import PlacementRequest
from infra.scheduler.columns import Kind
from infra.scheduler.table import HostTable, Mask
from infra.settings import SchedulerSettings

_ARCHITECTURES = {"amd64": "x86_64", "x86": "i686", "i386": "i686", "i486": "i686", "i586": "i686", "arm64": "aarch64"}
_RUNS_TOO = {"x86_64": "i686"}
_MODES = {"hv": "hvm", "baremetal": "hvm", "pv": "xen"}
_VERSION = re.compile(r"\s*(<=|>=|==|!=|<|>|=)?\s*(\d+(?:\.\d+)*)\s*")
_COMPARE = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "=": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    ">": operator.gt,
}


class ImagePropertiesFilter:
    """Architecture, hypervisor type and version, and machine mode that the image asks for must be the host's."""

    def passes(self, table: HostTable, request: PlacementRequest, options: SchedulerSettings) -> Mask | None:
        architecture = _wish(request, "hw_architecture", "architecture")
        hypervisor = _wish(request, "img_hv_type", "hypervisor_type")
        mode = _wish(request, "hw_vm_mode", "vm_mode")
        version = _wish(request, "img_hv_requested_version", "hypervisor_version_requires")
        if not (architecture or hypervisor or mode or version):
            return None

        def suits(kind: Kind) -> bool:
            return (
                (not architecture or _ARCHITECTURES.get(architecture, architecture) in _architectures(kind))
                and (not hypervisor or hypervisor in _hypervisors(kind))
                and (not mode or _MODES.get(mode, mode) == "hvm")
                and (not version or _satisfies(kind.hypervisor_version, version))
            )

        return table.by_kind(suits)


def _wish(request: PlacementRequest, name: str, old_name: str) -> str:
    value: Any = request.image_properties.get(name) or request.image_properties.get(old_name)
    return str(value or "").strip().lower()


def _architectures(kind: Kind) -> tuple[str, ...]:
    own = kind.architecture
    return (own, _RUNS_TOO[own]) if own in _RUNS_TOO else (own,)


def _hypervisors(kind: Kind) -> tuple[str, ...]:
    # Where KVM works, QEMU without it works too.
    own = kind.hypervisor_type.lower()
    return ("kvm", "qemu") if own == "kvm" else (own,)


def _satisfies(number: int, requirement: str) -> bool:
    """``>=7.0,<8`` of 7002000; a requirement that can't be read is satisfied by no host."""
    have = (number // 1_000_000, number // 1000 % 1000, number % 1000)
    for part in requirement.split(","):
        form = _VERSION.fullmatch(part)
        if form is None:
            return False
        wanted = tuple(int(figure) for figure in form[2].split("."))
        if not _COMPARE[form[1] or "=="](have, wanted + (0,) * (3 - len(wanted))):
            return False
    return True
