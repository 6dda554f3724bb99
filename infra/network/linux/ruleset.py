"""The nftables rules of one network on a host: what its guests may send, and what reaches them. Pure.

A table of the bridge family judges each frame by the tap that it comes from and the tap that it goes to. Not every
kernel's bridges know connections, so that a table of the inet family, through which IP frames of our bridges go first,
marks those that are replies. Only replies pass by their mark: what goes the way that a connection was opened is judged
by the rules each time, so that a rule that is taken away ends what it let in, and nothing else.

A port that nothing is known of is shut but for what every port has: DHCP, metadata, and who has which address.
Source: nft(8); what a port may always do is Neutron's.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from infra.domain.host_network import HostNetwork, Rule, SecuredPort
from infra.domain.network import Nic
from infra.network import names
from infra.network.linux.table import SetOfAddresses, Table, chain

REPLY = 0x08000000
"""The bit of a packet's mark that says so, on this host only."""
_OTHERS = 0xFFFFFFFF ^ REPLY
_PORTS = {6: "tcp", 17: "udp", 33: "dccp", 132: "sctp", 136: "udplite"}
_ICMP = {("IPv4", 1): "icmp", ("IPv6", 58): "icmpv6"}
_FAMILY = {"IPv4": "ip", "IPv6": "ip6"}
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_NONE_YET = ipaddress.IPv4Network("0.0.0.0/32")
_VLAN = "ether type { 8021q, 8021ad } drop"


class Fabric(BaseModel):
    """What a network's rules are about on this host."""

    model_config = ConfigDict(frozen=True)

    prefix: str
    network_id: str
    zone: int
    """Of connection tracking, 1 to 65535: networks with equal addresses share no connections."""


def render(fabric: Fabric, nics: Sequence[Nic], known: HostNetwork) -> Table:
    """What there is to be for a network with these ports."""
    ports = {port.id: port for port in known.ports}
    judged = [(nic, port) for nic in nics if (port := ports.get(nic.port_id, SecuredPort(id=nic.port_id))).secured]
    rules = {port.id: _rules(port, known.rules) for _, port in judged}
    named = sorted({rule.group for of_one in rules.values() for rule in of_one if rule.group is not None})
    chains: dict[str, tuple[str, ...]] = {}
    for nic, port in judged:
        chains[_out(nic)] = tuple(_leaving(nic, port, rules[port.id]))
        chains[_in(nic)] = tuple(_arriving(fabric, nics, port, rules[port.id]))
    # The mark is nobody's business outside.
    tunnel = names.tunnel(fabric.prefix, fabric.network_id)
    return Table(
        name=names.namespace(fabric.prefix, fabric.network_id),
        tracking=tuple(_tracking(fabric)),
        forward=(f'oifname "{tunnel}" meta mark set meta mark and {_OTHERS:#x}',),
        sets=dict(_sets(named, known.members)),
        chains=chains,
        leaving={names.tap(fabric.prefix, nic.port_id): _out(nic) for nic, _ in judged},
        arriving={names.tap(fabric.prefix, nic.port_id): _in(nic) for nic, _ in judged},
    )


def _tracking(fabric: Fabric) -> list[str]:
    bridge = names.bridge(fabric.prefix, fabric.network_id)
    replies = (
        f"meta mark set meta mark and {_OTHERS:#x}",
        f"ct state related meta mark set meta mark or {REPLY:#x}",
        f"ct state established ct direction reply meta mark set meta mark or {REPLY:#x}",
    )
    hook = "type filter hook prerouting priority {}; policy accept;"
    return [
        *chain("zone", [f'iifname "{bridge}" ct zone set {fabric.zone}'], hook.format("raw")),
        *chain("replies", replies),
        *chain("state", [f'iifname "{bridge}" jump replies'], hook.format("mangle")),
    ]


def _leaving(nic: Nic, port: SecuredPort, rules: Sequence[Rule]) -> Iterator[str]:
    """From the guest: nothing under another's name, and what the rules let out."""
    sources = _sources(nic, port)
    four = {mac: [it for it in networks if it.version == 4] for mac, networks in sources.items()}
    six = {mac: [it for it in networks if it.version == 6] for mac, networks in sources.items()}
    # Who looks whether an address is free, or asks for one, has none yet.
    asking = {mac: [*networks, _NONE_YET] for mac, networks in four.items()}
    yield _VLAN
    yield f"ether saddr != {{ {', '.join(sources)} }} drop"
    yield f"ether type arp arp saddr ether . arp saddr ip {_pairs(asking)} return"
    yield "ether type arp drop"
    yield "ip saddr 0.0.0.0 udp sport 68 udp dport 67 return"
    yield f"ether type ip ether saddr . ip saddr != {_pairs(four)} drop" if any(four.values()) else "ether type ip drop"
    yield "ip6 saddr :: icmpv6 type { nd-neighbor-solicit, nd-router-solicit, mld2-listener-report } return"
    yield f"ether type ip6 ether saddr . ip6 saddr != {_pairs(six)} drop"
    # Of what servers and routers say, nothing is a guest's to say.
    yield "udp sport 67 udp dport 68 drop"
    yield "udp sport 547 udp dport 546 drop"
    yield "icmpv6 type { nd-router-advert, nd-redirect } drop"
    targets = ", ".join(_numbers(it) for it in _collapsed(it for networks in six.values() for it in networks))
    yield f"icmpv6 type nd-neighbor-advert @th,64,128 != {{ {targets} }} drop"
    yield (
        "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, mld-listener-report, "
        "mld-listener-done, mld2-listener-report } return"
    )
    yield "ether type ip udp sport 68 udp dport 67 return"
    yield "ether type ip6 udp sport 546 udp dport 547 return"
    yield f"ip daddr {names.METADATA_IP} tcp dport 80 return"
    yield from _judged(port, rules, "egress")


def _arriving(fabric: Fabric, nics: Iterable[Nic], port: SecuredPort, rules: Sequence[Rule]) -> Iterator[str]:
    """To the guest: what it needs to be in the network, what this host's own services say, what the rules let in."""
    veth = names.veth(fabric.prefix, fabric.network_id)
    yield _VLAN
    yield "ether type arp return"
    yield "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert, mld-listener-query } return"
    own = {address.dhcp_ip for nic in nics for address in nic.addresses if address.dhcp_ip is not None}
    services = {"ip": [names.METADATA_IP], "ip6": []}
    for address in sorted(own):
        services["ip6" if ":" in address else "ip"].append(address)
    for family, addresses in services.items():
        if addresses:
            yield f'iifname "{veth}" {family} saddr {{ {", ".join(addresses)} }} return'
    yield f'iifname "{veth}" udp sport 547 udp dport 546 return'
    yield from _judged(port, rules, "ingress")


def _judged(port: SecuredPort, rules: Sequence[Rule], direction: str) -> Iterator[str]:
    if port.stateful:
        yield f"meta mark and {REPLY:#x} == {REPLY:#x} return"
    yield from dict.fromkeys(match(rule) + " return" for rule in rules if rule.direction == direction)
    yield "drop"


def match(rule: Rule) -> str:
    """What a rule lets through, as nft says it."""
    family = _FAMILY[rule.ethertype]
    parts = [f"ether type {family}"]
    peer = f"{family} saddr" if rule.direction == "ingress" else f"{family} daddr"
    if rule.group is not None:
        parts.append(f"{peer} @{_set(rule.group, family)}")
    elif rule.prefix is not None and not rule.prefix.endswith("/0"):
        parts.append(f"{peer} {rule.prefix}")
    if rule.protocol in _PORTS and rule.first is not None and rule.last is not None:
        ports = str(rule.first) if rule.first == rule.last else f"{rule.first}-{rule.last}"
        parts.append(f"{_PORTS[rule.protocol]} dport {ports}")
    elif rule.protocol is not None and rule.first is not None:
        # The other family's, which nft has no words for, by its number.
        name = _ICMP.get((rule.ethertype, rule.protocol))
        kind, code = (f"{name} type", f"{name} code") if name else (f"meta l4proto {rule.protocol} @th,0,8", "@th,8,8")
        parts.append(f"{kind} {rule.first}" + (f" {code} {rule.last}" if rule.last is not None else ""))
    elif rule.protocol is not None:
        parts.append(f"meta l4proto {rule.protocol}")
    return " ".join(parts)


def _rules(port: SecuredPort, known: Mapping[str, tuple[Rule, ...]]) -> list[Rule]:
    return [rule for group in port.groups for rule in known.get(group, ())]


def _sources(nic: Nic, port: SecuredPort) -> dict[str, list[_Network]]:
    """What the guest may send from, by MAC: also the address that each MAC gives itself in IPv6."""
    given = [(nic.mac_address, address.ip_address) for address in nic.addresses]
    given += [(pair.mac_address, pair.prefix) for pair in port.pairs]
    found: dict[str, list[_Network]] = {nic.mac_address: []}
    for mac, text in given:
        found.setdefault(mac, []).append(ipaddress.ip_network(text, strict=False))
    return {mac: [*networks, ipaddress.ip_network(link_local(mac))] for mac, networks in sorted(found.items())}


def link_local(mac: str) -> str:
    """The link-local address of a MAC (RFC 4291, modified EUI-64)."""
    parts = bytes.fromhex(mac.replace(":", ""))
    interface = bytes([parts[0] ^ 2]) + parts[1:3] + b"\xff\xfe" + parts[3:]
    return str(ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + interface))


def _collapsed(networks: Iterable[_Network]) -> list[_Network]:
    """Without what another one holds: nft takes no element of a set twice."""
    ordered = sorted(networks, key=lambda it: (it.version, int(it.network_address), it.prefixlen))
    kept: list[_Network] = []
    for network in ordered:
        last = kept[-1] if kept else None
        if last is None or network.version != last.version or network.network_address > last.broadcast_address:  # type: ignore[operator]
            kept.append(network)
    return kept


def _text(network: _Network) -> str:
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def _numbers(network: _Network) -> str:
    """The number, or the range of numbers, that a raw payload is compared with."""
    first, last = int(network.network_address), int(network.broadcast_address)
    return f"{first:#x}" if first == last else f"{first:#x}-{last:#x}"


def _pairs(sources: Mapping[str, Iterable[_Network]]) -> str:
    elements = (f"{mac} . {_text(it)}" for mac, networks in sources.items() for it in _collapsed(networks))
    return "{ " + ", ".join(elements) + " }"


def _sets(groups: Iterable[str], members: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, SetOfAddresses]]:
    for group in groups:
        networks = [ipaddress.ip_network(text, strict=False) for text in members.get(group, ())]
        for family, version, kind in (("ip", 4, "ipv4_addr"), ("ip6", 6, "ipv6_addr")):
            found = _collapsed(it for it in networks if it.version == version)
            yield _set(group, family), SetOfAddresses(type=kind, elements=tuple(_text(it) for it in found))


def _set(group: str, family: str) -> str:
    return f"{family}-{names.check_id(group)}"


def _out(nic: Nic) -> str:
    return f"out-{names.check_id(nic.port_id)}"


def _in(nic: Nic) -> str:
    return f"in-{names.check_id(nic.port_id)}"
