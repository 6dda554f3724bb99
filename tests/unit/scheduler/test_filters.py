"""Each filter by the words of the administration guide, on hosts made for the purpose."""

from typing import Any

import pytest

from infra.domain.errors import BadRequest
from infra.domain.host import Aggregate, Host
from infra.domain.placement import PlacementGroup
from infra.scheduler.select import select
from infra.scheduler.table import HostTable
from infra.settings import SchedulerSettings
from tests.unit.scheduler.worlds import NOW, OPTIONAL, aggregate, host, request


def _left(
    hosts: list[Host], *filters: str, aggregates: tuple[Aggregate, ...] = (), options: Any = None, **wanted: Any
) -> list[str]:
    """Names of the hosts that pass."""
    table = HostTable(hosts, aggregates, as_of=NOW)
    settings = SchedulerSettings(enabled_filters=filters, **(options or {}))
    return sorted(table.names[row] for row in select(table, request(**wanted), settings).rows)


def test_one_server_gets_no_more_than_the_host_has_itself() -> None:
    hosts = [host("a", vcpus=2, cpu_allocation_ratio=16.0), host("b", vcpus=4)]
    assert _left(hosts, vcpus=4) == ["b"]


def test_reserved_memory_is_not_given_away_and_disk_counts_all_disks() -> None:
    hosts = [host("a", memory_mb=4096, reserved_memory_mb=512), host("b", memory_mb=4096)]
    assert _left(hosts, ram_mb=4000) == ["b"]
    hosts = [host("a", disk_gb=10), host("b", disk_gb=16)]
    assert _left(hosts, disk_gb=10, ephemeral_gb=5, swap_mb=100) == ["b"]
    assert _left(hosts, disk_gb=100, volume_backed=True) == ["a", "b"]


def test_extra_specs_override_what_a_flavor_takes() -> None:
    hosts = [host("a", memory_mb=2048)]
    assert _left(hosts, ram_mb=4096) == []
    assert _left(hosts, ram_mb=4096, extra_specs={"resources:MEMORY_MB": "1024"}) == ["a"]


def test_a_forced_host_skips_all_but_what_the_claim_needs() -> None:
    hosts = [host("a", hypervisor_type="fake"), host("b"), host("c", enabled=False)]
    wanted: dict[str, Any] = {"image_properties": {"img_hv_type": "qemu"}, "availability_zone": "mars"}
    assert _left(hosts, "ImagePropertiesFilter", forced_host="a", **wanted) == ["a"]
    assert _left(hosts, forced_host="c") == []
    assert _left(hosts, forced_host="a", vcpus=100) == []
    group = PlacementGroup(id="g", policy="anti-affinity", hosts=("a",))
    assert _left(hosts, forced_host="a", group=group) == []


@pytest.mark.parametrize(
    ("properties", "names"),
    [
        ({"hw_architecture": "amd64"}, ["kvm", "qemu"]),
        ({"architecture": "aarch64"}, ["arm"]),
        ({"hw_architecture": "i686"}, ["kvm", "qemu"]),
        ({"img_hv_type": "qemu"}, ["arm", "kvm", "qemu"]),
        ({"hypervisor_type": "KVM"}, ["kvm"]),
        ({"hw_vm_mode": "xen"}, []),
        ({"vm_mode": "hvm"}, ["arm", "kvm", "qemu"]),
        ({"img_hv_requested_version": ">=7.2,<8"}, ["qemu"]),
        ({"hypervisor_version_requires": "!=7.2.0"}, ["arm", "kvm"]),
        ({"img_hv_requested_version": "new"}, []),
        ({}, ["arm", "kvm", "qemu"]),
    ],
)
def test_image_properties(properties: dict[str, str], names: list[str]) -> None:
    hosts = [
        host("qemu"),
        host("kvm", hypervisor_type="KVM", hypervisor_version=8001002),
        host("arm", architecture="aarch64", hypervisor_version=8000000),
    ]
    assert _left(hosts, "ImagePropertiesFilter", image_properties=properties) == names


@pytest.mark.parametrize(
    ("specs", "names"),
    [
        ({"capabilities:cpu_info:features": "<all-in> aes avx2"}, ["a"]),
        ({"capabilities:cpu_info:topology:cores": "= 4"}, ["a"]),
        ({"capabilities:cpu_info:vendor": "<or> AMD <or> Intel"}, ["a", "b"]),
        ({"capabilities:free_ram_mb": ">= 10000"}, ["b"]),
        ({"capabilities:free_disk_mb": "<= 51200"}, ["b"]),
        ({"capabilities:vcpus_used": "= 2"}, ["a"]),
        ({"capabilities:host": "<in> b"}, ["b"]),
        ({"capabilities:hypervisor_version": ">= 8000000"}, ["b"]),
        ({"capabilities:none_such": "1"}, []),
        ({"capabilities:vcpus_total:deeper": "1"}, []),
        ({"num_instances": "<= 1"}, ["b"]),
        ({"none_such": "1", "hw_rng:allowed": "true"}, ["a", "b"]),
    ],
)
def test_capabilities(specs: dict[str, str], names: list[str]) -> None:
    intel = {"vendor": "Intel", "features": ["aes", "avx2"], "topology": {"cores": 8}}
    hosts = [
        host("a", cpu_info=intel, memory_mb_claimed=8192, vcpus_claimed=2, servers=2),
        host("b", cpu_info={"vendor": "AMD", "features": ["aes"]}, hypervisor_version=8001002, disk_gb_claimed=50),
    ]
    assert _left(hosts, "ComputeCapabilitiesFilter", extra_specs=specs) == names


def test_traits_of_flavor_and_image() -> None:
    hosts = [host("a", traits=("CUSTOM_GOLD", "CUSTOM_SSD")), host("b", traits=("CUSTOM_SSD",)), host("c")]
    assert _left(hosts, extra_specs={"trait:CUSTOM_SSD": "required"}) == ["a", "b"]
    assert _left(hosts, extra_specs={"trait:CUSTOM_GOLD": "forbidden"}) == ["b", "c"]
    assert _left(
        hosts, extra_specs={"trait:CUSTOM_SSD": "required"}, image_properties={"trait:CUSTOM_GOLD": "required"}
    ) == ["a"]


@pytest.mark.parametrize(
    ("policy", "rule", "members", "names"),
    [
        ("anti-affinity", 1, ("a",), ["b", "c"]),
        ("anti-affinity", 2, ("a", "b", "b"), ["a", "c"]),
        ("anti-affinity", 1, ("a", "b", "c"), []),
        ("affinity", 1, ("b", "c", "c"), ["b", "c"]),
        ("affinity", 1, (), ["a", "b", "c"]),
        ("affinity", 1, ("gone",), []),
        ("soft-anti-affinity", 1, ("a", "b", "c"), ["a", "b", "c"]),
    ],
)
def test_server_groups(policy: str, rule: int, members: tuple[str, ...], names: list[str]) -> None:
    group = PlacementGroup(id="g", policy=policy, max_server_per_host=rule, hosts=members)
    assert _left([host("a"), host("b"), host("c")], group=group) == names


def test_hints_name_servers_by_one_id_or_a_list() -> None:
    hosts, where = [host("a"), host("b")], {"s1": "a"}
    names = ("SameHostFilter", "DifferentHostFilter")
    assert _left(hosts, *names, hints={"same_host": "s1"}, server_hosts=where) == ["a"]
    assert _left(hosts, *names, hints={"different_host": ["s1", "gone"]}, server_hosts=where) == ["b"]
    assert _left(hosts, *names, hints={"same_host": ["gone"]}, server_hosts=where) == []
    assert _left(hosts, hints={"same_host": ["gone"]}) == ["a", "b"]
    for wrong in (7, [7], {"a": "b"}):
        with pytest.raises(BadRequest):
            _left(hosts, *names, hints={"same_host": wrong})


def test_zones() -> None:
    hosts = [host("a"), host("b", availability_zone="east")]
    assert _left(hosts, availability_zone="east") == ["b"]
    assert _left(hosts, availability_zone="nova") == ["a"]
    assert _left(hosts, availability_zone="mars") == []


@pytest.mark.parametrize(
    ("image", "restrict", "names"),
    [("special", True, ["a"]), ("plain", True, ["b"]), (None, True, ["b"]), ("plain", False, ["a", "b"])],
)
def test_isolated_hosts(image: str | None, restrict: bool, names: list[str]) -> None:
    options = {
        "isolated_hosts": {"a"},
        "isolated_images": {"special"},
        "restrict_isolated_hosts_to_isolated_images": restrict,
    }
    assert _left([host("a"), host("b")], "IsolatedHostsFilter", options=options, image_id=image) == names


def test_aggregates_of_tenants_take_their_servers_only_and_others_take_all() -> None:
    groups = (aggregate(1, ("a", "b"), filter_tenant_id="other"), aggregate(2, ("b",), filter_tenant_id2="x, project"))
    assert _left([host("a"), host("b"), host("c")], "AggregateMultiTenancyIsolation", aggregates=groups) == ["b", "c"]


def test_aggregates_by_flavor_name_extra_specs_and_image_properties() -> None:
    hosts = [host("a"), host("b"), host("c")]
    groups = (
        aggregate(1, ("a",), instance_type="m1.small, m1.big", ssd="true", os_distro="debian"),
        aggregate(2, ("b",), instance_type="m1.big", ssd="false, maybe", os_distro="windows,suse"),
    )
    assert _left(hosts, "AggregateTypeAffinityFilter", aggregates=groups) == ["a", "c"]
    name = "AggregateInstanceExtraSpecsFilter"
    specs = {"aggregate_instance_extra_specs:ssd": "maybe", "capabilities:ssd": "no"}
    assert _left(hosts, name, aggregates=groups, extra_specs=specs) == ["b"]
    assert _left(hosts, name, aggregates=groups, extra_specs={"ssd": "<or> true <or> false"}) == ["a", "b"]
    name = "AggregateImagePropertiesIsolation"
    assert _left(hosts, name, aggregates=groups, image_properties={"os_distro": "suse"}) == ["b", "c"]
    assert _left(hosts, name, aggregates=groups, image_properties={"os_type": "linux"}) == ["a", "b", "c"]
    options = {"aggregate_image_properties_isolation_namespace": "cloud"}
    assert _left(hosts, name, aggregates=groups, options=options, image_properties={"os_distro": "suse"}) == [
        "a",
        "b",
        "c",
    ]


@pytest.mark.parametrize(("kind", "figure"), [("NumInstances", "servers"), ("IoOps", "io_ops")])
def test_limits_of_hosts_and_of_aggregates(kind: str, figure: str) -> None:
    hosts = [host(name, **{figure: count}) for name, count in (("a", 1), ("b", 2), ("c", 3))]
    key = {"NumInstances": "max_instances_per_host", "IoOps": "max_io_ops_per_host"}[kind]
    assert _left(hosts, f"{kind}Filter", options={key: 3}) == ["a", "b"]
    groups = (
        aggregate(1, ("a", "b"), **{key: "5"}),
        aggregate(2, ("b",), **{key: "2"}),
        aggregate(3, ("c",), **{key: "many"}),
    )
    assert _left(hosts, f"Aggregate{kind}Filter", aggregates=groups, options={key: 3}) == ["a"]


def test_metrics_that_are_weighed_must_be_there() -> None:
    hosts = [host("a", metrics={"heat": 1.0}), host("b", metrics={"heat": 1.0, "noise": 2.0}), host("c")]
    options = {"metrics_weight_setting": {"heat": 1.0, "noise": 1.0}}
    assert _left(hosts, "MetricsFilter", options=options) == ["b"]


def test_every_optional_filter_is_known_by_its_name() -> None:
    table = HostTable([host("a")], as_of=NOW)
    selection = select(
        table,
        request(
            extra_specs={"capabilities:host": "a", "aggregate_instance_extra_specs:x": "y"},
            hints={"same_host": "s", "different_host": "s", "query": ["=", 1, 1]},
            image_properties={"os_distro": "debian", "hw_architecture": "x86_64"},
        ),
        SchedulerSettings(enabled_filters=OPTIONAL, isolated_hosts=frozenset({"b"})),
    )
    assert {name for name, _ in selection.removed} >= set(OPTIONAL)


@pytest.mark.parametrize(
    "query",
    ["{", "7", "[]", '["and"]', '["and", 1]', '["near", 1, 2]', '[">=", [1], 2]', '["=", null, 1]', "[" * 100_000],
)
def test_a_query_that_is_no_condition_is_refused(query: str) -> None:
    with pytest.raises(BadRequest, match="query"):
        _left([host("a")], "JsonFilter", hints={"query": query})


def test_a_query_may_be_a_list_and_is_not_nested_without_end() -> None:
    assert _left([host("a"), host("b")], "JsonFilter", hints={"query": ["=", "$host", "b"]}) == ["b"]
    deep: list[object] = ["=", 1, 1]
    for _ in range(20):
        deep = ["and", deep]
    with pytest.raises(BadRequest):
        _left([host("a")], "JsonFilter", hints={"query": deep})
