"""Fences on a host: which attempts at a server may still have effects here.

An activity that ended for its workflow may still run on the host. So an undo first closes the attempt here, for good
and on disk, then takes the server's lock, then removes; a do takes the same lock and checks before each effect and
after the last that its attempt is open.

Closing an attempt closes those before it, but for one that stays: a server that moves on its host has two, and
either may have to go while the other lives.
"""

import errno
import json
import os
import re
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.domain.errors import Fenced, HostRejected

_SERVER_ID = re.compile(r"[0-9a-f-]{36}")
_RESERVE_BYTES = 1024 * 1024
EVERY = 2**31
"""Closes every attempt there ever is: the server is being deleted."""


class Attempts:
    """One per compute worker; ``directory`` is the host's own and outlives the worker."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()
        self._reserve = directory / "reserve"
        self._keep_reserve()

    def is_closed(self, server_id: str, attempt: int) -> bool:
        through, kept = self._closed(server_id)
        return attempt <= through and attempt not in kept

    def check(self, server_id: str, attempt: int) -> None:
        """Raises Fenced if the attempt is closed."""
        if self.is_closed(server_id, attempt):
            raise Fenced(f"Attempt {attempt} at server {server_id} was closed on this host.")

    def close(self, server_id: str, attempt: int, keep: Collection[int] = ()) -> None:
        """Close this attempt and all before it, durably; returns after the file is on disk.

        Args:
            keep: earlier attempts that stay open, where they are: what is closed is never opened again.
        """
        with self._guard:
            through, kept = self._closed(server_id)
            stay = {one for one in keep if one < attempt and (one > through or one in kept)}
            after = max(through, attempt), {one for one in kept if one > attempt} | stay
            if after == (through, kept):
                return
            file = self._file(server_id)
            try:
                self._write(file, *after)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                self._reserve.unlink(missing_ok=True)
                self._write(file, *after)
            self._keep_reserve()

    def _closed(self, server_id: str) -> tuple[int, set[int]]:
        """The highest attempt that is closed here, 0 for none; and those before it that are open all the same."""
        try:
            found = json.loads(self._file(server_id).read_bytes())
        except FileNotFoundError:
            return 0, set()
        return int(found["closed_through"]), {int(one) for one in found.get("kept", ())}

    def _write(self, file: Path, through: int, kept: set[int]) -> None:
        draft = file.with_suffix(".new")
        with draft.open("w") as out:
            json.dump({"closed_through": through, "kept": sorted(kept)}, out)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(file)
        folder = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _keep_reserve(self) -> None:
        """On a full disk there is room for fences all the same: a delete is what makes room again."""
        if self._reserve.exists():
            return
        try:
            with self._reserve.open("wb") as out:
                os.posix_fallocate(out.fileno(), 0, _RESERVE_BYTES)
        except OSError:
            self._reserve.unlink(missing_ok=True)

    @contextmanager
    def lock(self, server_id: str, *, seconds: float = 60.0) -> Iterator[None]:
        """Hold the server on this host.

        Raises:
            HostRejected: soft, somebody else holds it for longer than ``seconds``.
        """
        with self._guard:
            lock = self._locks.setdefault(server_id, threading.Lock())
        if not lock.acquire(timeout=seconds):
            raise HostRejected(f"Server {server_id} is held on this host for more than {seconds:.0f} s.", soft=True)
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def doing(self, server_id: str, attempt: int) -> Iterator[None]:
        """Around an effect: the server's lock, and the attempt open before it."""
        with self.lock(server_id):
            self.check(server_id, attempt)
            yield

    @contextmanager
    def undoing(self, server_id: str, attempt: int, keep: Collection[int] = ()) -> Iterator[None]:
        """Around a removal: the attempt closed, then the server's lock."""
        self.close(server_id, attempt, keep)
        with self.lock(server_id):
            yield

    def forget(self, older_than_seconds: float, keep: set[str]) -> None:
        """Drop what was closed so long ago that nothing of it can be under way, but of the servers in ``keep``."""
        with self._guard:
            for file in self._directory.glob("*.json"):
                if file.stem not in keep and time.time() - file.stat().st_mtime >= older_than_seconds:
                    file.unlink()
                    self._locks.pop(file.stem, None)

    def known(self) -> set[str]:
        """Servers with a closed attempt on this host."""
        return {file.stem for file in self._directory.glob("*.json")}

    def _file(self, server_id: str) -> Path:
        if not _SERVER_ID.fullmatch(server_id):
            raise ValueError("not a server id")
        return self._directory / f"{server_id}.json"
