"""Port files: written whole, read back as they were, and never in the way of each other."""

import os
from pathlib import Path

import pytest

from infra.network.port_files import PortFiles
from tests.unit.network.test_dhcp import FOUR, port


def test_what_was_written_is_found_by_another_process(tmp_path: Path) -> None:
    assert PortFiles(tmp_path).write(port(FOUR)) is True
    assert PortFiles(tmp_path).write(port(FOUR)) is False
    assert PortFiles(tmp_path).all() == [port(FOUR)]


def test_a_change_by_somebody_else_is_seen(tmp_path: Path) -> None:
    mine, other = PortFiles(tmp_path), PortFiles(tmp_path)
    mine.write(port(FOUR))
    assert mine.get(port(FOUR).nic.port_id) == port(FOUR)
    other.write(port(FOUR, hostname="other"))
    assert mine.all() == [port(FOUR, hostname="other")]
    assert other.remove(port(FOUR).nic.port_id) == port(FOUR, hostname="other")
    assert mine.all() == []
    assert mine.remove(port(FOUR).nic.port_id) is None


def test_the_latest_written_comes_last(tmp_path: Path) -> None:
    files = PortFiles(tmp_path)
    for number, when in ((1, 200), (2, 100), (3, 300)):
        files.write(port(FOUR, number=number))
        os.utime(tmp_path / f"{port(FOUR, number=number).nic.port_id}.json", (when, when))
    assert [item.nic.mac_address[-1] for item in files.all()] == ["2", "1", "3"]


def test_a_write_that_fails_leaves_the_old_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = PortFiles(tmp_path)
    files.write(port(FOUR))

    def fail(handle: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        files.write(port(FOUR, hostname="other"))
    assert files.all() == [port(FOUR)]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_broken_file_does_not_hide_the_others(tmp_path: Path) -> None:
    files = PortFiles(tmp_path)
    files.write(port(FOUR))
    (tmp_path / "11111111-broken.json").write_text("{")
    (tmp_path / ".half").write_text("{")
    assert files.all() == [port(FOUR)]
    assert files.remove("11111111-broken") is None
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("port_id", ["../x/../../y", "", "a/b" * 4])
def test_no_id_leads_out_of_the_folder(tmp_path: Path, port_id: str) -> None:
    with pytest.raises(ValueError, match="not an id"):
        PortFiles(tmp_path).get(port_id)
