"""Where a server may go, and why: requests to the scheduler, server groups, and explanations of its choice."""

import math
from collections.abc import Iterable
from datetime import datetime
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from infra.domain.errors import BadRequest, NoValidHost
from infra.domain.extra_specs import numa_wish
from infra.domain.flavor import Flavor
from infra.domain.host import Resources
from infra.domain.numa import NumaWish

POLICIES = ("affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity")


class ServerGroup(BaseModel):
    """A server group of the compute API (``os-server-groups``)."""

    model_config = ConfigDict(frozen=True)

    id: str
    project_id: str
    user_id: str
    name: str
    policy: str
    max_server_per_host: int = 1
    """Rule of ``anti-affinity``."""
    members: tuple[str, ...] = ()
    """Server ids."""
    created_at: datetime


class PlacementGroup(BaseModel):
    """The group of the server being placed, and where its other members are."""

    model_config = ConfigDict(frozen=True)

    id: str
    policy: str
    max_server_per_host: int = 1
    hosts: tuple[str, ...] = ()
    """Host of each other member that has one: a host with two members is there twice."""


class PlacementRequest(BaseModel):
    """Everything the choice of a host depends on, besides the hosts."""

    model_config = ConfigDict(frozen=True)

    server_id: str
    project_id: str
    flavor: Flavor
    image_id: str | None = None
    image_properties: dict[str, Any] = Field(default_factory=dict)
    volume_backed: bool = False
    """True: the root disk is a volume, so the flavor's root disk needs no room on the host."""
    availability_zone: str | None = None
    forced_host: str | None = None
    """An administrator's choice: only up, enabled and room are asked of it, no filter."""
    excluded_hosts: tuple[str, ...] = ()
    """Hosts that refused."""
    soft_excluded_hosts: tuple[str, ...] = ()
    """Hosts that were busy or did not answer: taken when no other is left."""
    hints: dict[str, Any] = Field(default_factory=dict)
    """``os:scheduler_hints`` as sent."""
    server_hosts: dict[str, str] = Field(default_factory=dict)
    """Where the servers are that ``same_host`` and ``different_host`` name; the scheduler fills it in."""
    group: PlacementGroup | None = None
    """The scheduler fills it in from the server's membership."""
    seed: str | None = None
    """Orders hosts of equal weight; default the server's id."""

    @cached_property
    def topology(self) -> NumaWish | None:
        """What the flavor asks of the host's NUMA cells and CPUs.

        Raises:
            BadRequest: it contradicts itself.
        """
        return numa_wish(self.flavor)

    @cached_property
    def resources(self) -> Resources:
        """What the server takes of its host; ``resources:<CLASS>`` extra specs override the flavor's own figures."""
        flavor = self.flavor
        root = 0 if self.volume_backed else flavor.disk_gb
        disk = root + flavor.ephemeral_gb + math.ceil(flavor.swap_mb / 1024)
        own = {"VCPU": flavor.vcpus, "MEMORY_MB": flavor.ram_mb, "DISK_GB": disk}
        for name in list(own):
            override = flavor.extra_specs.get(f"resources:{name}", "")
            if override.isdecimal():
                own[name] = int(override)
        if self.topology is not None and self.topology.dedicated:
            own |= {"VCPU": 0, "PCPU": flavor.vcpus}
        return Resources(
            vcpus=own["VCPU"], memory_mb=own["MEMORY_MB"], disk_gb=own["DISK_GB"], pcpus=own.get("PCPU", 0)
        )

    def hinted_servers(self, hint: str) -> tuple[str, ...]:
        """Server ids named by ``same_host`` or ``different_host``: one, or a list of them."""
        return strings(self.hints.get(hint))


class Shortage(BaseModel):
    """How many hosts had too little of one resource, and the most that any of them could give one server."""

    model_config = ConfigDict(frozen=True)

    resource: str
    asked: int
    hosts: int
    best: int


class FilterOutcome(BaseModel):
    """What one filter removed, of the hosts that the filters before it left."""

    model_config = ConfigDict(frozen=True)

    name: str
    removed: int
    hosts: tuple[str, ...] = ()
    """Some of their names, for operators."""


class Score(BaseModel):
    """Weight of a host that passed every filter."""

    model_config = ConfigDict(frozen=True)

    host: str
    weight: float
    parts: dict[str, float] = Field(default_factory=dict)
    """Weigher to its share: normalised weight times multiplier."""


class Explanation(BaseModel):
    """Why a host was chosen, or why none was."""

    model_config = ConfigDict(frozen=True)

    evaluated: int
    filters: tuple[FilterOutcome, ...] = ()
    shortages: tuple[Shortage, ...] = ()
    remaining: int = 0
    best: tuple[Score, ...] = ()
    chosen: str | None = None
    seed: str = ""
    lost_races: int = 0
    """Claims that another request was faster with."""

    @property
    def sentence(self) -> str:
        """For users, in one sentence: counts only, no host's name."""
        if self.evaluated == 0:
            return "No valid host was found. No compute host has enrolled."
        parts = [f"{outcome.name} removed {outcome.removed}" for outcome in self.filters if outcome.removed]
        if self.remaining:
            parts.append(f"{self.remaining} lost their room to other requests")
        text = f"No valid host was found. Of {self.evaluated} host{'s' if self.evaluated != 1 else ''} "
        text += ", ".join(parts) or "none is left"
        if self.shortages:
            text += f" (short of {', '.join(_shortage(shortage) for shortage in self.shortages)})"
        return text + "."

    @property
    def detail(self) -> str:
        """The sentence, followed by the names of hosts, for operators."""
        lines = [
            f"{outcome.name}: {', '.join(outcome.hosts)}{', ...' if outcome.removed > len(outcome.hosts) else ''}"
            for outcome in self.filters
            if outcome.removed
        ]
        return "\n".join([self.sentence, *lines])

    def for_users(self) -> "Explanation":
        """Without the names of hosts."""
        bare = tuple(outcome.model_copy(update={"hosts": ()}) for outcome in self.filters)
        return self.model_copy(update={"filters": bare, "best": (), "chosen": None})


class Claimed(BaseModel):
    """The host that a server got, and why."""

    model_config = ConfigDict(frozen=True)

    host: str
    explanation: Explanation


class Unplaceable(NoValidHost):
    """No valid host, with the explanation; the message is its sentence for users."""

    def __init__(self, explanation: Explanation) -> None:
        super().__init__(explanation.sentence, kind="NoValidHost")
        self.explanation = explanation


def strings(value: Any) -> tuple[str, ...]:
    """A hint that may be one string or a list of them.

    Raises:
        BadRequest: it is neither.
    """
    if value is None:
        return ()
    values: Iterable[Any] = value if isinstance(value, list | tuple) else (value,)
    found = tuple(values)
    if not all(isinstance(item, str) for item in found):
        raise BadRequest("Invalid scheduler hint: a string or a list of strings is expected.")
    return found


def _shortage(shortage: Shortage) -> str:
    return f"{shortage.resource} on {shortage.hosts}: {shortage.asked} asked, at most {shortage.best} left"
