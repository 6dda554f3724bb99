"""What the Network Service says of ports: groups with rules, in a few words."""

from typing import Any

from infra.domain.host_network import HostNetwork, Rule, SecuredPort
from infra.domain.network import Nic

WEB, CLIENTS = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
OUT = tuple(Rule(direction="egress", ethertype=ethertype) for ethertype in ("IPv4", "IPv6"))


def let_in(protocol: int | None = None, first: int | None = None, last: int | None = None, **more: Any) -> Rule:
    values = {"ethertype": "IPv4", "direction": "ingress", **more}
    return Rule(protocol=protocol, first=first, last=first if last is None else last, **values)


def addresses(*nics: Nic) -> tuple[str, ...]:
    return tuple(address.ip_address for nic in nics for address in nic.addresses)


def secured(*nics: Nic, rules: tuple[Rule, ...] = (), members: tuple[Nic, ...] = (), **more: Any) -> HostNetwork:
    """All in one group, that lets out everything and in what ``rules`` say; ``members`` are in ``CLIENTS``."""
    ports = tuple(SecuredPort(id=nic.port_id, groups=(WEB,), **more) for nic in nics)
    return HostNetwork(ports=ports, rules={WEB: (*OUT, *rules)}, members={CLIENTS: addresses(*members)})


def in_default_group(*nics: Nic) -> HostNetwork:
    inner = tuple(let_in(group=WEB, ethertype=ethertype) for ethertype in ("IPv4", "IPv6"))
    ports = tuple(SecuredPort(id=nic.port_id, groups=(WEB,)) for nic in nics)
    return HostNetwork(ports=ports, rules={WEB: (*OUT, *inner)}, members={WEB: addresses(*nics)})


def unsecured(*nics: Nic) -> HostNetwork:
    return HostNetwork(ports=tuple(SecuredPort(id=nic.port_id, secured=False) for nic in nics))


def together(*parts: HostNetwork) -> HostNetwork:
    """One answer of several."""
    rules: dict[str, tuple[Rule, ...]] = {}
    members: dict[str, tuple[str, ...]] = {}
    for part in parts:
        rules |= part.rules
        members |= part.members
    return HostNetwork(ports=tuple(port for part in parts for port in part.ports), rules=rules, members=members)
