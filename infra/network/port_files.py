"""The ports of a host, one small file each: the only state of its networking, all else is derived from it."""

import os
import tempfile
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from infra.domain.network import Nic
from infra.network.names import check_id


class PluggedPort(BaseModel):
    """What a host keeps of a port that is plugged there."""

    model_config = ConfigDict(frozen=True)

    server_id: str
    hostname: str
    nic: Nic


class PortFiles:
    """``<directory>/<port id>.json``; written whole or not at all, read by any number of threads."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._parsed: dict[str, tuple[tuple[int, int, int], PluggedPort]] = {}
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def write(self, port: PluggedPort) -> bool:
        """Keep the port, safely on disk when this returns; False when exactly that was there already."""
        path = self._path(port.nic.port_id)
        data = port.model_dump_json().encode()
        try:
            if path.read_bytes() == data:
                return False
        except FileNotFoundError:
            pass
        handle, temporary = tempfile.mkstemp(dir=self._directory, prefix=".")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        self._sync()
        return True

    def remove(self, port_id: str) -> PluggedPort | None:
        """Forget the port and return what was kept of it; None when there was nothing."""
        port = self.get(port_id)
        try:
            self._path(port_id).unlink()
        except FileNotFoundError:
            return None
        self._parsed.pop(port_id, None)
        self._sync()
        return port

    def remove_drafts(self) -> None:
        """Remove what a writer that was killed has left; called while nobody writes."""
        for draft in self._directory.glob(".*"):
            draft.unlink()

    def get(self, port_id: str) -> PluggedPort | None:
        path = self._path(port_id)
        try:
            return self._read(path, path.stat())
        except FileNotFoundError:
            return None

    def all(self) -> list[PluggedPort]:
        """Every port, the latest written last."""
        found: list[tuple[int, str, PluggedPort]] = []
        with os.scandir(self._directory) as entries:
            for entry in entries:
                if entry.name.startswith(".") or not entry.name.endswith(".json"):
                    continue
                try:
                    stat = entry.stat()
                    port = self._read(Path(entry.path), stat)
                except FileNotFoundError:
                    continue
                if port is not None:
                    found.append((stat.st_mtime_ns, entry.name, port))
        return [port for _, _, port in sorted(found, key=lambda item: item[:2])]

    def of_network(self, network_id: str) -> list[PluggedPort]:
        return [port for port in self.all() if port.nic.network_id == network_id]

    def _path(self, port_id: str) -> Path:
        return self._directory / f"{check_id(port_id)}.json"

    def _read(self, path: Path, stat: os.stat_result) -> PluggedPort | None:
        version = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        known = self._parsed.get(path.stem)
        if known is not None and known[0] == version:
            return known[1]
        data = path.read_bytes()
        try:
            port = PluggedPort.model_validate_json(data)
        except ValidationError:
            # A file that no version of this program wrote describes no port; it must not stop all others.
            return None
        self._parsed[path.stem] = (version, port)
        return port

    def _sync(self) -> None:
        handle = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
