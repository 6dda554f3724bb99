"""The documents as guests read them, by way of the service's own paths."""

import json

from infra.compute.metadata import GuestKey, GuestMetadata, meta_data, network_data
from infra.network.metadata_documents import documents
from infra.network.metadata_server import answer
from tests.unit.network.test_dhcp import FOUR, SIX, port

GUEST = GuestMetadata(
    server_id="3f2b8c1d-9e4a-4b6f-8d2c-7a5e1f0b9c8d",
    name="web 1",
    hostname="web-1.novalocal",
    project_id="p",
    keys=(
        GuestKey(name="mine", public_key="ssh-ed25519 AAAA me"),
        GuestKey(name="windows", type="x509", public_key="MIIB"),
        GuestKey(name="second", public_key="ssh-rsa BBBB"),
    ),
    nics=(port(SIX, FOUR).nic,),
    user_data=b"#cloud-config\n",
)
FOUND = documents(GUEST)


def read(path: str) -> str:
    found = answer(FOUND, path)
    assert found is not None, path
    return found.decode()


def test_openstack_documents() -> None:
    assert json.loads(read("/openstack/latest/meta_data.json")) == meta_data(GUEST)
    assert json.loads(read("/openstack/2018-08-27/network_data.json")) == network_data(GUEST)
    assert json.loads(read("/openstack/latest/vendor_data.json")) == {}
    assert read("/openstack/latest/user_data") == read("/latest/user-data") == "#cloud-config\n"
    assert read("/openstack/latest/").split() == [
        *("meta_data.json", "network_data.json", "user_data", "vendor_data.json", "vendor_data2.json"),
    ]


def test_ec2_documents() -> None:
    assert read("/2009-04-04/meta-data/instance-id") == "i-3f2b8c1d9e4a4b6f8"
    assert read("/latest/meta-data/local-ipv4") == "10.0.0.5"
    assert read("/latest/meta-data/hostname") == "web-1.novalocal"
    assert read("/latest/meta-data/placement/") == "availability-zone"
    assert read("/latest/meta-data/placement/availability-zone") == "nova"
    assert {"placement/", "public-keys/", "local-ipv4"} <= set(read("/latest/meta-data/").split("\n"))


def test_ssh_keys_are_listed_and_read_as_ec2_does() -> None:
    assert read("/latest/meta-data/public-keys/") == "0=mine\n1=second"
    assert read("/latest/meta-data/public-keys/1/openssh-key") == "ssh-rsa BBBB"
    assert read("/latest/meta-data/public-keys/0") == "openssh-key"


def test_what_a_server_has_not_is_not_there() -> None:
    bare = documents(GUEST.model_copy(update={"keys": (), "user_data": None}))
    for path in ("/openstack/latest/user_data", "/latest/user-data", "/latest/meta-data/public-keys/"):
        assert answer(bare, path) is None


def test_the_administrators_password_stays_on_the_drive() -> None:
    secret = documents(GUEST.model_copy(update={"admin_password": "s3cret"}))
    assert not any(b"s3cret" in content for content in secret.values())
