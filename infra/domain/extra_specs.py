"""What flavors ask for in extra specs, beyond figures: read here, and refused where nothing here does it.

Names and values as in Nova's "Extra Specs" reference. What is neither done nor refused would be silently ignored, so
every namespace that changes a guest or its place is listed.
"""

import re
from collections.abc import Sequence

from infra.domain.errors import BadRequest
from infra.domain.flavor import Flavor
from infra.domain.image import Image
from infra.domain.numa import CellWish, NumaWish
from infra.domain.pci import POLICIES, PciAlias, PciWish

_DONE = re.compile(
    r"hw:(cpu_policy|cpu_thread_policy|numa_nodes|numa_cpus\.\d+|numa_mem\.\d+|mem_page_size|emulator_threads_policy)"
    r"|hw:pci_numa_affinity_policy|pci_passthrough:alias"
    r"|hw_rng:\w+|resources:(VCPU|PCPU|MEMORY_MB|DISK_GB)|trait:[A-Z0-9_]+"
)
_MEANT = re.compile(
    r"(hw|hw_rng|hw_video|quota|pci_passthrough|accel|os|resources\w*|trait\w*|group_policy|hide_hypervisor_id)(:.*)?"
)
_IMAGE = ("hw_cpu_policy", "hw_cpu_thread_policy", "hw_numa_nodes", "hw_mem_page_size", "hw_pci_numa_affinity_policy")
PCI_ALIAS = "pci_passthrough:alias"
_MAX_DEVICES = 32
"""As many as find room in a guest beside its disks and interfaces."""
_UNITS = {"": 1, "k": 1, "m": 1024, "g": 1024**2}
_MAX_CELLS = 16


def check(flavor: Flavor, image: Image | None, aliases: Sequence[PciAlias]) -> None:
    """Raises BadRequest if a boot of this flavor asks for what is not done here, or for what contradicts itself.

    Args:
        aliases: of PCI devices, as the deployment names them.
    """
    for key, value in flavor.extra_specs.items():
        if _MEANT.fullmatch(key) and not _DONE.fullmatch(key):
            raise BadRequest(f"Flavor {flavor.id} asks for {key}={value}, which is not supported here.")
        if key.startswith("trait:") and value not in ("required", "forbidden"):
            raise BadRequest(f"Invalid value of extra spec {key}: 'required' or 'forbidden' is expected.")
    for name in _IMAGE:
        if image is not None and image.properties.get(name):
            raise BadRequest(f"Image property {name} is not supported: set the extra spec of that name on the flavor.")
    numa_wish(flavor)
    pci_wishes(flavor, aliases)


def numa_wish(flavor: Flavor) -> NumaWish | None:
    """The topology a flavor asks for; None if any will do.

    Raises:
        BadRequest: a value has a wrong form, or values contradict each other.
    """
    specs = flavor.extra_specs
    if not any(key.startswith("hw:") or key == "resources:PCPU" for key in specs):
        return None
    policy = _choice(flavor, "hw:cpu_policy", ("shared", "dedicated"))
    if "resources:PCPU" in specs:
        if policy == "shared" or specs["resources:PCPU"] != str(flavor.vcpus) or "resources:VCPU" in specs:
            raise BadRequest("Extra spec resources:PCPU must be the flavor's number of vCPUs, all of them.")
        policy = "dedicated"
    threads = _choice(flavor, "hw:cpu_thread_policy", ("prefer", "isolate", "require"))
    emulator = _choice(flavor, "hw:emulator_threads_policy", ("share",))
    if (threads or emulator) and policy != "dedicated":
        raise BadRequest("Extra specs on threads of CPUs need hw:cpu_policy=dedicated.")
    pages = _page_size(specs.get("hw:mem_page_size"))
    if policy != "dedicated" and pages is None and not any(key.startswith("hw:numa_") for key in specs):
        return None
    return NumaWish(
        cells=_cells(flavor),
        dedicated=policy == "dedicated",
        threads=threads or "prefer",
        page_size=pages,
        share_emulator=emulator == "share",
    )


def pci_wishes(flavor: Flavor, aliases: Sequence[PciAlias]) -> tuple[PciWish, ...]:
    """The devices that a flavor asks for.

    Raises:
        BadRequest: an alias is not known, or a value has a wrong form.
    """
    policy = _choice(flavor, "hw:pci_numa_affinity_policy", POLICIES)
    wishes = []
    text = flavor.extra_specs.get(PCI_ALIAS)
    for name, count in pci_counts(text) if text is not None else ():
        any_of = tuple(alias for alias in aliases if alias.name == name)
        if not any_of:
            raise BadRequest(f"PCI alias {name[:60]!r} is not defined.")
        wishes.append(PciWish(count=count, any_of=any_of, numa_policy=policy or any_of[0].numa_policy))
    return tuple(wishes)


def pci_counts(text: str) -> list[tuple[str, int]]:
    """How many of each alias: ``gpu:1,nic:2``. Raises BadRequest for any other form."""
    found = []
    for part in text.split(","):
        form = re.fullmatch(r"\s*([^:]+?)\s*:\s*([1-9]\d?)\s*", part)
        if form is None:
            raise BadRequest(
                f"Invalid value of extra spec {PCI_ALIAS}: {text[:60]!r}; name:count,name:count is expected."
            )
        found.append((form[1], int(form[2])))
    if sum(count for _, count in found) > _MAX_DEVICES:
        raise BadRequest(f"Invalid value of extra spec {PCI_ALIAS}: at most {_MAX_DEVICES} devices.")
    return found


def _choice(flavor: Flavor, key: str, values: tuple[str, ...]) -> str | None:
    value = flavor.extra_specs.get(key)
    if value is not None and value not in values:
        raise BadRequest(f"Invalid value of extra spec {key}: {value[:60]!r}; supported: {', '.join(values)}.")
    return value


def _page_size(text: str | None) -> str | None:
    if text is None or text in ("small", "large", "any"):
        return text
    form = re.fullmatch(r"([1-9]\d{0,9})([kKmMgG]?)([iI]?[bB])?", text)
    if form is None:
        raise BadRequest(f"Invalid memory page size {text[:60]!r}: small, large, any or a size as 2MB is expected.")
    size = int(form[1]) * _UNITS[form[2].lower()]
    return "small" if size == 4 else str(size)


def _cells(flavor: Flavor) -> tuple[CellWish, ...]:
    specs = flavor.extra_specs
    text = specs.get("hw:numa_nodes", "1")
    if not re.fullmatch(r"[1-9]\d?", text) or int(text) > min(_MAX_CELLS, flavor.vcpus):
        raise BadRequest(f"Invalid number of NUMA nodes {text[:20]!r} for {flavor.vcpus} vCPUs.")
    count = int(text)
    named = sorted(key for key in specs if re.fullmatch(r"hw:numa_(cpus|mem)\.\d+", key))
    if not named:
        if flavor.vcpus % count or flavor.ram_mb % count:
            raise BadRequest("vCPUs and memory can't be divided by hw:numa_nodes: set hw:numa_cpus and hw:numa_mem.")
        each = flavor.vcpus // count
        memory = flavor.ram_mb // count
        return tuple(CellWish(vcpus=tuple(range(n * each, (n + 1) * each)), memory_mb=memory) for n in range(count))
    if named != sorted(f"hw:numa_{what}.{n}" for what in ("cpus", "mem") for n in range(count)):
        raise BadRequest(f"hw:numa_cpus and hw:numa_mem must be given for each of {count} NUMA nodes, from 0.")
    cells = tuple(
        CellWish(vcpus=cpu_set(specs[f"hw:numa_cpus.{n}"]), memory_mb=_number(specs[f"hw:numa_mem.{n}"]))
        for n in range(count)
    )
    if sorted(cpu for cell in cells for cpu in cell.vcpus) != list(range(flavor.vcpus)):
        raise BadRequest("hw:numa_cpus must name every vCPU of the flavor once.")
    if sum(cell.memory_mb for cell in cells) != flavor.ram_mb or not all(cell.vcpus for cell in cells):
        raise BadRequest("hw:numa_mem must add up to the flavor's memory, and each NUMA node needs a vCPU.")
    return cells


def cpu_set(text: str) -> tuple[int, ...]:
    """CPUs named as ``0-3,^2,8``. Raises BadRequest for any other form."""
    chosen: set[int] = set()
    without: set[int] = set()
    for part in filter(None, (part.strip() for part in text.split(","))):
        form = re.fullmatch(r"(\^?)(\d{1,4})(?:-(\d{1,4}))?", part)
        if form is None:
            raise BadRequest(f"Invalid set of CPUs {text[:60]!r}: 0-3,^2,8 is such a set.")
        cpus = range(int(form[2]), int(form[3] or form[2]) + 1)
        (without if form[1] else chosen).update(cpus)
    return tuple(sorted(chosen - without))


def _number(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,9}", text):
        raise BadRequest(f"Invalid amount of memory {text[:20]!r}: a number of MiB is expected.")
    return int(text)
