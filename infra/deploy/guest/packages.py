"""Debian packages, downloaded and unpacked without being installed."""

import re
import subprocess
from pathlib import Path

KERNEL = "linux-image-cloud-amd64"
PACKAGES = (
    "busybox-static",
    "dropbear-bin",
    "e2fsprogs",
    "grub-pc-bin",
    "libblkid1",
    "libc6",
    "libcom-err2",
    "libcrypt1",
    "libext2fs2",
    "libgmp10",
    "libtomcrypt1",
    "libtommath1",
    "libuuid1",
    "zlib1g",
)


class BuildError(Exception):
    """The guest can't be built; the message says what is missing and how to mend it."""


def run(*command: str, cwd: Path | None = None) -> str:
    """Run a command and return what it printed.

    Raises:
        BuildError: it is not installed, or it failed.
    """
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
    except FileNotFoundError as error:
        raise BuildError(f"'{command[0]}' is not installed: install the Debian package that has it") from error
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"'{command[0]}' did not end within 300 s") from error
    if done.returncode != 0:
        raise BuildError(f"'{' '.join(command[:3])} ...' failed: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout


def unpack(work: Path) -> Path:
    """Download the guest's packages into ``work`` and unpack them; returns the folder they were unpacked to.

    Raises:
        BuildError: apt knows no such package or can't fetch it.
    """
    depends = run("apt-cache", "depends", "--important", KERNEL)
    kernel = re.search(r"Depends: (linux-image-\S+)", depends)
    if kernel is None:
        raise BuildError(f"apt knows no package '{KERNEL}': run 'apt-get update' and try again")
    # apt fetches as its own user where it can; the sandbox warning of a folder it can't enter is not an error.
    run("apt-get", "download", "-q", kernel[1], *PACKAGES, cwd=work)
    root = work / "root"
    for package in sorted(work.glob("*.deb")):
        run("dpkg-deb", "--extract", str(package), str(root))
    return root
