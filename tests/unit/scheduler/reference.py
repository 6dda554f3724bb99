"""Filters and weighers host by host, written from the administration guide's words, for comparison only."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from infra.domain.host import Aggregate, Host
from infra.domain.placement import PlacementRequest
from infra.settings import SchedulerSettings
from tests.unit.scheduler.worlds import NOW

ImageCounts = Mapping[str, Counter[tuple[str, str]]]
NUMERIC: dict[str, Callable[[float, float], bool]] = {
    "=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
}


def matches(value: Any, requirement: str) -> bool:
    """A capability against an extra spec whose operator, if any, is followed by a space."""
    if value is None:
        return False
    word, _, rest = requirement.partition(" ")
    if word in NUMERIC:
        try:
            return NUMERIC[word](float(value), float(rest))
        except (TypeError, ValueError):
            return False
    text = " ".join(value) if isinstance(value, list) else str(value)
    if word == "<in>":
        return rest in text
    if word == "<all-in>":
        return set(rest.split()) <= set(text.split())
    if word == "<or>":
        options = [part.strip() for part in requirement.split("<or>") if part.strip()]
        return bool(set(options) & set(value if isinstance(value, list) else [text]))
    if word == "s!=":
        return text != rest
    if word == "s<":
        return text < rest
    return text == requirement


class World:
    """One request put to each host in turn."""

    def __init__(
        self,
        hosts: list[Host],
        aggregates: list[Aggregate],
        images: ImageCounts,
        request: PlacementRequest,
        options: SchedulerSettings,
    ) -> None:
        self.hosts, self.images, self.request, self.options = hosts, images, request, options
        self.every_aggregate = aggregates
        self.aggregates = {host.name: [a for a in aggregates if host.name in a.hosts] for host in hosts}

    def passing(self) -> list[Host]:
        always = ["ComputeFilter", "RequestedHostFilter", "RetryFilter", "CapacityFilter"]
        always += ["ServerGroupAntiAffinityFilter", "ServerGroupAffinityFilter", "NUMATopologyFilter"]
        always += ["PciPassthroughFilter"]
        aggregates = ["IsolatedAggregates", "TenantAggregates"]
        names = always if self.request.forced_host else [*always, "AvailabilityZoneFilter", "TraitsFilter", *aggregates]
        if not self.request.forced_host:
            names += self.options.enabled_filters
        return [host for host in self.hosts if all(getattr(self, name)(host) for name in names)]

    def weights(self) -> dict[str, float]:
        """Of the hosts that pass."""
        passing = self.passing()
        total = {host.name: 0.0 for host in passing}
        for multiplier, sign, weigh in self._weighers():
            raw = {host.name: float(weigh(host)) for host in passing}
            low, high = min(raw.values(), default=0), max(raw.values(), default=0)
            for host in passing:
                if high > low:
                    factor = self._minimum(host, multiplier, getattr(self.options, multiplier))
                    total[host.name] += sign * factor * (raw[host.name] - low) / (high - low)
        return total

    def _values(self, host: Host, key: str) -> set[str]:
        texts = [a.metadata[key] for a in self.aggregates[host.name] if key in a.metadata]
        return {part.strip() for text in texts for part in text.split(",")}

    def _minimum(self, host: Host, key: str, default: float) -> float:
        found = []
        for made in self.aggregates[host.name]:
            try:
                found.append(float(made.metadata[key]))
            except (KeyError, ValueError):
                continue
        return min(found, default=default)

    def ComputeFilter(self, host: Host) -> bool:
        alive = NOW - host.reported_at <= timedelta(seconds=self.options.host_down_seconds)
        return alive and host.ready and host.enabled and not host.forced_down

    def RequestedHostFilter(self, host: Host) -> bool:
        return self.request.forced_host in (None, host.name)

    def RetryFilter(self, host: Host) -> bool:
        return host.name not in self.request.excluded_hosts

    def AvailabilityZoneFilter(self, host: Host) -> bool:
        return self.request.availability_zone in (None, host.availability_zone)

    def CapacityFilter(self, host: Host) -> bool:
        flavor = self.request.flavor
        disk = (0 if self.request.volume_backed else flavor.disk_gb) + flavor.ephemeral_gb + -(-flavor.swap_mb // 1024)
        if flavor.extra_specs.get("hw:cpu_policy") == "dedicated":
            cpus = self._gives(host, "PCPU", flavor.vcpus, host.pcpus_claimed)
        else:
            cpus = self._gives(host, "VCPU", flavor.vcpus, host.vcpus_claimed)
        return (
            cpus
            and self._gives(host, "MEMORY_MB", flavor.ram_mb, host.memory_mb_claimed)
            and self._gives(host, "DISK_GB", disk, host.disk_gb_claimed)
        )

    def _gives(self, host: Host, name: str, amount: int, claimed: int) -> bool:
        terms = self._terms(host, name)
        room = (terms["total"] - terms["reserved"]) * terms["allocation_ratio"]
        fits = terms["min_unit"] <= amount <= terms["max_unit"] and amount % terms["step_size"] == 0
        return not amount or (fits and claimed + amount <= room)

    def _terms(self, host: Host, name: str) -> dict[str, Any]:
        inventory = host.report.inventory
        total, reserved, ratio = {
            "VCPU": (inventory.vcpus, 0, inventory.cpu_allocation_ratio),
            "MEMORY_MB": (inventory.memory_mb, inventory.reserved_memory_mb, inventory.ram_allocation_ratio),
            "DISK_GB": (inventory.disk_gb, 0, inventory.disk_allocation_ratio),
            "PCPU": (inventory.pcpus, 0, 1.0),
        }[name]
        own = {"total": total, "max_unit": total, "reserved": reserved, "allocation_ratio": ratio}
        return {"min_unit": 1, "step_size": 1, **own, **host.terms_set.get(name, {})}

    def NUMATopologyFilter(self, host: Host) -> bool:
        cells = self._fitting_cells(host)
        return cells is None or int(self.request.flavor.extra_specs.get("hw:numa_nodes", "1")) <= len(cells)

    def PciPassthroughFilter(self, host: Host) -> bool:
        asked = self.request.flavor.extra_specs.get("pci_passthrough:alias")
        if asked is None:
            return True
        nearby, anywhere = {"gpu:1": (0, 1), "gpu:2": (0, 2), "gpu:1,near:1": (1, 1)}[asked]
        taken = {device.address for device in host.pci_used}
        nodes = [device.numa_node for device in host.report.pci_devices if device.address not in taken]
        cells = self._fitting_cells(host)
        if cells is None:
            return nearby + anywhere <= len(nodes)

        def suits(cell: int) -> bool:
            near, unknown = nodes.count(cell), nodes.count(None)
            return nearby <= near and nearby + anywhere <= near + unknown

        return any(suits(cell) for cell in cells)

    def _fitting_cells(self, host: Host) -> list[int] | None:
        """Cells with room for one of the guest's; None if it does not ask for any."""
        specs = self.request.flavor.extra_specs
        dedicated = specs.get("hw:cpu_policy") == "dedicated"
        if not dedicated and "hw:numa_nodes" not in specs and "hw:mem_page_size" not in specs:
            return None
        nodes = int(specs.get("hw:numa_nodes", "1"))
        cpus, memory = self.request.flavor.vcpus // nodes, self.request.flavor.ram_mb // nodes
        uses = {use.id: use for use in host.numa_used}
        fitting = []
        for cell in host.report.numa:
            use = uses.get(cell.id)
            taken, pages = (set(use.dedicated), dict(use.pages)) if use else (set(), {})
            free = len(set(cell.dedicated) - taken) if dedicated else len(cell.shared)
            small = cell.memory_mb - sum(size * count // 1024 for size, count in cell.pages)
            small -= use.memory_mb if use else 0
            huge = any((count - pages.get(size, 0)) * size >= memory * 1024 for size, count in cell.pages)
            if cpus <= free and (huge if specs.get("hw:mem_page_size") == "large" else memory <= small):
                fitting.append(cell.id)
        return fitting

    def TraitsFilter(self, host: Host) -> bool:
        for wishes in (self.request.flavor.extra_specs, self.request.image_properties):
            for key, wish in wishes.items():
                trait = key.removeprefix("trait:")
                if key == trait:
                    continue
                if wish == ("forbidden" if trait in host.report.traits else "required"):
                    return False
        return True

    def IsolatedAggregates(self, host: Host) -> bool:
        sources = (self.request.flavor.extra_specs, self.request.image_properties)
        for made in self.aggregates[host.name] if self.options.enable_isolated_aggregate_filtering else ():
            for key, value in made.metadata.items():
                isolated = key.startswith("trait:") and value == "required"
                if isolated and "required" not in [source.get(key) for source in sources]:
                    return False
        return True

    def TenantAggregates(self, host: Host) -> bool:
        if not self.options.limit_tenants_to_placement_aggregate:
            return True

        def lists(made: Aggregate) -> bool:
            texts = [made.metadata.get(key, "") for key in ("filter_tenant_id", "filter_tenant_id2")]
            return any(part.strip() == self.request.project_id for text in texts for part in text.split(","))

        if any(lists(made) for made in self.every_aggregate):
            return any(lists(made) for made in self.aggregates[host.name])
        return not self.options.placement_aggregate_required_for_tenants

    def JsonFilter(self, host: Host) -> bool:
        vcpus = host.report.inventory.vcpus
        known = {"$num_instances": host.servers, "$host": host.name, "$vcpus_total": vcpus, "$unheard_of": None}

        def holds(query: list[Any]) -> bool:
            name, *operands = query
            if name in ("and", "or", "not"):
                results = [holds(operand) for operand in operands]
                return any(results) if name == "or" else all(results) == (name == "and")
            first, *others = [known.get(operand, operand) for operand in operands]
            if first is None or None in others or isinstance(first, str) != isinstance(others[0], str):
                return False
            if name == "in":
                return first in others
            return all(first == x if name == "=" else first < x if name == "<" else first >= x for x in others)

        return "query" not in self.request.hints or holds(json.loads(self.request.hints["query"]))

    def _members(self, host: Host, policy: str) -> int | None:
        group = self.request.group
        if group is None or group.policy != policy or not group.hosts:
            return None
        return list(group.hosts).count(host.name)

    def ServerGroupAntiAffinityFilter(self, host: Host) -> bool:
        members = self._members(host, "anti-affinity")
        return members is None or self.request.group is None or members < self.request.group.max_server_per_host

    def ServerGroupAffinityFilter(self, host: Host) -> bool:
        return self._members(host, "affinity") != 0

    def _hinted(self, hint: str) -> list[str]:
        value = self.request.hints.get(hint, [])
        return [value] if isinstance(value, str) else value

    def DifferentHostFilter(self, host: Host) -> bool:
        return host.name not in [self.request.server_hosts.get(server) for server in self._hinted("different_host")]

    def SameHostFilter(self, host: Host) -> bool:
        hinted = self._hinted("same_host")
        return not hinted or host.name in [self.request.server_hosts.get(server) for server in hinted]

    def IsolatedHostsFilter(self, host: Host) -> bool:
        image = self.request.image_id in self.options.isolated_images
        isolated = host.name in self.options.isolated_hosts
        if self.options.restrict_isolated_hosts_to_isolated_images:
            return image == isolated
        return isolated or not image

    def NumInstancesFilter(self, host: Host) -> bool:
        return host.servers < self.options.max_instances_per_host

    def AggregateNumInstancesFilter(self, host: Host) -> bool:
        return host.servers < self._minimum(host, "max_instances_per_host", self.options.max_instances_per_host)

    def IoOpsFilter(self, host: Host) -> bool:
        return host.report.io_ops < self.options.max_io_ops_per_host

    def AggregateIoOpsFilter(self, host: Host) -> bool:
        return host.report.io_ops < self._minimum(host, "max_io_ops_per_host", self.options.max_io_ops_per_host)

    def AggregateMultiTenancyIsolation(self, host: Host) -> bool:
        tenants = self._values(host, "filter_tenant_id") | self._values(host, "filter_tenant_id2")
        return not tenants or self.request.project_id in tenants

    def AggregateTypeAffinityFilter(self, host: Host) -> bool:
        types = self._values(host, "instance_type")
        return not types or self.request.flavor.name in types

    def AggregateInstanceExtraSpecsFilter(self, host: Host) -> bool:
        for key, text in self.request.flavor.extra_specs.items():
            if ":" in key and not key.startswith("aggregate_instance_extra_specs:"):
                continue
            if not any(matches(value, text) for value in self._values(host, key.rpartition(":")[2])):
                return False
        return True

    def AggregateImagePropertiesIsolation(self, host: Host) -> bool:
        namespace = self.options.aggregate_image_properties_isolation_namespace
        for name, value in self.request.image_properties.items():
            if namespace is None or name.startswith(f"{namespace}."):
                allowed = self._values(host, name)
                if allowed and value not in allowed:
                    return False
        return True

    def ImagePropertiesFilter(self, host: Host) -> bool:
        properties, report = self.request.image_properties, host.report
        architecture = properties.get("hw_architecture") or properties.get("architecture")
        runs = {"x86_64": ("x86_64", "amd64", "i686"), "aarch64": ("aarch64",)}[report.architecture]
        types = {"QEMU": ("qemu",), "KVM": ("kvm", "qemu"), "fake": ("fake",)}[report.hypervisor_type]
        versions = {7002000: (">=7,<8.1",), 8001002: (">=8",)}[report.hypervisor_version]
        return (
            architecture in (None, *runs)
            and properties.get("img_hv_type") in (None, *types)
            and properties.get("hw_vm_mode") in (None, "hvm")
            and properties.get("img_hv_requested_version") in (None, *versions)
        )

    def ComputeCapabilitiesFilter(self, host: Host) -> bool:
        report = host.report
        known = {
            "hypervisor_type": report.hypervisor_type,
            "cpu_info:features": report.cpu_info.get("features"),
            "cpu_info:topology:cores": report.cpu_info.get("topology", {}).get("cores"),
            "free_ram_mb": self._free_ram(host),
            "host": host.name,
            "num_instances": host.servers,
        }
        for key, text in self.request.flavor.extra_specs.items():
            scoped = key.startswith("capabilities:")
            name = key.removeprefix("capabilities:")
            if (scoped or name in known) and not matches(known.get(name), text):
                return False
        return True

    def MetricsFilter(self, host: Host) -> bool:
        return set(self.options.metrics_weight_setting) <= set(host.report.metrics)

    def _weighers(self) -> list[tuple[str, int, Callable[[Host], float]]]:
        return [
            ("ram_weight_multiplier", 1, self._free_ram),
            (
                "cpu_weight_multiplier",
                1,
                self._free_cpus,
            ),
            ("disk_weight_multiplier", 1, lambda h: h.report.inventory.disk_gb - h.disk_gb_claimed),
            ("hypervisor_version_weight_multiplier", 1, lambda h: h.report.hypervisor_version),
            ("io_ops_weight_multiplier", 1, lambda h: h.report.io_ops),
            ("num_instances_weight_multiplier", 1, lambda h: h.servers),
            ("image_props_weight_multiplier", 1, self._alike),
            ("pci_weight_multiplier", 1, self._few_devices),
            ("metrics_weight_multiplier", 1, self._metrics),
            ("soft_affinity_weight_multiplier", 1, lambda h: self._members(h, "soft-affinity") or 0),
            ("soft_anti_affinity_weight_multiplier", 1, lambda h: -(self._members(h, "soft-anti-affinity") or 0)),
            ("build_failure_weight_multiplier", -1, lambda h: h.build_failures),
        ]

    def _few_devices(self, host: Host) -> float:
        taken = {device.address for device in host.pci_used}
        return -sum(device.address not in taken for device in host.report.pci_devices)

    def _free_ram(self, host: Host) -> float:
        terms = self._terms(host, "MEMORY_MB")
        return float(terms["total"] - terms["reserved"] - host.memory_mb_claimed)

    def _free_cpus(self, host: Host) -> float:
        terms = self._terms(host, "VCPU")
        return max(0, (terms["total"] - terms["reserved"]) * terms["allocation_ratio"]) - host.vcpus_claimed

    def _alike(self, host: Host) -> float:
        setting = self.options.image_props_weight_setting
        counts = self.images.get(host.name, Counter())
        properties = self.request.image_properties.items()
        return sum((setting.get(name, 0) if setting else 1) * counts[name, value] for name, value in properties)

    def _metrics(self, host: Host) -> float:
        setting, metrics = self.options.metrics_weight_setting, host.report.metrics
        if not set(setting) <= set(metrics):
            return self.options.metrics_weight_of_unavailable
        return sum(factor * metrics[name] for name, factor in setting.items())
