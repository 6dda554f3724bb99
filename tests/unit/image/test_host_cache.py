import hashlib
import os
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.domain.errors import BuildAborted, HostRejected, Unavailable
from infra.image.host_cache import HostCache

IMAGE = "aaaaaaaa-0000-0000-0000-000000000001"
DATA = os.urandom(100_000)


def wire(data: bytes = DATA, **changes: object) -> dict[str, object]:
    return {
        "id": IMAGE,
        "disk_format": "raw",
        "size": len(data),
        "virtual_size": len(data),
        "os_hash_algo": "sha512",
        "os_hash_value": hashlib.sha512(data).hexdigest(),
        **changes,
    }


class Source:
    """An image service; breaks off each download after ``breaks_after`` bytes."""

    def __init__(self, data: bytes = DATA, breaks_after: int | None = None) -> None:
        self.data, self.breaks_after = data, breaks_after
        self.offsets: list[int] = []

    def __call__(self, offset: int) -> Iterator[bytes]:
        self.offsets.append(offset)
        end = len(self.data) if self.breaks_after is None else offset + self.breaks_after
        for start in range(offset, min(end, len(self.data)), 10_000):
            yield self.data[start : min(start + 10_000, end)]


@pytest.fixture
def cache(tmp_path: Path) -> HostCache:
    return HostCache(tmp_path / "cache")


def partials(cache: HostCache) -> list[Path]:
    return list(cache._partial.iterdir())


def test_the_second_server_gets_the_first_ones_download(cache: HostCache) -> None:
    source = Source()
    first, second = (cache.fetch(wire(), server, source) for server in ("s1", "s2"))
    assert first == second
    assert (first.format, first.size, first.path.read_bytes()) == ("raw", len(DATA), DATA)
    assert source.offsets == [0]
    assert cache.references(IMAGE) == {"s1", "s2"}
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o444
    assert partials(cache) == []


def test_many_at_once_download_once(cache: HostCache) -> None:
    source, begun, go = Source(), threading.Event(), threading.Event()

    def slow(offset: int) -> Iterator[bytes]:
        begun.set()
        assert go.wait(10)
        yield from source(offset)

    beats: list[int] = []
    threads = [
        threading.Thread(target=cache.fetch, args=(wire(), f"s{n}", slow, lambda: beats.append(1))) for n in range(8)
    ]
    for thread in threads:
        thread.start()
    assert begun.wait(10)
    go.set()
    for thread in threads:
        thread.join(10)
    assert source.offsets == [0]
    assert cache.references(IMAGE) == {f"s{n}" for n in range(8)}
    assert len(beats) >= 10


def test_a_broken_download_goes_on_where_it_ended(cache: HostCache) -> None:
    source = Source(breaks_after=30_000)
    for _ in range(3):
        with pytest.raises(Unavailable):
            cache.fetch(wire(), "s1", source)
        assert cache.references(IMAGE) == set()
        assert cache.images() == []
    assert cache.fetch(wire(), "s1", source).path.read_bytes() == DATA
    assert source.offsets == [0, 30_000, 60_000, 90_000]


def test_other_data_than_the_image_services_is_never_cached(cache: HostCache) -> None:
    with pytest.raises(HostRejected):
        cache.fetch(wire(), "s1", Source(os.urandom(len(DATA))))
    with pytest.raises(Unavailable):
        cache.fetch(wire(), "s1", Source(DATA + b"x"))
    assert cache.images() == []
    assert cache.references(IMAGE) == set()
    assert cache.fetch(wire(), "s1", Source()).path.read_bytes() == DATA


def test_a_download_that_went_on_from_wrong_data_is_made_again_from_the_start(cache: HostCache) -> None:
    with pytest.raises(Unavailable):
        cache.fetch(wire(), "s1", Source(os.urandom(len(DATA)), breaks_after=30_000))
    source = Source()
    with pytest.raises(Unavailable):
        cache.fetch(wire(), "s1", source)
    assert cache.fetch(wire(), "s1", source).path.read_bytes() == DATA
    assert source.offsets == [30_000, 0]


def test_a_qcow2_stays_one_and_a_hostile_one_is_refused(cache: HostCache, tmp_path: Path) -> None:
    path = tmp_path / "disk"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "1G"], check=True)
    data = path.read_bytes()
    found = cache.fetch(wire(data, disk_format="qcow2", virtual_size=1024**3), "s1", Source(data))
    assert (found.format, found.virtual_size) == ("qcow2", 1024**3)
    hostile = tmp_path / "hostile"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", "/etc/passwd", "-F", "raw", hostile, "1G"])
    data = hostile.read_bytes()
    other = "aaaaaaaa-0000-0000-0000-000000000002"
    for claimed in ("qcow2", "raw"):
        with pytest.raises(BuildAborted):
            cache.fetch(wire(data, id=other, disk_format=claimed), "s1", Source(data))
    assert cache.images() == [IMAGE]
    assert partials(cache) == []


def test_a_stop_during_the_download_is_obeyed(cache: HostCache) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.fetch(wire(), "s1", Source(), stop)
    assert cache.references(IMAGE) == set()
    assert cache.fetch(wire(), "s1", Source()).size == len(DATA)


def test_an_image_without_a_checksum_is_refused(cache: HostCache) -> None:
    for missing in ("os_hash_algo", "os_hash_value", "size"):
        with pytest.raises(BuildAborted):
            cache.fetch(wire(**{missing: None}), "s1", Source())


def test_ids_do_not_lead_out_of_the_cache(cache: HostCache) -> None:
    for image_id, server_id in (("../../x", "s"), (IMAGE, "../x"), (IMAGE, ""), ("", "s"), (IMAGE, "..")):
        with pytest.raises(BuildAborted):
            cache.fetch(wire(id=image_id), server_id, Source())


def test_what_is_used_stays_and_what_is_not_goes(cache: HostCache) -> None:
    cache.fetch(wire(), "s1", Source())
    assert cache.evict(0) == []
    cache.release(IMAGE, "s1")
    cache.release(IMAGE, "s1")
    assert cache.evict(3600) == []
    assert cache.evict(0) == [IMAGE]
    assert cache.images() == []
    cache.release(IMAGE, "s1")


def test_a_reference_that_was_lost_is_put_back(cache: HostCache) -> None:
    cache.fetch(wire(), "s1", Source())
    assert not cache.keep(IMAGE, "s1")
    assert cache.keep(IMAGE, "s2")
    assert cache.users() == cache.references(IMAGE) == {"s1", "s2"}
    assert not cache.keep("22222222-2222-4222-8222-222222222222", "s1")
