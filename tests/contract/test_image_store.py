"""What every image store does, files or memory."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.domain.errors import BadRequest, Conflict, NotFound, TooLarge
from infra.image.fake import FakeStore
from infra.image.file_store import FileStore
from infra.image.store import ImageStore

IMAGE = "aaaaaaaa-0000-0000-0000-000000000001"


@pytest.fixture(params=["files", "fake"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ImageStore:
    return FakeStore() if request.param == "fake" else FileStore(tmp_path / "images")


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def read(store: ImageStore, *part: int) -> bytes:
    return b"".join([chunk async for chunk in store.read(IMAGE, *part)])


async def test_data_comes_back_as_it_went_in(store: ImageStore) -> None:
    data = os.urandom(3_000_000)
    stored = await store.put(IMAGE, "raw", pieces(data[:10], b"", data[10:]), 3_000_000)
    assert (stored.size, stored.virtual_size) == (3_000_000, 3_000_000)
    assert stored.checksum == hashlib.md5(data).hexdigest()
    assert stored.sha512 == hashlib.sha512(data).hexdigest()
    assert await read(store) == data
    assert await read(store, 2_999_990) == data[-10:]
    assert await read(store, 5, 7) == data[5:12]
    assert await read(store, 5, 0) == b""
    assert await store.images() == [IMAGE]
    assert not await store.uploading(IMAGE)


async def test_kernels_have_no_virtual_size(store: ImageStore) -> None:
    assert (await store.put(IMAGE, "aki", pieces(b"kernel"), 100)).virtual_size is None


async def test_too_much_is_refused_and_gone(store: ImageStore) -> None:
    with pytest.raises(TooLarge):
        await store.put(IMAGE, "raw", pieces(b"x" * 50, b"x" * 51), 100)
    assert await store.images() == []
    with pytest.raises(NotFound):
        await read(store)


async def test_nothing_is_no_data(store: ImageStore) -> None:
    with pytest.raises(BadRequest):
        await store.put(IMAGE, "raw", pieces(), 100)
    assert await store.images() == []


async def test_an_upload_that_breaks_off_leaves_nothing(store: ImageStore) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await store.put(IMAGE, "raw", broken(), 100)
    assert await store.images() == []
    assert not await store.uploading(IMAGE)
    await store.put(IMAGE, "raw", pieces(b"whole"), 100)
    assert await read(store) == b"whole"


async def test_deleting_can_be_repeated(store: ImageStore) -> None:
    await store.put(IMAGE, "raw", pieces(b"x"), 100)
    for _ in range(2):
        await store.delete(IMAGE)
    assert await store.images() == []
    assert await store.path(IMAGE) is None


async def test_one_upload_at_a_time(tmp_path: Path) -> None:
    store, begun, go = FileStore(tmp_path / "images"), asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"one"
        begun.set()
        await go.wait()

    first = asyncio.create_task(store.put(IMAGE, "raw", slow(), 100))
    await begun.wait()
    assert await store.uploading(IMAGE)
    with pytest.raises(Conflict):
        await store.put(IMAGE, "raw", pieces(b"two"), 100)
    assert await store.uploading(IMAGE)
    go.set()
    await first
    assert await read(store) == b"one"
    assert not await store.uploading(IMAGE)


async def test_a_cancelled_upload_leaves_nothing(tmp_path: Path) -> None:
    store, begun = FileStore(tmp_path / "images"), asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"one"
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(store.put(IMAGE, "raw", endless(), 100))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [path for path in (tmp_path / "images").rglob("*") if path.is_file()] == []


async def test_what_a_killed_process_left_is_taken_over(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "images")
    (tmp_path / "images" / "upload" / IMAGE).write_bytes(b"left over, longer than what comes")
    assert not await store.uploading(IMAGE)
    await store.put(IMAGE, "raw", pieces(b"new"), 100)
    assert await read(store) == b"new"


async def test_zeros_take_no_room(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "images")
    zeros, data = bytes(4 * 1024 * 1024), os.urandom(4 * 1024 * 1024)
    stored = await store.put(IMAGE, "raw", pieces(zeros, data, zeros), 2**30)
    assert stored.size == 12 * 1024 * 1024
    assert await read(store) == zeros + data + zeros
    assert _stat(await store.path(IMAGE)).st_blocks * 512 < 6 * 1024 * 1024


def _stat(path: str | None) -> os.stat_result:
    return os.stat(str(path))


async def test_ids_do_not_lead_out_of_the_store(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "images")
    for image_id in ("../../x", "..", "", "a/b", IMAGE + "/x"):
        with pytest.raises(NotFound):
            await store.put(image_id, "raw", pieces(b"x"), 100)
        with pytest.raises(NotFound):
            await store.delete(image_id)
