"""What a host has been told of its networking, by several answers that may overtake one another.

Kept in memory: what it leads to stands in the kernel, and a worker that starts asks before anything else.
"""

from collections.abc import Collection
from threading import Lock
from typing import Generic, TypeVar

from infra.domain.host_network import HostNetwork, Rule, SecuredPort

T = TypeVar("T")


class Knowledge:
    """The latest said of each port and group; used by any number of threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._ports = _Latest[SecuredPort]()
        self._rules = _Latest[tuple[Rule, ...]]()
        self._members = _Latest[tuple[str, ...]]()

    def add(self, part: HostNetwork) -> None:
        """What is said of some ports."""
        with self._lock:
            self._ports.put({port.id: port for port in part.ports}, part.change)
            self._rules.put(part.rules, part.change)
            self._members.put(part.members, part.change)

    def replace(self, whole: HostNetwork, keep: Collection[str] = ()) -> None:
        """What is said of all: what is not in it and was not said later is forgotten, but for the ports ``keep``."""
        self.add(whole)
        with self._lock:
            self._ports.retain({port.id for port in whole.ports} | set(keep), whole.change)
            groups = {group for port in self._ports.all().values() for group in port.groups}
            self._rules.retain(groups, whole.change)
            named = {rule.group for rules in self._rules.all().values() for rule in rules if rule.group is not None}
            self._members.retain(named, whole.change)

    def port(self, port_id: str) -> SecuredPort | None:
        with self._lock:
            return self._ports.all().get(port_id)

    def view(self) -> HostNetwork:
        """All that is known, at one moment."""
        with self._lock:
            return HostNetwork(
                ports=tuple(self._ports.all().values()), rules=self._rules.all(), members=self._members.all()
            )


class _Latest(Generic[T]):
    def __init__(self) -> None:
        self._said: dict[str, tuple[int, T]] = {}

    def put(self, values: dict[str, T], change: int) -> None:
        for key, value in values.items():
            if key not in self._said or self._said[key][0] <= change:
                self._said[key] = change, value

    def retain(self, keys: Collection[str], change: int) -> None:
        self._said = {key: said for key, said in self._said.items() if key in keys or said[0] > change}

    def all(self) -> dict[str, T]:
        return {key: value for key, (_, value) in self._said.items()}
