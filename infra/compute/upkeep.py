"""What a host does beside its work: it enrols, pays its debts, removes what it should not have, and reports.

A host that comes back after it was given up must not keep what others have got meanwhile: it closes and removes every
attempt that the control plane does not expect here, before it takes new work.
"""

import asyncio
import logging
from collections.abc import Sequence

from infra.compute.attempts import EVERY, Attempts
from infra.compute.driver import Driver
from infra.compute.guests import GuestFiles
from infra.domain.errors import KilonovaError
from infra.image.host_cache import HostCache
from infra.network.backend import NetworkBackend
from infra.rest.client import RestClient
from infra.settings import Settings

KEEP_IMAGE_SECONDS = 24 * 3600.0
"""How long an image that no server uses stays in the cache."""

log = logging.getLogger(__name__)


class Upkeep:
    def __init__(
        self,
        settings: Settings,
        driver: Driver,
        network: NetworkBackend,
        files: GuestFiles,
        cache: HostCache,
        attempts: Attempts,
        rest: RestClient,
    ) -> None:
        self._name = settings.host.name
        self._seconds = settings.host.report_seconds
        self._driver = driver
        self._network = network
        self._files = files
        self._cache = cache
        self._attempts = attempts
        self._rest = rest
        self._path = f"/compute/internal/hosts/{self._name}"

    async def enrol(self) -> None:
        """Make the host known; it is not schedulable until ``settle`` is through."""
        await self._rest.request("PUT", self._path, json=await self._report())

    async def settle(self) -> None:
        """Pay every debt, remove every server that should not be here, and say that the host is ready."""
        await self.pay()
        expected = await self._expected()
        await asyncio.to_thread(self._remove_unexpected, expected)
        await asyncio.to_thread(self._cache.keep_only, set(expected))
        for leftover in await asyncio.to_thread(self._network.remove_leftovers):
            log.info("Removed %s, which no port accounted for.", leftover)
        await self._rest.request("PUT", f"{self._path}/ready")

    async def pay(self) -> None:
        """Carry out all the clean-up that this host owes, and say so for each."""
        for server_id, attempt, ports in await self.debts():
            await self.pay_one(server_id, attempt, ports)

    async def debts(self) -> list[tuple[str, int, list[str]]]:
        """(server, attempt, ports that were bound here by then) of each clean-up that this host owes."""
        owed = (await self._rest.request("GET", f"{self._path}/debts"))["debts"]
        return [(debt["server_id"], debt["attempt"], debt["ports"]) for debt in owed]

    async def pay_one(self, server_id: str, attempt: int, ports: list[str]) -> None:
        current = (await self._expected()).get(server_id)
        await asyncio.to_thread(self._remove, server_id, attempt, current, ports)
        await self._rest.request("DELETE", f"{self._path}/debts/{server_id}/{attempt}")
        log.info("Removed what attempt %d at server %s had left here.", attempt, server_id)

    async def _expected(self) -> dict[str, int]:
        """The attempt of each server that the control plane has on this host."""
        servers = (await self._rest.request("GET", f"{self._path}/servers"))["servers"]
        return {entry["server_id"]: entry["attempt"] for entry in servers}

    async def report_for_ever(self) -> None:
        """Say every few seconds that the host is there, what its guests do, and pay debts made meanwhile."""
        while True:
            try:
                answer = await self._rest.request("POST", f"{self._path}/report", json=await self._report())
                for vni, tunnel_ips in answer["peers"].items():
                    await asyncio.to_thread(self._network.set_peers, int(vni), tunnel_ips)
                if answer["debts"]:
                    await self.pay()
                await asyncio.to_thread(self._cache.evict, KEEP_IMAGE_SECONDS)
            except KilonovaError as error:
                log.warning("The report of this host did not get through: %s", error.message)
            await asyncio.sleep(self._seconds)

    async def _report(self) -> dict[str, object]:
        report = await asyncio.to_thread(self._driver.report)
        domains = await asyncio.to_thread(self._driver.domains)
        return {
            "report": report.model_dump(mode="json"),
            "power_states": {domain.server_id: domain.power_state for domain in domains},
        }

    def _remove_unexpected(self, expected: dict[str, int]) -> None:
        found = {domain.server_id: domain.attempt for domain in self._driver.domains()}
        for server_id, attempt in found.items():
            if expected.get(server_id) != attempt:
                self._remove(server_id, attempt, expected.get(server_id))
        for server_id in {*self._network.plugged(), *self._files.servers()} - set(expected):
            self._remove(server_id, found.get(server_id, 0), None)

    def _remove(self, server_id: str, attempt: int, current: int | None, ports: Sequence[str] = ()) -> None:
        """Remove an attempt; image references, and other ports than those named, if no later attempt lives here."""
        log.info("Removing attempt %d at server %s from this host.", attempt, server_id)
        with self._attempts.undoing(server_id, attempt):
            state = self._driver.state(server_id)
            if state is None or state.attempt <= attempt:
                self._driver.destroy(server_id)
            self._files.remove(server_id, EVERY if current is None else attempt)
            last = current is None or current <= attempt
            for port_id in self._network.plugged().get(server_id, []) if last else ports:
                self._network.unplug(server_id, port_id)
            if last:
                for image_id in self._cache.images():
                    self._cache.release(image_id, server_id)
