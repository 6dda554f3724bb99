from datetime import UTC, datetime
from typing import Any

import pytest

from infra.domain import boot_rules
from infra.domain.errors import BadRequest, Conflict, QuotaExceeded
from infra.domain.flavor import Flavor
from infra.domain.image import Image
from infra.domain.network import FixedIp, Network, Port, Subnet
from infra.domain.quota import Quota, Usage
from infra.domain.volume import Volume

NOW = datetime.now(UTC)
FLAVOR = Flavor(id="1", name="f", vcpus=2, ram_mb=512, disk_gb=2)
GIB = 1024**3


def image(**changes: Any) -> Image:
    facts = {"id": "i", "name": "i", "owner": "p", "status": "active", "disk_format": "qcow2", "size": 1000}
    facts |= {"container_format": "bare", "virtual_size": 2 * GIB, "created_at": NOW, "updated_at": NOW}
    return Image.model_validate(facts | changes)


def subnet(cidr: str) -> Subnet:
    return Subnet(id="s", project_id="p", network_id="n", cidr=cidr, gateway_ip=None, created_at=NOW, updated_at=NOW)


def network(**changes: Any) -> Network:
    return Network.model_validate(
        {"id": "n", "project_id": "p", "vni": 1, "created_at": NOW, "updated_at": NOW} | changes
    )


def port(**changes: Any) -> Port:
    facts = {"id": "q", "project_id": "p", "network_id": "n", "mac_address": "fa:16:3e:00:00:01"}
    facts |= {"fixed_ips": (FixedIp(subnet_id="s", ip_address="10.0.0.2"),), "created_at": NOW, "updated_at": NOW}
    return Port.model_validate(facts | changes)


def test_an_image_that_just_fits() -> None:
    boot_rules.check_image(image(min_disk=2, min_ram=512), FLAVOR)
    boot_rules.check_image(image(min_disk=9, virtual_size=9 * GIB), FLAVOR.model_copy(update={"disk_gb": 0}))
    boot_rules.check_image(image(min_disk=9, virtual_size=9 * GIB), FLAVOR, root_gb=9)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "queued"},
        {"status": "deactivated"},
        {"disk_format": "aki"},
        {"disk_format": "vmdk"},
        {"disk_format": None},
        {"container_format": "docker"},
        {"min_disk": 3},
        {"min_ram": 513},
        {"virtual_size": 2 * GIB + 1},
        {"size": 2 * GIB + 1, "virtual_size": None},
    ],
)
def test_an_image_that_does_not_fit(changes: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        boot_rules.check_image(image(**changes), FLAVOR)


def test_an_image_must_fit_the_volume_that_is_made_of_it() -> None:
    with pytest.raises(BadRequest, match="Volume"):
        boot_rules.check_image(image(), FLAVOR, root_gb=1)


def test_a_volume_is_free_and_boots_if_it_has_to() -> None:
    free = Volume(id="v", project_id="p", user_id="u", size_gb=1, status="available", created_at=NOW)
    boot_rules.check_volume(free, boots=False)
    with pytest.raises(BadRequest, match="not bootable"):
        boot_rules.check_volume(free, boots=True)
    with pytest.raises(BadRequest, match="in-use"):
        boot_rules.check_volume(free.model_copy(update={"status": "in-use"}), boots=False)


def test_a_port_is_free_and_has_an_address() -> None:
    boot_rules.check_port(port())
    with pytest.raises(Conflict):
        boot_rules.check_port(port(device_id="another"))
    with pytest.raises(BadRequest):
        boot_rules.check_port(port(fixed_ips=()))


def test_a_network_has_a_subnet_and_stays_inside() -> None:
    boot_rules.check_network(network(), [subnet("10.0.0.0/24")])
    boot_rules.check_network(network(external=True, shared=True), [subnet("10.0.0.0/24")])
    with pytest.raises(BadRequest):
        boot_rules.check_network(network(), [])
    with pytest.raises(BadRequest):
        boot_rules.check_network(network(external=True), [subnet("10.0.0.0/24")])


def test_an_address_is_in_one_of_the_subnets() -> None:
    both = [subnet("10.0.0.0/24"), subnet("fd00::/64")]
    boot_rules.check_fixed_ip("10.0.0.9", "n", both)
    boot_rules.check_fixed_ip("fd00::9", "n", both)
    with pytest.raises(BadRequest):
        boot_rules.check_fixed_ip("10.0.1.9", "n", both)


def test_no_network_named_means_the_only_one() -> None:
    assert boot_rules.only_network([]) is None
    assert boot_rules.only_network([network()]) == network()
    with pytest.raises(Conflict, match="Multiple possible networks"):
        boot_rules.only_network([network(), network(id="m")])


def test_every_limit_that_would_be_passed_is_named() -> None:
    used = Usage(instances=1, cores=19, ram=100)
    boot_rules.check_quota(Quota(cores=21), used, FLAVOR, 1)
    boot_rules.check_quota(Quota(cores=-1, instances=-1, ram=-1), used, FLAVOR, 1000)
    with pytest.raises(QuotaExceeded) as refused:
        boot_rules.check_quota(Quota(cores=20, ram=600), used, FLAVOR, 1)
    assert refused.value.message == (
        "Quota exceeded for cores, ram: Requested 2, 512, but already used 19, 100 of 20, 600 cores, ram"
    )


def test_metadata_is_limited() -> None:
    boot_rules.check_metadata(Quota(metadata_items=1), {"a": "b"})
    boot_rules.check_metadata(Quota(metadata_items=-1), {str(number): "" for number in range(500)})
    with pytest.raises(QuotaExceeded):
        boot_rules.check_metadata(Quota(metadata_items=1), {"a": "b", "c": "d"})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Web_1 of.two", "web-1-of-two"),
        ("café", "cafe"),
        ("../../etc", "etc"),
        ("<b>x</b>\n", "bxb"),
        ("x" * 80, "x" * 63),
        ("日本", "Server-id"),
        ("---", "Server-id"),
    ],
)
def test_a_host_name_is_made_of_a_name(name: str, expected: str) -> None:
    assert boot_rules.host_name(name, "id") == expected
