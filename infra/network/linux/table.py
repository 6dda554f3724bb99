"""One network's tables of the packet filter, and what ``nft -f`` has to be told for them to be there. Pure.

A table that is replaced takes tens of milliseconds, and more with every port; two chains and an address, which a boot
adds, take five.
"""

from collections.abc import Iterable, Iterator, Mapping

from pydantic import BaseModel, ConfigDict


class SetOfAddresses(BaseModel):
    model_config = ConfigDict(frozen=True)

    type: str
    elements: tuple[str, ...]
    """None is in another."""


class Table(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str
    """Of both tables, of the families inet and bridge."""
    tracking: tuple[str, ...]
    """Chains of the family inet."""
    forward: tuple[str, ...]
    """Rules that all frames go through, after those of the taps that they come from and go to."""
    sets: dict[str, SetOfAddresses]
    chains: dict[str, tuple[str, ...]]
    """Rules by chain."""
    leaving: dict[str, str]
    """Chain by the tap that a frame comes from."""
    arriving: dict[str, str]
    """Chain by the tap that it goes to."""

    def whole(self) -> str:
        """Takes the place of all that there was of this name."""
        hook = "type filter hook forward priority filter; policy accept;"
        lines = []
        for family in ("inet", "bridge"):
            # One that is not there can't be deleted.
            lines += [f"table {family} {self.name}", f"delete table {family} {self.name}"]
        lines += [f"table inet {self.name} {{", *self.tracking, "}", f"table bridge {self.name} {{"]
        for name, it in self.sets.items():
            lines += [f"set {name} {{ type {it.type}; flags interval;", *_elements(it.elements), "}"]
        for name, rules in self.chains.items():
            lines += chain(name, rules)
        for name, taps in (("leaving", self.leaving), ("arriving", self.arriving)):
            lines += [f"map {name} {{ type ifname : verdict;", *_elements(_jumps(taps)), "}"]
        lines += chain("forward", ("iifname vmap @leaving", "oifname vmap @arriving", *self.forward), hook)
        return "\n".join([*lines, "}", ""])

    def since(self, before: "Table") -> str:
        """Makes this of ``before``, which is there; empty where they are the same."""
        if (before.name, before.tracking, before.forward) != (self.name, self.tracking, self.forward):
            return self.whole()
        return "".join(f"{line}\n" for line in [*self._added(before), *self._removed(before)])

    def _added(self, before: "Table") -> Iterator[str]:
        here = f"bridge {self.name}"
        for name, it in self.sets.items():
            if name not in before.sets:
                yield f"add set {here} {name} {{ type {it.type}; flags interval; }}"
            now, old = set(it.elements), set(before.sets[name].elements if name in before.sets else ())
            for verb, elements in ("delete", old - now), ("add", now - old):
                if elements:
                    yield f"{verb} element {here} {name} {{ {', '.join(sorted(elements))} }}"
        for name, rules in self.chains.items():
            if rules != before.chains.get(name):
                yield f"{'flush' if name in before.chains else 'add'} chain {here} {name}"
                yield from (f"add rule {here} {name} {rule}" for rule in rules)
        for name, taps, then in self._maps(before):
            yield from (f"add element {here} {name} {{ {jump} }}" for jump in _jumps(taps) if jump not in _jumps(then))

    def _removed(self, before: "Table") -> Iterator[str]:
        here = f"bridge {self.name}"
        for name, taps, then in self._maps(before):
            yield from (f'delete element {here} {name} {{ "{tap}" }}' for tap in then.keys() - taps.keys())
        yield from (f"delete chain {here} {name}" for name in before.chains.keys() - self.chains.keys())
        yield from (f"delete set {here} {name}" for name in before.sets.keys() - self.sets.keys())

    def _maps(self, before: "Table") -> Iterable[tuple[str, dict[str, str], dict[str, str]]]:
        return ("leaving", self.leaving, before.leaving), ("arriving", self.arriving, before.arriving)


def chain(name: str, rules: Iterable[str], hook: str = "") -> list[str]:
    return [f"chain {name} {{", *([hook] if hook else []), *rules, "}"]


def _jumps(taps: Mapping[str, str]) -> list[str]:
    return [f'"{tap}" : jump {name}' for tap, name in taps.items()]


def _elements(found: Iterable[str]) -> list[str]:
    return [f"elements = {{ {text} }}"] if (text := ", ".join(found)) else []
