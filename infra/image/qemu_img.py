"""``qemu-img`` on data that nobody has checked: the format always given, resources limited, nothing inherited."""

import json
import subprocess
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from infra.domain.errors import BadRequest, Unavailable

CPU_SECONDS = 60
WALL_SECONDS = 120
MEMORY_BYTES = 2 * 1024**3
_LEAKS_ONLY = 3
"""Exit code of ``qemu-img check`` for space that is lost, which harms nobody."""


class ImageInfo(BaseModel):
    model_config = ConfigDict(frozen=True)

    virtual_size: int
    backing_file: str | None = None
    data_file: str | None = None
    encrypted: bool = False


def info(path: Path, qemu_format: str) -> ImageInfo:
    """What QEMU reads from the headers of a file of the given format.

    Raises:
        BadRequest: QEMU can't read it.
        Unavailable: QEMU took too long.
    """
    answer = _run("info", "-U", "-f", qemu_format, "--output=json", str(path))
    if answer.returncode != 0:
        raise BadRequest(f"The image can't be read as {qemu_format}.")
    found = json.loads(answer.stdout)
    specific = found.get("format-specific", {}).get("data", {})
    return ImageInfo(
        virtual_size=found["virtual-size"],
        backing_file=found.get("backing-filename") or found.get("full-backing-filename"),
        data_file=specific.get("data-file"),
        encrypted=bool(found.get("encrypted", False)),
    )


def check(path: Path, qemu_format: str) -> None:
    """Walk the image's tables; raises BadRequest if they are damaged or point beyond the file's end."""
    size = path.stat().st_size
    broken = BadRequest(f"The {qemu_format} image is truncated or damaged.")
    answer = _run("check", "-U", "-f", qemu_format, "--output=json", str(path))
    if answer.returncode not in (0, _LEAKS_ONLY):
        raise broken
    if json.loads(answer.stdout).get("image-end-offset", 0) <= size:
        return
    # The last cluster is not whole. That is how tables and compressed data end, but data is written in whole clusters.
    answer = _run("map", "-U", "-f", qemu_format, "--output=json", str(path))
    if answer.returncode != 0:
        raise broken
    for extent in json.loads(answer.stdout):
        if extent["data"] and "offset" in extent and extent["offset"] + extent["length"] > size:
            raise broken


def _run(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    limits = ["prlimit", f"--cpu={CPU_SECONDS}", f"--as={MEMORY_BYTES}", "--fsize=0", "--core=0", "--nofile=64"]
    try:
        return subprocess.run(
            [*limits, "qemu-img", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=WALL_SECONDS,
            cwd="/",
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable("The image could not be inspected in time.") from None
