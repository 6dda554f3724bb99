"""The host's directory on a file system of its own, which can be full."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SIZE = "32g"
"""A limit only: the file system is in memory and takes what is written to it."""


@contextmanager
def own(host: str) -> Iterator[None]:
    """What this process starts keeps the host's files there."""
    with tempfile.TemporaryDirectory(prefix="kilonova-host-") as name:
        # QEMU may run as another user.
        os.chmod(name, 0o755)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_SIZE},mode=755", "host", name], check=True)
        os.environ["KILONOVA_HOST__DIRECTORY"] = str(Path(name) / host)
        try:
            yield
        finally:
            del os.environ["KILONOVA_HOST__DIRECTORY"]
            subprocess.run(["umount", "--lazy", name], check=True)


@contextmanager
def full(directory: Path) -> Iterator[None]:
    """No byte is free there meanwhile."""
    used = os.statvfs(directory)
    _resize(directory, str((used.f_blocks - used.f_bfree) * used.f_frsize))
    try:
        yield
    finally:
        _resize(directory, _SIZE)


def _resize(directory: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", directory], check=True)
