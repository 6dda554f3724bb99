"""A guest that stays while its server moves: off, forgotten by the hypervisor, its definition kept beside its disk.

A server has one domain on a host, so an attempt that is to stay gives way to the next one. It comes back exactly as it
was, with the volumes that it got since its boot.

Everything here is called with the server's lock held (``infra.compute.attempts``).
"""

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from infra.compute.attempts import EVERY, Attempts
from infra.compute.driver import Driver
from infra.compute.guests import GuestFiles


class Parked(BaseModel):
    """What is kept of a guest."""

    model_config = ConfigDict(frozen=True)

    by: int
    """The attempt that it gave way to."""
    definition: str


class Parking:
    def __init__(self, driver: Driver, files: GuestFiles, attempts: Attempts) -> None:
        self._driver = driver
        self._files = files
        self._attempts = attempts

    def park(self, server_id: str, attempt: int, by: int, *, grace_seconds: float) -> None:
        """Power the guest of this attempt off and set it aside; one that is not there, or aside already, is success.

        Its definition is on disk before anything is done to it: as long as it is, the guest has to come back.
        """
        state = self._driver.state(server_id)
        if state is None or state.attempt != attempt:
            return
        parked = Parked(by=by, definition=self._driver.definition(server_id))
        _write(self._files.parked(server_id, attempt), parked.model_dump_json())
        self._driver.stop(server_id, grace_seconds=grace_seconds)
        self._driver.destroy(server_id)

    def bring_back(self, server_id: str, attempt: int, *, by: int = EVERY, start: bool = False) -> None:
        """Have the hypervisor know the guest again, running if it is to ``start``.

        One that is not parked is left alone: it was never set aside, or has come back before. So is one that gave way
        to an attempt later than ``by``.
        """
        path = self._files.parked(server_id, attempt)
        try:
            parked = Parked.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return
        if parked.by > by:
            return
        self._driver.restore(server_id, parked.definition)
        if start:
            self._driver.start(server_id)
        path.unlink()

    def remove_closed(self, server_id: str) -> None:
        """Leave nothing of the attempts that are closed here: neither guest nor files. What is open is others'."""
        state = self._driver.state(server_id)
        if state is None or self._attempts.is_closed(server_id, state.attempt):
            self._driver.destroy(server_id)
        self._files.remove(server_id, lambda attempt: self._attempts.is_closed(server_id, attempt))


def _write(path: Path, text: str) -> None:
    """Whole and on disk when this returns."""
    part = path.with_name(path.name + ".part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
