"""What is to be on a host, a small file for each thing: its networking has no other state, all else is derived."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from infra.network.names import check_id

T = TypeVar("T", bound=BaseModel)


class KeptFiles(Generic[T]):
    """``<directory>/<id>.json``; written whole or not at all, read by any number of threads.

    Args:
        kind: what a file holds.
        id_of: the id of one.
    """

    def __init__(self, directory: Path, kind: type[T], id_of: Callable[[T], str]) -> None:
        self._directory = directory
        self._kind = kind
        self._id_of = id_of
        self._parsed: dict[str, tuple[tuple[int, int, int], T]] = {}
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def write(self, item: T) -> bool:
        """Keep it, safely on disk when this returns; False when exactly that was there already."""
        path = self._path(self._id_of(item))
        data = item.model_dump_json().encode()
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

    def remove(self, item_id: str) -> T | None:
        """Forget it and return what was kept of it; None when there was nothing."""
        item = self.get(item_id)
        try:
            self._path(item_id).unlink()
        except FileNotFoundError:
            return None
        self._parsed.pop(item_id, None)
        self._sync()
        return item

    def remove_drafts(self) -> None:
        """Remove what a writer that was killed has left; called while nobody writes."""
        for draft in self._directory.glob(".*"):
            draft.unlink()

    def get(self, item_id: str) -> T | None:
        path = self._path(item_id)
        try:
            return self._read(path, path.stat())
        except FileNotFoundError:
            return None

    def all(self) -> list[T]:
        """Every one, the latest written last."""
        found: list[tuple[int, str, T]] = []
        with os.scandir(self._directory) as entries:
            for entry in entries:
                if entry.name.startswith(".") or not entry.name.endswith(".json"):
                    continue
                try:
                    stat = entry.stat()
                    item = self._read(Path(entry.path), stat)
                except FileNotFoundError:
                    continue
                if item is not None:
                    found.append((stat.st_mtime_ns, entry.name, item))
        return [item for _, _, item in sorted(found, key=lambda each: each[:2])]

    def _path(self, item_id: str) -> Path:
        return self._directory / f"{check_id(item_id)}.json"

    def _read(self, path: Path, stat: os.stat_result) -> T | None:
        version = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        known = self._parsed.get(path.stem)
        if known is not None and known[0] == version:
            return known[1]
        data = path.read_bytes()
        try:
            item = self._kind.model_validate_json(data)
        except ValidationError:
            # A file that no version of this program wrote describes nothing; it must not stop all others.
            return None
        self._parsed[path.stem] = (version, item)
        return item

    def _sync(self) -> None:
        handle = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
