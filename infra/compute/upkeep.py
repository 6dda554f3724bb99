"""What a host does beside its work: it enrols, pays its debts, removes what it should not have, and reports.

A host that comes back after it was given up must not keep what others have got meanwhile: it closes and removes every
attempt that the control plane does not expect here, before it takes new work.
"""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from infra.compute.attempts import Attempts
from infra.compute.copies import DiskCopies
from infra.compute.driver import Driver
from infra.compute.guests import GuestFiles
from infra.compute.parking import Parking
from infra.domain.errors import HostRejected, KilonovaError
from infra.domain.host_network import HostNetwork
from infra.image.host_cache import HostCache
from infra.network.backend import NetworkBackend
from infra.rest.client import RestClient
from infra.settings import Settings

KEEP_IMAGE_SECONDS = 24 * 3600.0
"""How long an image that no server uses stays in the cache."""
KEEP_FENCE_SECONDS = 30 * 24 * 3600.0
"""How long an attempt that was closed here is known: as long as the control plane knows it
(``infra.db.pruning.TOMBSTONES``)."""

log = logging.getLogger(__name__)


class Guest(BaseModel):
    """A guest as its host sees it."""

    model_config = ConfigDict(frozen=True)

    server_id: str
    attempt: int
    power_state: int
    serials: tuple[str, ...] = ()
    """Of its disks, 20 characters each."""


class Tidied(BaseModel):
    model_config = ConfigDict(frozen=True)

    done: tuple[str, ...]
    """What was removed or mended, a sentence each."""
    guests: tuple[Guest, ...]


class Upkeep:
    def __init__(
        self,
        settings: Settings,
        driver: Driver,
        network: NetworkBackend,
        files: GuestFiles,
        copies: DiskCopies,
        cache: HostCache,
        attempts: Attempts,
        rest: RestClient,
    ) -> None:
        self._name = settings.host.name
        self._seconds = settings.host.report_seconds
        self._driver = driver
        self._network = network
        self._files = files
        self._copies = copies
        self._cache = cache
        self._attempts = attempts
        self._parking = Parking(driver, files, attempts)
        self._rest = rest
        self._path = f"/compute/internal/hosts/{self._name}"
        self._syncing = asyncio.Lock()
        self._synced: int | None = None

    async def enrol(self) -> None:
        """Make the host known; it is not schedulable until ``settle`` is through."""
        await self._rest.request("PUT", self._path, json=await self._report())

    async def settle(self) -> None:
        """Make the host what it should be, and say that it is ready."""
        await self.tidy()
        await self._rest.request("PUT", f"{self._path}/ready")

    async def tidy(self) -> Tidied:
        """Pay every debt and remove all that should not be here, while the host works as ever.

        What is here is read before what should be: a server that comes meanwhile is expected before it has anything.
        """
        await self.sync()
        await self.pay()
        found, copies = await asyncio.to_thread(self._found), await asyncio.to_thread(self._copies.all)
        expected = await self._expected()
        done = []
        for server_id, attempts in found.items():
            done += await asyncio.to_thread(self._tidy, server_id, attempts, expected.get(server_id))
        for server_id in copies.keys() & expected.keys():
            done += await asyncio.to_thread(self._drop_copies, server_id, copies[server_id], expected[server_id])
        for server_id, entry in expected.items():
            done += await asyncio.to_thread(self._mend, server_id, entry)
        for leftover in await asyncio.to_thread(self._network.remove_leftovers):
            done.append(f"Removed {leftover}, which no port accounts for.")
        await asyncio.to_thread(self._attempts.forget, KEEP_FENCE_SECONDS, set(expected))
        for sentence in done:
            log.warning("%s", sentence)
        return Tidied(done=tuple(done), guests=tuple(await asyncio.to_thread(self._guests)))

    async def sync(self) -> int:
        """Make the host's networking what the Network Service says; returns the number of the latest change in that."""
        async with self._syncing:
            wanted = HostNetwork.model_validate(await self._rest.request("GET", f"{self._path}/network"))
            await asyncio.to_thread(self._network.apply, wanted)
            try:
                await asyncio.to_thread(self._network.route, wanted.routers)
            except HostRejected as error:
                # Tried again by the host itself; it must not keep the host from its servers.
                log.warning("A router could not be made what it should be: %s", error.message)
            self._synced = wanted.change
        return wanted.change

    def know_port(self, port_id: str) -> None:
        """For a thread: what the Network Service says of a port that is about to be plugged is known here after this.

        Mostly it came with the port; not where the server moved here, or this worker began in between.
        """
        if not self._network.knows(port_id):
            self._rest.blocking(self.sync())

    async def pay(self) -> None:
        """Carry out all the clean-up that this host owes, and say so for each."""
        for server_id, attempt, ports in await self.debts():
            await self.pay_one(server_id, attempt, ports)

    async def debts(self) -> list[tuple[str, int, list[str]]]:
        """(server, attempt, ports that were bound here by then) of each clean-up that this host owes."""
        owed = (await self._rest.request("GET", f"{self._path}/debts"))["debts"]
        return [(debt["server_id"], debt["attempt"], debt["ports"]) for debt in owed]

    async def pay_one(self, server_id: str, attempt: int, ports: Sequence[str] = ()) -> None:
        await asyncio.to_thread(self._remove, server_id, attempt, ports)
        await self._rest.request("DELETE", f"{self._path}/debts/{server_id}/{attempt}")
        log.info("Removed what attempt %d at server %s had left here.", attempt, server_id)

    async def _expected(self) -> dict[str, dict[str, Any]]:
        """Each server that the control plane has on this host (``infra.db.settlement.Expected``)."""
        servers = (await self._rest.request("GET", f"{self._path}/servers"))["servers"]
        return {entry["server_id"]: entry for entry in servers}

    async def report_for_ever(self) -> None:
        """Every few seconds."""
        while True:
            try:
                await self.report()
            except KilonovaError as error:
                log.warning("The report of this host did not get through: %s", error.message)
            await asyncio.sleep(self._seconds)

    async def report(self) -> None:
        """Say that the host is there and what its guests do, and do what the control plane asks for in return."""
        answer = await self._rest.request("POST", f"{self._path}/report", json=await self._report())
        for vni, tunnel_ips in answer["peers"].items():
            await asyncio.to_thread(self._network.set_peers, int(vni), tunnel_ips)
        if answer["network"] != self._synced:
            await self.sync()
        if not answer["ready"]:
            # An operator had said that this host is off: others may have got what it had.
            await self.settle()
        elif answer["debts"]:
            await self.pay()
        await asyncio.to_thread(self._cache.evict, KEEP_IMAGE_SECONDS)

    async def _report(self) -> dict[str, object]:
        report = await asyncio.to_thread(self._driver.report)
        domains = await asyncio.to_thread(self._driver.domains)
        return {
            "report": report.model_dump(mode="json"),
            "power_states": {domain.server_id: domain.power_state for domain in domains},
        }

    def _found(self) -> dict[str, set[int]]:
        """Every server that has anything here, and the attempts that its guest and files tell."""
        found: dict[str, set[int]] = {}
        for server_id in (*self._network.plugged(), *self._cache.users()):
            found[server_id] = set()
        for server_id in self._files.servers():
            found.setdefault(server_id, set()).update(self._files.attempts(server_id))
        for domain in self._driver.domains():
            found.setdefault(domain.server_id, set()).add(domain.attempt)
        return found

    def _tidy(self, server_id: str, attempts: set[int], entry: dict[str, Any] | None) -> list[str]:
        """Remove what a server should not have here; one that a verb is working on loses dead attempts only."""
        if entry is None:
            self._remove(server_id, max(attempts, default=0))
            return [f"Removed all that server {server_id} had here, which should not be on this host."]
        live, held = set(entry["attempts"]), entry["task_state"] is not None
        # What is later than all that should be here may be what a verb is making.
        dead = {one for one in attempts - live if one < max(live) or not held}
        if dead:
            self._remove(server_id, max(dead))
            here = ", ".join(str(one) for one in sorted(live))
            return [f"Removed other attempts at server {server_id}, which is here in attempt {here}."]
        if held:
            return []
        stray = set(self._network.plugged().get(server_id, [])) - set(entry["ports"])
        with self._attempts.lock(server_id):
            for port_id in stray:
                self._network.unplug(server_id, port_id)
        return [f"Unplugged port {port_id}, which server {server_id} does not have." for port_id in sorted(stray)]

    def _drop_copies(self, server_id: str, copies: set[Path], entry: dict[str, Any]) -> list[str]:
        """Remove copies of a disk that were here before the server was seen to be held by nobody."""
        if entry["task_state"] is not None:
            return []
        for path in copies:
            self._driver.stop_copy(server_id, self._copies.part(path))
            self._copies.remove(path)
        return [f"Removed a copy of the disk of server {server_id}, which nobody waits for any more." for _ in copies]

    def _mend(self, server_id: str, entry: dict[str, Any]) -> list[str]:
        """Without its reference an image that a guest's disk is an overlay of would be evicted."""
        if entry["task_state"] is not None:
            return []
        kept = [image_id for image_id in entry["images"] if self._cache.keep(image_id, server_id)]
        used = {image_id for image_id in self._cache.images() if server_id in self._cache.references(image_id)}
        stray = sorted(used - set(entry["images"]))
        for image_id in stray:
            self._cache.release(image_id, server_id)
        return [
            *(f"Noted that server {server_id} uses image {image_id}." for image_id in kept),
            *(f"Noted that server {server_id} does not use image {image_id}." for image_id in stray),
        ]

    def _guests(self) -> list[Guest]:
        return [
            Guest(
                server_id=domain.server_id,
                attempt=domain.attempt,
                power_state=domain.power_state,
                serials=tuple(self._driver.serials(domain.server_id)),
            )
            for domain in self._driver.domains()
        ]

    def _remove(self, server_id: str, attempt: int, ports: Sequence[str] = ()) -> None:
        """Remove an attempt and those before it, but for what should be here; all of the server where nothing else
        should be, otherwise ``ports``.

        Asked again under the server's lock: what comes to this host later waits for it.
        """
        log.info("Removing attempt %d at server %s from this host.", attempt, server_id)
        with self._attempts.undoing(server_id, attempt, _live(self._entry(server_id)) - {attempt}):
            entry = self._entry(server_id)
            live = _live(entry)
            self._parking.remove_closed(server_id)
            if not live:
                self._files.remove(server_id, lambda _: True)
            last = live <= {attempt}
            for port_id in self._network.plugged().get(server_id, []) if last else ports:
                self._network.unplug(server_id, port_id)
            # What a verb is making may need an image that the row does not name yet.
            if last or entry is None or entry["task_state"] is None:
                used = set() if last or entry is None else set(entry["images"])
                for image_id in set(self._cache.images()) - used:
                    self._cache.release(image_id, server_id)

    def _entry(self, server_id: str) -> dict[str, Any] | None:
        """What the control plane has of a server on this host."""
        return self._rest.blocking(self._expected()).get(server_id)


def _live(entry: dict[str, Any] | None) -> set[int]:
    """The attempts at a server that should be here."""
    return set(entry["attempts"]) if entry is not None else set()
