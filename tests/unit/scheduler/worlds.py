"""Hosts, aggregates, requests and options for tests, made by hand or by hypothesis."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from infra.domain.flavor import Flavor
from infra.domain.host import Aggregate, Host, HostReport, Inventory
from infra.domain.numa import CellUse, HostCell
from infra.domain.pci import PciAlias, PciDevice
from infra.domain.placement import PlacementGroup, PlacementRequest
from infra.settings import SchedulerSettings

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
PROPERTIES = {"os_distro": ("debian", "windows"), "os_type": ("linux", "windows")}
OPTIONAL = (
    "DifferentHostFilter",
    "SameHostFilter",
    "IsolatedHostsFilter",
    "NumInstancesFilter",
    "AggregateNumInstancesFilter",
    "IoOpsFilter",
    "AggregateIoOpsFilter",
    "AggregateMultiTenancyIsolation",
    "AggregateTypeAffinityFilter",
    "AggregateInstanceExtraSpecsFilter",
    "AggregateImagePropertiesIsolation",
    "ImagePropertiesFilter",
    "ComputeCapabilitiesFilter",
    "MetricsFilter",
    "JsonFilter",
)


def host(name: str, **changes: Any) -> Host:
    """A host that is up with 8 VCPUs (x 2), 16 GiB and 100 GB; names of Host, HostReport and Inventory change it."""
    inventory = {"vcpus": 8, "memory_mb": 16384, "disk_gb": 100, "cpu_allocation_ratio": 2.0}
    report: dict[str, Any] = {"hypervisor_type": "QEMU", "hypervisor_version": 7002000, "accelerator": "tcg"}
    own: dict[str, Any] = {"ready": True, "reported_at": NOW, "created_at": NOW}
    for key, value in changes.items():
        target = inventory if key in Inventory.model_fields else report if key in HostReport.model_fields else own
        target[key] = value
    return Host(id=f"id-{name}", report=HostReport(name=name, inventory=Inventory(**inventory), **report), **own)


GPU = PciAlias(name="gpu", vendor_id="10de", product_id="1db6")


def gpus(*nodes: int | None) -> tuple[PciDevice, ...]:
    """A device on each of these NUMA nodes."""
    return tuple(
        PciDevice(address=f"0000:65:{n:02x}.0", vendor_id="10de", product_id="1db6", numa_node=node)
        for n, node in enumerate(nodes)
    )


def request(server_id: str = "server", **changes: Any) -> PlacementRequest:
    flavor = {"id": "1", "name": "m1.small", "vcpus": 1, "ram_mb": 1024, "disk_gb": 10}
    for key in list(changes):
        if key in Flavor.model_fields:
            flavor[key] = changes.pop(key)
    return PlacementRequest(server_id=server_id, project_id="project", flavor=Flavor(**flavor), **changes)


def aggregate(id: int, hosts: tuple[str, ...], **metadata: str) -> Aggregate:
    return Aggregate(id=id, uuid=f"uuid-{id}", name=f"aggregate-{id}", metadata=metadata, hosts=hosts, created_at=NOW)


def _mostly(usual: Any, *others: Any) -> st.SearchStrategy[Any]:
    """Nearly always the usual: with everything equally likely no host would ever pass all filters."""
    return st.integers(0, 11).flatmap(lambda die: st.sampled_from(others) if die == 5 else st.just(usual))


_cells = tuple(
    HostCell(
        id=id,
        shared=(4 + id, 6 + id),
        dedicated=(2 * id, 2 * id + 1),
        siblings=((2 * id, 2 * id + 1),),
        memory_mb=5000,
        pages=((2048, 1100),),
    )
    for id in (0, 1)
)
_names = tuple(f"host-{number}" for number in range(8))
_hosts = st.lists(
    st.builds(
        host,
        st.sampled_from(_names),
        vcpus=_mostly(8, 1, 2),
        memory_mb=_mostly(8192, 1024),
        disk_gb=_mostly(100, 5),
        reserved_memory_mb=st.sampled_from((0, 512)),
        ram_allocation_ratio=st.sampled_from((1.0, 1.5)),
        enabled=_mostly(True, False),
        ready=_mostly(True, False),
        forced_down=_mostly(False, True),
        reported_at=_mostly(5, 0, 29, 31, 600).map(lambda seconds: NOW - timedelta(seconds=seconds)),
        pcpus=_mostly(4, 0),
        pcpus_claimed=st.integers(0, 3),
        numa=st.sampled_from((_cells[:0], _cells, _cells, _cells[1:])),
        numa_used=st.sampled_from(((), (), (CellUse(id=0, dedicated=(0, 1), memory_mb=3000, pages=((2048, 600),)),))),
        vcpus_claimed=st.integers(0, 3),
        memory_mb_claimed=st.integers(0, 8).map(lambda gib: gib * 512),
        disk_gb_claimed=st.integers(0, 5),
        servers=st.integers(0, 4),
        io_ops=st.integers(0, 4),
        build_failures=st.sampled_from((0, 0, 1, 3)),
        terms_set=_mostly(
            {},
            {"VCPU": {"step_size": 2}},
            {"VCPU": {"reserved": 6, "allocation_ratio": 1.5}, "DISK_GB": {"max_unit": 10}},
            {"MEMORY_MB": {"min_unit": 512, "reserved": 4096}},
            {"PCPU": {"max_unit": 1}},
        ),
        pci_devices=st.sampled_from(((), gpus(0, 1), gpus(1, None, 0), gpus(None, None))),
        pci_used=st.sampled_from(((), (), gpus(1), gpus(0, 1, None))),
        hypervisor_type=st.sampled_from(("QEMU", "KVM", "fake")),
        hypervisor_version=st.sampled_from((7002000, 8001002)),
        architecture=st.sampled_from(("x86_64", "aarch64")),
        availability_zone=_mostly("nova", "east"),
        traits=st.sampled_from(((), ("CUSTOM_GOLD",), ("CUSTOM_GOLD", "HW_CPU_X86_AVX2"))),
        metrics=st.sampled_from(({}, {"heat": 1.0}, {"heat": 2.0, "noise": 1.0})),
        cpu_info=st.sampled_from(({}, {"vendor": "Intel", "features": ["aes", "mmx"], "topology": {"cores": 4}})),
    ),
    min_size=4,
    max_size=8,
    unique_by=lambda made: made.name,
)
_metadata = st.lists(
    st.sampled_from(
        [
            ("availability_zone", ("east",)),
            ("filter_tenant_id", ("project", "other, project", "other")),
            ("filter_tenant_id2", ("project", "other")),
            ("instance_type", ("m1.small,m2", "m2")),
            ("max_instances_per_host", ("1", "3", "many")),
            ("max_io_ops_per_host", ("1", "3")),
            ("ram_weight_multiplier", ("1", "-2.5", "3", "heavy")),
            ("build_failure_weight_multiplier", ("1", "3")),
            ("num_instances_weight_multiplier", ("1", "-2.5")),
            ("image_props_weight_multiplier", ("2",)),
            ("ssd", ("true", "1, 2", "3")),
            ("os_distro", ("debian", "windows,debian")),
            ("trait:CUSTOM_GOLD", ("required", "anything")),
            ("cloud.os_type", ("linux",)),
        ]
    ).flatmap(lambda pair: st.tuples(st.just(pair[0]), st.sampled_from(pair[1]))),
    max_size=4,
).map(dict)
_aggregates = st.lists(st.tuples(st.lists(st.sampled_from(_names), unique=True), _metadata), max_size=4).map(
    lambda made: [aggregate(id, tuple(hosts), **metadata) for id, (hosts, metadata) in enumerate(made, 1)]
)
_extra_specs = st.lists(
    st.sampled_from(
        [
            ("capabilities:hypervisor_type", ("QEMU", "s!= KVM", "<or> QEMU <or> KVM", "<in> E")),
            ("capabilities:cpu_info:features", ("<in> aes", "<all-in> aes mmx", "<all-in> aes avx")),
            ("capabilities:cpu_info:topology:cores", ("= 2", "== 4", "!= 4", "4")),
            ("capabilities:free_ram_mb", (">= 4096", ">= many", "<= 7000", "= 7000")),
            ("capabilities:host", ("s< host-4", "host-2")),
            ("capabilities:unheard_of", ("true",)),
            ("num_instances", ("<= 2", "2")),
            ("hw:cpu_policy", ("dedicated", "shared")),
            ("hw:numa_nodes", ("1",)),
            ("hw:mem_page_size", ("small", "large")),
            ("pci_passthrough:alias", ("gpu:1", "gpu:2", "gpu:1,near:1")),
            ("ssd", ("true", "<or> true <or> 1", ">= 1")),
            ("aggregate_instance_extra_specs:ssd", ("true", "<or> true <or> 1", "= 3")),
            ("trait:CUSTOM_GOLD", ("required", "forbidden")),
            ("trait:HW_CPU_X86_AVX2", ("required", "forbidden")),
        ]
    ).flatmap(lambda pair: st.tuples(st.just(pair[0]), st.sampled_from(pair[1]))),
    max_size=2,
).map(dict)
_image_properties = st.lists(
    st.sampled_from(
        [
            ("hw_architecture", ("x86_64", "i686", "amd64")),
            ("architecture", ("x86_64", "aarch64")),
            ("img_hv_type", ("qemu", "kvm")),
            ("hw_vm_mode", ("hvm", "xen")),
            ("img_hv_requested_version", (">=8", ">=7,<8.1", "what")),
            ("trait:CUSTOM_GOLD", ("required", "forbidden")),
            ("cloud.os_type", ("linux", "debian")),
            *PROPERTIES.items(),
            *PROPERTIES.items(),
        ]
    ).flatmap(lambda pair: st.tuples(st.just(pair[0]), st.sampled_from(pair[1]))),
    max_size=3,
).map(dict)
_group = st.none() | st.builds(
    PlacementGroup,
    id=st.just("group"),
    policy=st.sampled_from(("affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity")),
    max_server_per_host=st.integers(1, 2),
    hosts=st.lists(st.sampled_from((*_names, "host-that-left")), max_size=6).map(tuple),
)
_queries = st.sampled_from(
    (
        '[">=", "$num_instances", 1]',
        '["not", ["<", "$vcpus_total", 2, 4]]',
        '["and", ["in", "$host", "host-1", "host-2", "host-3"], ["or", ["=", "$num_instances", 0], ["<", 1, 2]]]',
        '["=", "$unheard_of", 1]',
        '["<", "$host", 3]',
    )
)
_hints = st.fixed_dictionaries(
    {},
    optional={
        **{hint: _mostly([], "s1", ["s1", "s2"], ["s3"]) for hint in ("same_host", "different_host")},
        "query": _queries,
    },
)
_some_hosts = _mostly((), _names[:1], _names[1:4])
_requests = st.builds(
    request,
    st.text("abcdef0123456789", min_size=1, max_size=4),
    vcpus=st.sampled_from((1, 2)),
    ram_mb=st.sampled_from((256, 2048)),
    disk_gb=st.sampled_from((0, 20)),
    swap_mb=st.sampled_from((0, 100)),
    extra_specs=st.just({}) | _extra_specs,
    image_id=_mostly(None, "image", "isolated"),
    image_properties=st.just({}) | _image_properties,
    volume_backed=st.booleans(),
    availability_zone=_mostly(None, "nova", "east", "mars"),
    forced_host=_mostly(None, _names[0], "unheard-of"),
    excluded_hosts=_some_hosts,
    soft_excluded_hosts=_some_hosts,
    hints=_hints,
    server_hosts=st.sampled_from(({}, {"s1": "host-1"}, {"s1": "host-1", "s2": "host-2"})),
    group=_group,
)
_weights = st.sampled_from((0.0, 1.0, -1.0, 2.5))
_options = st.builds(
    SchedulerSettings,
    host_subset_size=st.sampled_from((1, 1, 3)),
    pci_alias=st.just((GPU, GPU.model_copy(update={"name": "near", "numa_policy": "required"}))),
    enabled_filters=st.lists(st.sampled_from(OPTIONAL), unique=True, max_size=3).map(tuple),
    max_instances_per_host=_mostly(50, 2),
    max_io_ops_per_host=_mostly(8, 2),
    isolated_images=_mostly(frozenset(), frozenset({"isolated"})),
    isolated_hosts=_mostly(frozenset(), frozenset(_names[:3])),
    restrict_isolated_hosts_to_isolated_images=st.booleans(),
    enable_isolated_aggregate_filtering=st.booleans(),
    limit_tenants_to_placement_aggregate=_mostly(False, True),
    placement_aggregate_required_for_tenants=st.booleans(),
    aggregate_image_properties_isolation_namespace=st.sampled_from((None, "cloud")),
    ram_weight_multiplier=_weights,
    cpu_weight_multiplier=_weights,
    io_ops_weight_multiplier=_weights,
    num_instances_weight_multiplier=_weights,
    image_props_weight_multiplier=_weights,
    image_props_weight_setting=st.sampled_from(({}, {"os_distro": 2.0}, {"os_type": 0.0, "os_distro": 1.0})),
    metrics_weight_setting=st.sampled_from(({}, {"heat": -1.0}, {"heat": 1.0, "noise": 0.5})),
)
_image_counts = st.dictionaries(
    st.sampled_from(_names),
    st.dictionaries(
        st.sampled_from([(name, value) for name, both in PROPERTIES.items() for value in both]), st.integers(1, 3)
    ).map(Counter),
)

worlds = st.tuples(_hosts, _aggregates, _image_counts)
requests = _requests
options = _options
