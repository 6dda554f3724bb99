"""Seeds are made once, and made good when a set-up was stopped half way."""

from pathlib import Path
from typing import Any

import pytest

from infra.deploy import seeds


class Api:
    """The few calls of the REST APIs that seeding makes, on dictionaries."""

    def __init__(self) -> None:
        self.images: list[dict[str, Any]] = []
        self.things: dict[str, list[dict[str, Any]]] = {
            kind: [] for kind in ("flavors", "networks", "subnets", "routers", "ports", "keypairs")
        }
        self.changes: list[str] = []

    def get(self, path: str, **parameters: str) -> Any:
        kind = path.removesuffix("/detail").rsplit("/", 1)[1].removeprefix("os-")
        if kind == "images":
            return {"images": [image for image in self.images if image["name"] == parameters["name"]]}
        found = [thing for thing in self.things[kind] if all(thing.get(k) == v for k, v in parameters.items())]
        return {kind: [{"keypair": thing} for thing in found] if kind == "keypairs" else found}

    def post(self, path: str, body: dict[str, Any]) -> Any:
        self.changes.append(f"POST {path}")
        if path.endswith("/images"):
            image = {**body, "id": f"image-{len(self.changes)}", "status": "queued"}
            self.images.append(image)
            return image
        ((kind, thing),) = body.items()
        self.things[f"{kind}s"].append({"id": f"{kind}-{len(self.changes)}", **thing})
        return {kind: self.things[f"{kind}s"][-1]}

    def put(self, path: str, body: dict[str, Any]) -> Any:
        self.changes.append(f"PUT {path}")
        router_id = path.split("/")[-2]
        (subnet,) = [it for it in self.things["subnets"] if it["id"] == body["subnet_id"]]
        self.things["ports"].append({"device_id": router_id, "network_id": subnet["network_id"]})

    def put_bytes(self, path: str, content: Any) -> None:
        self.changes.append(f"PUT {path}")
        image = next(image for image in self.images if image["id"] in path)
        image.update(status="active", data=content.read())

    def delete(self, path: str) -> None:
        self.changes.append(f"DELETE {path}")
        name = path.rsplit("/", 1)[1]
        self.images = [image for image in self.images if image["id"] != name]
        self.things["keypairs"] = [key for key in self.things["keypairs"] if key["name"] != name]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name in ("vmlinuz", "initrd.img", "root.img", "disk.qcow2"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def _seed(api: Any, files: Path) -> str:
    seeds.flavors(api)
    seeds.images(api, files)
    network_id = seeds.network(api)
    seeds.router(api, network_id, seeds.public(api, "172.24.4.0/24"))
    return network_id


def test_a_second_run_changes_nothing(files: Path) -> None:
    api = Api()
    network_id = _seed(api, files)
    assert {flavor["name"] for flavor in api.things["flavors"]} == {"m1.tiny", "m1.small", "m1.medium", "m1.large"}
    (tiny,) = [flavor for flavor in api.things["flavors"] if flavor["id"] == "1"]
    assert (tiny["vcpus"], tiny["ram"], tiny["disk"]) == (1, 128, 1)
    assert [subnet["cidr"] for subnet in api.things["subnets"]] == ["10.10.0.0/24", "172.24.4.0/24"]
    api.changes.clear()
    assert _seed(api, files) == network_id
    assert api.changes == []


def test_the_ami_names_its_kernel_and_ramdisk(files: Path) -> None:
    api = Api()
    seeds.images(api, files)  # type: ignore[arg-type]
    by_name = {image["name"]: image for image in api.images}
    ami = by_name["kilonova-guest-ami"]
    assert ami["kernel_id"] == by_name["kilonova-guest-kernel"]["id"]
    assert ami["ramdisk_id"] == by_name["kilonova-guest-ramdisk"]["id"]
    assert (by_name["kilonova-guest"]["disk_format"], by_name["kilonova-guest"]["data"]) == ("qcow2", b"disk.qcow2")


def test_an_upload_that_was_cut_off_is_done_again(files: Path) -> None:
    api = Api()
    api.images.append({"name": "kilonova-guest", "id": "half", "status": "saving"})
    seeds.images(api, files)  # type: ignore[arg-type]
    (image,) = [image for image in api.images if image["name"] == "kilonova-guest"]
    assert (image["id"] != "half", image["status"]) == (True, "active")


def test_a_network_without_its_subnet_gets_it(files: Path) -> None:
    api = Api()
    api.things["networks"].append({"id": "n", "name": "private"})
    assert seeds.network(api) == "n"  # type: ignore[arg-type]
    assert api.things["subnets"][0]["network_id"] == "n"
