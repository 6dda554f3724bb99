"""What tests fetch or build once and keep in the state folder that the environment names: ``python -m tests.kept``.

Keycloak's distribution, the ``openstack`` client and the guest, none of which a test ever writes to.
"""

from pathlib import Path

from rich.console import Console

from infra.deploy import seeds, setup
from infra.deploy.guest import GuestFiles
from infra.deploy.progress import Steps
from infra.settings import Settings

_FOLDERS = ("keycloak-dist", "client", "guest")


def fetch() -> None:
    with Steps(Console()) as steps:
        steps.together(setup.parts(Settings()))


def guest() -> GuestFiles:
    kept = Settings()
    setup.guest(kept)
    directory = seeds.guest_directory(kept)
    return GuestFiles(directory / "vmlinuz", directory / "initrd.img", directory / "disk.qcow2")


def lend(state: Path) -> None:
    """Link what is kept into another state folder."""
    for name in _FOLDERS:
        kept = Settings().state / name
        kept.mkdir(parents=True, exist_ok=True)
        (state / name).symlink_to(kept)


if __name__ == "__main__":
    fetch()
