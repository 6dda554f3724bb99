import errno
import os
import threading
import uuid
from pathlib import Path

import pytest

from infra.compute.attempts import EVERY, Attempts
from infra.domain.errors import Fenced, HostRejected

SERVER = str(uuid.UUID(int=1))


def test_an_attempt_is_open_until_it_is_closed_and_closed_for_good(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path)
    with attempts.doing(SERVER, 1):
        pass
    attempts.close(SERVER, 1)
    with pytest.raises(Fenced), attempts.doing(SERVER, 1):
        pytest.fail("a closed attempt did something")
    with attempts.doing(SERVER, 2):
        pass


def test_what_is_closed_stays_closed_for_a_worker_that_starts_again(tmp_path: Path) -> None:
    Attempts(tmp_path).close(SERVER, 3)
    again = Attempts(tmp_path)
    for number in (1, 2, 3):
        with pytest.raises(Fenced):
            again.check(SERVER, number)
    again.check(SERVER, 4)


def test_a_full_disk_does_not_keep_an_attempt_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A delete is what makes room: its fence has some kept for it."""
    attempts = Attempts(tmp_path)
    sync = os.fsync

    def used() -> int:
        return sum(path.stat().st_size for path in tmp_path.iterdir())

    def full(descriptor: int, size: int = used()) -> None:
        if used() > size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    attempts.close(SERVER, 1)
    assert Attempts(tmp_path).is_closed(SERVER, 1)


def test_closing_an_earlier_attempt_opens_nothing(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path)
    attempts.close(SERVER, 5)
    attempts.close(SERVER, 2)
    assert [attempts.is_closed(SERVER, number) for number in (1, 5, 6)] == [True, True, False]


def test_an_attempt_that_stays_is_open_when_a_later_one_is_closed(tmp_path: Path) -> None:
    Attempts(tmp_path).close(SERVER, 4, keep=(2,))
    again = Attempts(tmp_path)
    assert [number for number in range(1, 6) if not again.is_closed(SERVER, number)] == [2, 5]
    # A later one that keeps it, and one that does not.
    again.close(SERVER, 6, keep=(2,))
    assert not Attempts(tmp_path).is_closed(SERVER, 2)
    again.close(SERVER, 7)
    assert Attempts(tmp_path).is_closed(SERVER, 2)


def test_closing_the_one_that_stayed_leaves_the_later_one(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path)
    attempts.close(SERVER, 1)
    attempts.check(SERVER, 2)
    # Late, and by another order: neither opens anything.
    attempts.close(SERVER, 3, keep=(1, 2))
    assert [attempts.is_closed(SERVER, number) for number in (1, 2, 3)] == [True, False, True]
    attempts.close(SERVER, 2)
    attempts.close(SERVER, 3, keep=(2,))
    assert attempts.is_closed(SERVER, 2)


def test_what_an_older_worker_wrote_is_read(tmp_path: Path) -> None:
    (tmp_path / f"{SERVER}.json").write_text('{"closed_through": 3}')
    assert [Attempts(tmp_path).is_closed(SERVER, number) for number in (3, 4)] == [True, False]


def test_a_deleted_server_has_no_attempt_left(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path)
    attempts.close(SERVER, EVERY)
    with pytest.raises(Fenced):
        attempts.check(SERVER, 1_000_000)


def test_an_undo_closes_first_and_then_waits_for_its_do(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path)
    holds, closed, undone = threading.Event(), threading.Event(), threading.Event()
    seen: list[bool] = []

    def do() -> None:
        with attempts.doing(SERVER, 1):
            holds.set()
            assert closed.wait(10)
            # The effect is over; the check after it finds the attempt closed while the undo still waits.
            with pytest.raises(Fenced):
                attempts.check(SERVER, 1)
            seen.append(undone.is_set())

    def undo() -> None:
        assert holds.wait(10)
        attempts.close(SERVER, 1)
        closed.set()
        with attempts.undoing(SERVER, 1):
            undone.set()

    threads = [threading.Thread(target=do), threading.Thread(target=undo)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert seen == [False]
    assert undone.is_set()


def test_a_server_that_is_held_for_too_long_is_a_soft_refusal(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path)
    with attempts.lock(SERVER), pytest.raises(HostRejected) as refused, attempts.lock(SERVER, seconds=0.01):
        pytest.fail("held twice")
    assert refused.value.soft


@pytest.mark.parametrize("name", ["../x", "", "a/b", "A" * 36, SERVER + "\n"])
def test_only_ids_become_file_names(tmp_path: Path, name: str) -> None:
    attempts = Attempts(tmp_path)
    before = list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="not a server id"):
        attempts.close(name, 1)
    assert list(tmp_path.iterdir()) == before


def test_what_was_closed_long_ago_is_forgotten_but_of_servers_that_are_here(tmp_path: Path) -> None:
    attempts, other = Attempts(tmp_path), str(uuid.UUID(int=2))
    for server_id in (SERVER, other):
        attempts.close(server_id, 1)
    attempts.forget(3600, set())
    assert attempts.known() == {SERVER, other}
    attempts.forget(0, {SERVER})
    assert attempts.known() == {SERVER}
    attempts.check(other, 1)
