"""The floor: ``virsh create`` of a domain equivalent to a server's, with a disk, tap and console of its own."""

import json
import os
import subprocess
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

from infra.compute import disks


class Floor:
    """Makes copies of one domain. The network's bridge must stay: keep the model's server running."""

    def __init__(self, uri: str, domain: str, directory: Path) -> None:
        self._uri = uri
        self._model = self._virsh("dumpxml", "--inactive", domain)
        self._directory = Path(tempfile.mkdtemp(prefix="floor-", dir=directory))
        self._directory.chmod(0o711)

    def create(self) -> tuple[str, float]:
        """Returns the domain's name and the seconds that ``virsh create`` took."""
        name, file = self._copy()
        began = time.perf_counter()
        self._virsh("create", str(file))
        return name, time.perf_counter() - began

    def create_at_once(self, count: int) -> tuple[list[str], float]:
        """``count`` at the same time; the seconds until the last has returned."""
        copies = [self._copy() for _ in range(count)]
        began = time.perf_counter()
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(lambda copy: self._virsh("create", str(copy[1])), copies))
        return [name for name, _ in copies], time.perf_counter() - began

    def destroy(self, *names: str) -> None:
        for name in names:
            self._virsh("destroy", name)

    def close(self) -> None:
        for path in self._directory.iterdir():
            path.unlink()
        self._directory.rmdir()

    def _copy(self) -> tuple[str, Path]:
        root, mark = ElementTree.fromstring(self._model), uuid.uuid4()
        name = f"floor-{mark}"
        _set(root, "name", name)
        _set(root, "uuid", str(mark))
        for tag in ("metadata", "sysinfo"):
            for element in root.findall(tag):
                root.remove(element)
        for element in root.findall("os/smbios"):
            root.find("os").remove(element)  # type: ignore[union-attr]
        for source in root.findall("devices/disk[@device='disk']/source"):
            path = Path(source.attrib["file"])
            if path.name.startswith("disk."):
                backing = self._backing(path)
                copy = self._directory / f"{name}.disk"
                disks.create_overlay(copy, backing[0], backing[1], 2**30)
                source.set("file", str(copy))
        for number, target in enumerate(root.findall("devices/interface/target")):
            target.set("dev", f"flr{mark.hex[:9]}{number}")
        for number, mac in enumerate(root.findall("devices/interface/mac")):
            mac.set("address", f"fa:16:3f:{mark.hex[0:2]}:{mark.hex[2:4]}:{number:02x}")
        for log in root.iter("log"):
            log.set("file", str(self._directory / f"{name}.console"))
        file = self._directory / f"{name}.xml"
        file.write_text(ElementTree.tostring(root, encoding="unicode"))
        return name, file

    def _backing(self, path: Path) -> tuple[Path, str]:
        text = subprocess.run(
            ["qemu-img", "info", "-U", "--output=json", path], check=True, capture_output=True, text=True
        ).stdout
        found = json.loads(text)
        return Path(found["full-backing-filename"]), found["backing-filename-format"]

    def _virsh(self, *arguments: str) -> str:
        environment = {**os.environ, "LC_ALL": "C"}
        done = subprocess.run(
            ["virsh", "-q", "-c", self._uri, *arguments], capture_output=True, text=True, env=environment, check=False
        )
        if done.returncode:
            raise RuntimeError(f"virsh {arguments[0]}: {done.stderr.strip()}")
        return done.stdout


def _set(root: ElementTree.Element, tag: str, text: str) -> None:
    found = root.find(tag)
    assert found is not None
    found.text = text
