import os
from pathlib import Path
from typing import Any

import pytest

from infra.compute.copies import DiskCopies

SERVER, OTHER = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
IMAGE = "33333333-3333-4333-8333-333333333333"


def test_copies_are_listed_while_servers_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host is compared while other requests remove what they had there."""
    copies = DiskCopies(tmp_path)
    for server in (SERVER, OTHER):
        (tmp_path / server).mkdir()
        copies.part(copies.path(server, 1, IMAGE)).touch()
    listdir = os.listdir

    def going(path: Any = ".") -> list[str]:
        found: list[str] = listdir(path)
        if Path(path) == tmp_path:
            copies.remove(copies.path(OTHER, 1, IMAGE))
            (tmp_path / OTHER).rmdir()
        return found

    monkeypatch.setattr(os, "listdir", going)
    assert copies.all() == {SERVER: {copies.path(SERVER, 1, IMAGE)}}
    assert not (tmp_path / OTHER).exists()
