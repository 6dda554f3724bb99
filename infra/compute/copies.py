"""Copies of servers' disks on their way into an image: ``<directory>/<server>/copy.<attempt>.<image>``.

They lie beside the guest's other files, so that they go with the last of them. A name is there when the copy is whole.
"""

import contextlib
import re
from pathlib import Path

_NAME = re.compile(r"copy\.\d+\.[0-9a-f-]{36}(\.part)?")


class DiskCopies:
    """All copies of one host; ``directory`` is the guests'."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, server_id: str, attempt: int, copy_id: str) -> Path:
        """``copy_id`` is the image's that is made of it."""
        return self._directory / server_id / f"copy.{attempt}.{copy_id}"

    def part(self, path: Path) -> Path:
        """Where a copy is written until it is whole."""
        return path.with_name(f"{path.name}.part")

    def remove(self, path: Path) -> None:
        """With what an interrupted write left of it; "not there" is success."""
        path.unlink(missing_ok=True)
        self.part(path).unlink(missing_ok=True)

    def all(self) -> dict[str, set[Path]]:
        """By server, whole or not: each by the name that it has when it is whole."""
        found: dict[str, set[Path]] = {}
        for folder in list(self._directory.iterdir()):
            # Servers come and go meanwhile.
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                for path in folder.iterdir():
                    if _NAME.fullmatch(path.name):
                        found.setdefault(folder.name, set()).add(path.with_name(path.name.removesuffix(".part")))
        return found
