"""Metadata as cloud-init and OpenStack's agents read it."""

import base64

import orjson

from infra.compute.metadata import GuestDisk, GuestKey, GuestMetadata, files, meta_data, network_data
from infra.domain.network import HostRoute, Nic, NicAddress

ADDRESS = NicAddress(
    ip_address="10.0.0.5", cidr="10.0.0.0/24", gateway_ip="10.0.0.1", dns_nameservers=("1.1.1.1", "8.8.8.8")
)


def nic(*addresses: NicAddress, port: str = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee") -> Nic:
    return Nic(port_id=port, network_id="net-1", vni=7, mtu=1450, mac_address="fa:16:3e:00:00:01", addresses=addresses)


def guest(**changes: object) -> GuestMetadata:
    base = GuestMetadata(server_id="id-1", name="a name", hostname="a-name", project_id="p-1")
    return base.model_copy(update=changes)


def test_meta_data_names_the_server_its_keys_and_disks() -> None:
    keys = (GuestKey(name="k", public_key="ssh-rsa A"), GuestKey(name="w", type="x509", public_key="CERT"))
    disk = GuestDisk(serial="vol-1", device="/dev/vdb", tags=("data",))
    data = meta_data(guest(keys=keys, metadata={"role": "db"}, disks=(disk,), random_seed=b"seed", launch_index=2))
    assert data["uuid"] == "id-1"
    assert (data["name"], data["hostname"], data["project_id"]) == ("a name", "a-name", "p-1")
    assert (data["launch_index"], data["meta"]) == (2, {"role": "db"})
    assert data["public_keys"] == {"k": "ssh-rsa A"}
    assert [key["type"] for key in data["keys"]] == ["ssh", "x509"]
    assert data["devices"] == [
        {"type": "disk", "bus": "virtio", "serial": "vol-1", "path": "/dev/vdb", "tags": ["data"]}
    ]
    assert base64.b64decode(data["random_seed"]) == b"seed"


def test_what_was_not_given_is_left_out() -> None:
    assert not {"public_keys", "admin_pass", "random_seed"} & set(meta_data(guest()))
    assert "user_data" not in files(guest())
    assert files(guest(user_data=b""))["user_data"] == b""


def test_secrets_do_not_show() -> None:
    shown = repr(guest(user_data=b"hunter2", admin_password="hunter2", random_seed=b"hunter2"))
    assert "hunter2" not in shown


def test_addresses_from_dhcp_are_not_written_out() -> None:
    data = network_data(guest(nics=(nic(ADDRESS),)))
    assert data["links"] == [
        {
            "id": "tapaaaaaaaa-bb",
            "vif_id": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
            "type": "bridge",
            "mtu": 1450,
            "ethernet_mac_address": "fa:16:3e:00:00:01",
        }
    ]
    assert data["networks"] == [
        {"id": "network0", "link": "tapaaaaaaaa-bb", "network_id": "net-1", "type": "ipv4_dhcp"}
    ]
    assert data["services"] == [{"type": "dns", "address": "1.1.1.1"}, {"type": "dns", "address": "8.8.8.8"}]


def test_addresses_without_dhcp_come_with_routes() -> None:
    route = HostRoute(destination="192.168.0.0/16", nexthop="10.0.0.9")
    fixed = ADDRESS.model_copy(update={"enable_dhcp": False, "host_routes": (route,)})
    six = NicAddress(ip_address="fd00::5", cidr="fd00::/64", gateway_ip="fd00::1")
    first, second = network_data(guest(nics=(nic(fixed, six),)))["networks"]
    assert (first["type"], first["ip_address"], first["netmask"]) == ("ipv4", "10.0.0.5", "255.255.255.0")
    assert first["routes"] == [
        {"network": "192.168.0.0", "netmask": "255.255.0.0", "gateway": "10.0.0.9"},
        {"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.0.0.1"},
    ]
    assert (second["id"], second["type"], second["netmask"]) == ("network1", "ipv6", "ffff:ffff:ffff:ffff::")


def test_files_are_the_same_for_the_same_guest() -> None:
    one = guest(metadata={"a": "1", "b": "</x>\x00"})
    two = guest(metadata={"b": "</x>\x00", "a": "1"})
    assert files(one) == files(two)
    assert orjson.loads(files(one)["meta_data.json"])["meta"]["b"] == "</x>\x00"
