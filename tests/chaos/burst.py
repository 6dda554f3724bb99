"""Many requests at once, each sent again until it is taken, and followed to its end."""

import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx

from infra.deploy import seeds
from tests.e2e.world import Rest, World

COUNT = 10
PATIENCE = 300.0
"""Seconds after which a request that has not ended is said to be still moving."""
_PAUSE = 1.0


@dataclass(frozen=True)
class Answer:
    """What a request came to at the API."""

    body: Any
    """None: it was not taken."""
    refusals: tuple[str, ...]
    """How it was refused, or not answered, before."""


@dataclass(frozen=True)
class Ends:
    """How the requests of a burst ended."""

    answers: tuple[Answer, ...]
    states: Counter[str]
    """Servers at rest by their status, GONE among them."""
    moving: int
    seconds: float
    """From the first request until the last had ended."""
    faults: tuple[str, ...] = ()

    @property
    def requests(self) -> int:
        return len(self.answers)

    @property
    def refused(self) -> int:
        """Requests that were refused, or not answered, when they were first sent."""
        return sum(1 for answer in self.answers if answer.refusals)

    @property
    def lost(self) -> int:
        """Requests that were never taken."""
        return sum(1 for answer in self.answers if answer.body is None)


class Burst:
    """Requests sent at once. Subclasses say what the request of a number is, and what its end."""

    def __init__(self, world: World, count: int) -> None:
        self.world = world
        self.count = count

    def request(self, number: int) -> httpx.Response:
        raise NotImplementedError

    def server_ids(self) -> list[str]:
        """Those that the requests are about; called when all have been taken."""
        raise NotImplementedError

    def ended(self, status: str) -> bool:
        """Whether a server that nothing is done to in this status is at the end of its request."""
        return True

    def run(self) -> Ends:
        began = time.monotonic()
        with ThreadPoolExecutor(self.count) as pool:
            self.answers = tuple(pool.map(self._insist, range(self.count)))
        return self._ends(*self._follow(), time.monotonic() - began)

    def again(self, ends: Ends) -> Ends:
        """The same, with what the servers have come to by now."""
        return self._ends(*self._look(), ends.seconds)

    def _ends(self, states: dict[str, str], faults: list[str], seconds: float) -> Ends:
        counted = Counter(states.values())
        moving = counted.pop("MOVING", 0)
        return Ends(self.answers, counted, moving, seconds, tuple(faults))

    def _insist(self, number: int) -> Answer:
        """Send a request, again until it is taken: as a client with patience does."""
        deadline = time.monotonic() + PATIENCE
        refusals: list[str] = []
        while time.monotonic() < deadline:
            answer = self._ask(self.world.demo, lambda: self.request(number))
            if isinstance(answer, str):
                refusals.append(answer)
            elif answer.is_success or (answer.status_code == 404 and refusals):
                return Answer(answer.json() if answer.content else "", tuple(refusals))
            else:
                refusals.append(f"{answer.status_code} {answer.text[:200]}")
                if answer.status_code < 500:
                    break
            time.sleep(_PAUSE)
        return Answer(None, tuple(refusals))

    def _ask(self, user: Rest, question: Callable[[], httpx.Response]) -> httpx.Response | str:
        """The answer, or why there is none. A token that is not known any more is asked for anew, as clients do."""
        try:
            answer = question()
            if answer.status_code == 401:
                user.sign_in()
                return "401, signed in anew"
        except httpx.HTTPError as error:
            return type(error).__name__
        return answer

    def _follow(self) -> tuple[dict[str, str], list[str]]:
        """What each server has come to, MOVING where that is nothing yet, and the faults of those in ERROR."""
        deadline = time.monotonic() + PATIENCE
        while True:
            states, faults = self._look()
            if "MOVING" not in states.values() or time.monotonic() > deadline:
                return states, faults
            time.sleep(0.5)

    def _look(self) -> tuple[dict[str, str], list[str]]:
        states = dict.fromkeys(self.server_ids(), "MOVING")
        admin, every = self.world.admin, {"all_tenants": "1"}
        answer = self._ask(admin, lambda: admin.get("/compute/v2.1/servers/detail", params=every))
        if isinstance(answer, str) or not answer.is_success:
            return states, []
        found = {server["id"]: server for server in answer.json()["servers"]}
        for server_id in states:
            states[server_id] = self._state(found.get(server_id))
        return states, [server["fault"]["message"] for server in found.values() if server["status"] == "ERROR"]

    def _state(self, server: dict[str, Any] | None) -> str:
        if server is None:
            return "GONE"
        at_rest = server["status"] != "BUILD" and server["OS-EXT-STS:task_state"] is None
        return server["status"] if at_rest and self.ended(server["status"]) else "MOVING"


class Boots(Burst):
    """Boots: each with a network, one in five with a volume that is made for it."""

    def __init__(self, world: World, count: int = COUNT) -> None:
        super().__init__(world, count)
        self._keys = [uuid.uuid4().hex for _ in range(count)]

    def request(self, number: int) -> httpx.Response:
        changes = _with_volume(self.world) if number % 5 == 4 else {}
        body = {"server": self.world.request(f"chaos-{number}", **changes)}
        # A request whose answer was lost may have been taken: the same key makes the same server.
        key = {"Idempotency-Key": self._keys[number]}
        return self.world.demo.post("/compute/v2.1/servers", json=body, headers=key)

    def server_ids(self) -> list[str]:
        return [answer.body["server"]["id"] for answer in self.answers if answer.body]


def _with_volume(world: World) -> dict[str, Any]:
    image = world.images[f"{seeds.IMAGE}-ami"]
    root = {"uuid": image, "source_type": "image", "destination_type": "local", "boot_index": 0}
    disk = {"source_type": "blank", "destination_type": "volume", "volume_size": 1, "boot_index": -1}
    return {"block_device_mapping_v2": [root, {**disk, "delete_on_termination": True}]}


class Deletes(Burst):
    """Deletes of the servers there are."""

    def __init__(self, world: World, server_ids: list[str]) -> None:
        super().__init__(world, len(server_ids))
        self._server_ids = server_ids

    def request(self, number: int) -> httpx.Response:
        return self.world.demo.delete(f"/compute/v2.1/servers/{self._server_ids[number]}")

    def server_ids(self) -> list[str]:
        return self._server_ids

    def ended(self, status: str) -> bool:
        return status == "ERROR"
