"""What a new stack has in it: flavors, images, networks, a key. Made by REST; done again, nothing changes."""

from pathlib import Path
from typing import Any

from infra.deploy import clients, shell
from infra.deploy.rest import Cloud
from infra.settings import Settings

NETWORK = "private"
PUBLIC = "public"
IMAGE = "kilonova-guest"
KEY = "demo"

# Id, name, vCPUs, memory in MB, disk in GB.
_FLAVORS = (
    ("1", "m1.tiny", 1, 128, 1),
    ("2", "m1.small", 1, 512, 5),
    ("3", "m1.medium", 2, 1024, 10),
    ("4", "m1.large", 4, 2048, 20),
)
_AMI_MIB = 32


def guest_directory(settings: Settings) -> Path:
    return settings.state / "guest"


def prepare_images(settings: Settings) -> None:
    """Beside the guest's own files, an empty file system that its ramdisk fills at the first boot: the ``ami``."""
    file = guest_directory(settings) / "root.img"
    if file.exists():
        return
    part = file.with_suffix(".part")
    with part.open("wb") as stream:
        stream.truncate(_AMI_MIB * 2**20)
    shell.run(["mke2fs", "-q", "-F", "-t", "ext4", "-L", "guest-root", part], mend="Install the package e2fsprogs.")
    part.replace(file)


def flavors(admin: Cloud) -> None:
    present = {flavor["id"] for flavor in admin.get("/compute/v2.1/flavors/detail")["flavors"]}
    for flavor_id, name, vcpus, memory, disk in _FLAVORS:
        if flavor_id not in present:
            body = {"id": flavor_id, "name": name, "vcpus": vcpus, "ram": memory, "disk": disk}
            admin.post("/compute/v2.1/flavors", {"flavor": body})


def images(admin: Cloud, directory: Path) -> None:
    """A disk image, and the same guest as kernel, ramdisk and root file system."""
    kernel = _image(admin, f"{IMAGE}-kernel", "aki", directory / "vmlinuz")
    ramdisk = _image(admin, f"{IMAGE}-ramdisk", "ari", directory / "initrd.img")
    _image(admin, f"{IMAGE}-ami", "ami", directory / "root.img", kernel_id=kernel, ramdisk_id=ramdisk)
    _image(admin, IMAGE, "qcow2", directory / "disk.qcow2")


def _image(admin: Cloud, name: str, kind: str, file: Path, **properties: str) -> str:
    for found in admin.get("/image/v2/images", name=name)["images"]:
        if found["status"] == "active":
            return str(found["id"])
        # An earlier set-up was stopped before the upload ended.
        admin.delete(f"/image/v2/images/{found['id']}")
    container = kind if kind in ("aki", "ari", "ami") else "bare"
    described = {"name": name, "disk_format": kind, "container_format": container, "visibility": "public", **properties}
    image_id = str(admin.post("/image/v2/images", described)["id"])
    with file.open("rb") as stream:
        admin.put_bytes(f"/image/v2/images/{image_id}/file", stream)
    return image_id


def network(admin: Cloud) -> str:
    """The shared network's id."""
    found = admin.get("/network/v2.0/networks", name=NETWORK)["networks"]
    body: dict[str, Any] = {"name": NETWORK, "shared": True}
    made = found[0] if found else admin.post("/network/v2.0/networks", {"network": body})["network"]
    network_id = str(made["id"])
    if not admin.get("/network/v2.0/subnets", network_id=network_id)["subnets"]:
        subnet = {"network_id": network_id, "name": NETWORK, "ip_version": 4, "cidr": "10.10.0.0/24"}
        admin.post("/network/v2.0/subnets", {"subnet": subnet})
    return network_id


def public(admin: Cloud, cidr: str) -> str:
    """The external network's id: floating IPs are its addresses, and routers have their gateways there."""
    found = admin.get("/network/v2.0/networks", name=PUBLIC)["networks"]
    body: dict[str, Any] = {"name": PUBLIC, "router:external": True}
    made = found[0] if found else admin.post("/network/v2.0/networks", {"network": body})["network"]
    network_id = str(made["id"])
    if not admin.get("/network/v2.0/subnets", network_id=network_id)["subnets"]:
        subnet = {"network_id": network_id, "name": PUBLIC, "ip_version": 4, "cidr": cidr, "enable_dhcp": False}
        admin.post("/network/v2.0/subnets", {"subnet": subnet})
    return network_id


def router(admin: Cloud, network_id: str, public_id: str) -> None:
    """Between the shared network and the external one; the shared network's gateway is it."""
    found = admin.get("/network/v2.0/routers", name=NETWORK)["routers"]
    body: dict[str, Any] = {"name": NETWORK, "external_gateway_info": {"network_id": public_id}}
    made = found[0] if found else admin.post("/network/v2.0/routers", {"router": body})["router"]
    if not admin.get("/network/v2.0/ports", device_id=made["id"], network_id=network_id)["ports"]:
        (subnet,) = admin.get("/network/v2.0/subnets", network_id=network_id)["subnets"]
        admin.put(f"/network/v2.0/routers/{made['id']}/add_router_interface", {"subnet_id": subnet["id"]})


def key(demo: Cloud, settings: Settings) -> None:
    """The public half of ``<state>/demo.pem``, in the place of any other key of that name."""
    public = clients.key_file(settings).with_name("demo.pem.pub").read_text().strip()
    for item in demo.get("/compute/v2.1/os-keypairs")["keypairs"]:
        if item["keypair"]["name"] == KEY:
            if item["keypair"]["public_key"].strip() == public:
                return
            demo.delete(f"/compute/v2.1/os-keypairs/{KEY}")
    demo.post("/compute/v2.1/os-keypairs", {"keypair": {"name": KEY, "public_key": public}})
