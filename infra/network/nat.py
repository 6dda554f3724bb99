"""What a router translates, as pure text for nft: floating IPs both ways, and the rest under the gateway's address."""

import ipaddress

from infra.domain.host_router import HostRouter

Ends = tuple[str, str]

_FROM_OUTSIDE = 1
"""Mark of packets that came by the external network: a floating IP's guest sees who they are from."""


def ruleset(router: HostRouter, outside_device: str) -> str:
    """One transaction that replaces what there was."""
    table = "table ip router"
    parts = [f"add {table}", f"delete {table}"]
    outside = router.outside
    if outside is not None and outside.nic.addresses:
        pairs = [(_ip(pair.outside), _ip(pair.inside)) for pair in router.floating]
        own = _ip(outside.nic.addresses[0].partition("/")[0])
        parts.append("\n".join([f"{table} {{", *_chains(pairs, own, outside_device, snat=router.enable_snat), "}"]))
    return "\n".join(parts) + "\n"


def holds(router: HostRouter, original: Ends, reply: Ends) -> bool:
    """Whether a connection, by source and destination of both its directions, is translated as it would be now."""
    inward = {pair.outside: pair.inside for pair in router.floating}
    outward = {pair.inside: pair.outside for pair in router.floating}
    led, hidden = reply[0] != original[1], reply[1] != original[0]
    if led and inward.get(original[1]) != reply[0]:
        return False
    own = {address.partition("/")[0] for address in router.outside.nic.addresses[:1]} if router.outside else set()
    return not hidden or outward.get(original[0]) == reply[1] or (reply[1] in own and (led or router.enable_snat))


def _chains(pairs: list[tuple[str, str]], own: str, device: str, *, snat: bool) -> list[str]:
    chains = [
        "  chain came {",
        "    type filter hook prerouting priority mangle",
        f'    iifname "{device}" meta mark set {_FROM_OUTSIDE}',
        "  }",
    ]
    leaving = []
    if pairs:
        inward = ", ".join(f"{outside} : {inside}" for outside, inside in pairs)
        outward = ", ".join(f"{inside} : {outside}" for outside, inside in pairs)
        chains += [
            "  chain inward {",
            "    type nat hook prerouting priority dstnat",
            f"    dnat to ip daddr map {{ {inward} }}",
            "  }",
        ]
        leaving += [
            f'    oifname "{device}" snat to ip saddr map {{ {outward} }}',
            # A guest that calls a neighbour by its floating IP: the answer has to come back this way.
            f"    meta mark != {_FROM_OUTSIDE} ct status dnat snat to {own}",
        ]
    if snat:
        leaving.append(f'    oifname "{device}" snat to {own}')
    if leaving:
        chains += ["  chain outward {", "    type nat hook postrouting priority srcnat", *leaving, "  }"]
    return chains


def _ip(text: str) -> str:
    return str(ipaddress.IPv4Address(text))
