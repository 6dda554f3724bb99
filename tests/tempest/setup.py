"""What Tempest finds: accounts, images, flavors, a network and one outside, and its configuration for the stack."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from string import Template

import httpx

from infra.deploy import seeds, venvs
from infra.deploy.rest import Cloud
from infra.settings import Settings
from tests.tempest import accounts

_OTHER_IMAGE = "tempest-other"
_FLAVOR, _OTHER_FLAVOR = "1", "2"


@dataclass(frozen=True)
class Ready:
    workspace: Path
    """Holds the configuration and the results; Tempest runs in it."""
    programs: Path
    """Folder of the programs in Tempest's own virtual environment."""
    projects: dict[str, str]
    """``{name: id}`` of the projects that the tests work in."""


def prepare(settings: Settings) -> Ready:
    """Have everything there that the tests need; done again, nothing changes but passwords.

    Raises:
        SetupError: a package can't be fetched, or the API refuses or does not answer.
        KilonovaError: Keycloak refuses, or does not answer.
    """
    place = venvs.ensure(settings, "tempest")
    workspace = settings.state / "conformance"
    # Locks of accounts outlive a run that was killed, and nobody would give them back.
    shutil.rmtree(workspace / "locks", ignore_errors=True)
    for name in ("locks", "logs"):
        (workspace / name).mkdir(parents=True, exist_ok=True)
    admin = Cloud(settings, "kilonova-admin")
    projects = accounts.ensure(settings, workspace / "accounts.yaml", seeds.NETWORK)
    (workspace / "tempest.conf").write_text(_configuration(settings, admin, workspace))
    discover = next(place.glob("lib/python*/site-packages/tempest/test_discover"))
    (workspace / ".stestr.conf").write_text(
        # Tests of one class stay in one process: they share servers.
        f"[DEFAULT]\ntest_path={discover}\ntop_dir={discover.parents[1]}\ngroup_regex=([^\\.]*\\.)*\n"
    )
    return Ready(workspace, place / "bin", projects)


def _configuration(settings: Settings, admin: Cloud, workspace: Path) -> str:
    template = Template(Path(__file__).with_name("tempest.conf.template").read_text())
    extensions = admin.get("/network/v2.0/extensions")["extensions"]
    return template.substitute(
        workspace=workspace,
        api=settings.api_url,
        region=settings.api.region,
        image=_image(admin, seeds.IMAGE),
        other_image=_other_image(settings, admin),
        image_file=_disk(settings),
        flavor=_FLAVOR,
        other_flavor=_OTHER_FLAVOR,
        network=seeds.NETWORK,
        public=seeds.public(admin, settings.deploy.public_cidr),
        public_name=seeds.PUBLIC,
        network_extensions=",".join(sorted(extension["alias"] for extension in extensions)),
        compute_version=_newest(settings, "/compute/", "version"),
        volume_version=_newest(settings, "/volume/", "version"),
        placement_version=_newest(settings, "/placement/", "max_version"),
    )


def _newest(settings: Settings, path: str, field: str) -> str:
    """The highest microversion that a service announces."""
    announced = httpx.get(f"{settings.api_url}{path}", timeout=30).json()["versions"]
    return str(announced[-1][field])


def _image(admin: Cloud, name: str) -> str | None:
    found = [item for item in admin.get("/image/v2/images", name=name)["images"] if item["status"] == "active"]
    return str(found[0]["id"]) if found else None


def _disk(settings: Settings) -> Path:
    return seeds.guest_directory(settings) / "disk.qcow2"


def _other_image(settings: Settings, admin: Cloud) -> str:
    """The same guest once more. It is for those who know its id, and in nobody's list."""
    found = _image(admin, _OTHER_IMAGE)
    if found is not None:
        return found
    described = {
        "name": _OTHER_IMAGE,
        "disk_format": "qcow2",
        "container_format": "bare",
        "visibility": "community",
    }
    image_id = str(admin.post("/image/v2/images", described)["id"])
    with _disk(settings).open("rb") as stream:
        admin.put_bytes(f"/image/v2/images/{image_id}/file", stream)
    return image_id
