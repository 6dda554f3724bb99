"""What a security group rule may say. Pure; the rules are the Networking API v2.0 reference's (security-group-rules).

Protocol numbers and names: IANA's registry, as far as the API knows names for them.
"""

import ipaddress

from infra.domain.errors import BadRequest
from infra.domain.network import SecurityGroupRule

PROTOCOLS = {
    "ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "hopopt": 0, "icmp": 1, "icmpv6": 58, "igmp": 2, "ip": 0,
    "ipip": 4, "ipv6-encap": 41, "ipv6-frag": 44, "ipv6-icmp": 58, "ipv6-nonxt": 59, "ipv6-opts": 60,
    "ipv6-route": 43, "ospf": 89, "pgm": 113, "rsvp": 46, "sctp": 132, "tcp": 6, "udp": 17, "udplite": 136, "vrrp": 112,
}  # fmt: skip
_WITH_PORTS = {6, 17, 33, 132, 136}
_ICMP = {1, 58}
_IPV6_ONLY = {"icmpv6", "ipv6-encap", "ipv6-frag", "ipv6-icmp", "ipv6-nonxt", "ipv6-opts", "ipv6-route"}


def protocol_of(text: str | None) -> str | None:
    """A protocol as it is kept: a known name in lower case, a number without leading zeros, None for any.

    Raises:
        BadRequest: neither a known name nor 0 to 255.
    """
    if text is None or text.lower() == "any":
        return None
    name = text.lower()
    if name in PROTOCOLS:
        return name
    if name.isascii() and name.isdigit() and len(name) < 4 and int(name) < 256:
        return str(int(name))
    known = ", ".join(sorted(PROTOCOLS))
    raise BadRequest(
        f"Security group rule protocol {text} not supported. Only protocol values {known} and integer "
        f"representations [0 to 255] are supported.",
        kind="SecurityGroupRuleInvalidProtocol",
    )


def check(rule: SecurityGroupRule) -> None:
    """Raises BadRequest where the parts of a rule contradict one another or are out of range."""
    number = _number(rule.protocol)
    if rule.protocol in _IPV6_ONLY and rule.ethertype != "IPv6":
        raise BadRequest(
            f"Invalid ethertype {rule.ethertype} for protocol {rule.protocol}.",
            kind="SecurityGroupEthertypeConflictWithProtocol",
        )
    if rule.remote_group_id is not None and rule.remote_ip_prefix is not None:
        message = "Only remote_ip_prefix or remote_group_id may be provided."
        raise BadRequest(message, kind="SecurityGroupRemoteGroupAndRemoteIpPrefix")
    if rule.remote_ip_prefix is not None:
        _check_prefix(rule.remote_ip_prefix, rule.ethertype)
    if number in _ICMP:
        _check_icmp(rule)
    elif rule.port_range_min is not None or rule.port_range_max is not None:
        _check_ports(rule, number)


def prefix_of(text: str) -> str:
    """A remote prefix in normal form.

    Raises:
        BadRequest: it is no address and no CIDR.
    """
    try:
        if "%" in text:
            raise ValueError
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        message = f"Invalid input for remote_ip_prefix. Reason: '{text}' is not a valid IP subnet."
        raise BadRequest(message, kind="HTTPBadRequest") from None


def number_of(protocol: str | None, ethertype: str) -> int | None:
    """A protocol's number on the wire; None, and 0 too, is any. ``icmp`` on IPv6 is ICMPv6."""
    number = _number(protocol) or None
    return PROTOCOLS["ipv6-icmp"] if number == PROTOCOLS["icmp"] and ethertype == "IPv6" else number


def same(a: SecurityGroupRule, b: SecurityGroupRule) -> bool:
    """True if two rules of one group let the same through."""
    return _meaning(a) == _meaning(b)


def _meaning(rule: SecurityGroupRule) -> tuple[object, ...]:
    whole = rule.remote_ip_prefix in ("0.0.0.0/0", "::/0")
    return (
        rule.direction,
        rule.ethertype,
        _number(rule.protocol),
        rule.port_range_min,
        rule.port_range_max,
        None if whole else rule.remote_ip_prefix,
        rule.remote_group_id,
    )


def _number(protocol: str | None) -> int | None:
    return None if protocol is None else PROTOCOLS.get(protocol, int(protocol) if protocol.isdigit() else None)


def _check_prefix(prefix: str, ethertype: str) -> None:
    version = ipaddress.ip_network(prefix).version
    if f"IPv{version}" != ethertype:
        raise BadRequest(
            f"Conflicting value ethertype {ethertype} for CIDR {prefix}", kind="SecurityGroupRuleParameterConflict"
        )


def _check_icmp(rule: SecurityGroupRule) -> None:
    for field, name, value in (
        ("port_range_min", "type", rule.port_range_min),
        ("port_range_max", "code", rule.port_range_max),
    ):
        if value is not None and not 0 <= value <= 255:
            raise BadRequest(
                f"Invalid value for ICMP {name} ({field}) {value}. It must be 0 to 255.",
                kind="SecurityGroupInvalidIcmpValue",
            )
    if rule.port_range_min is None and rule.port_range_max is not None:
        raise BadRequest(
            f"ICMP code (port-range-max) {rule.port_range_max} is provided but ICMP type (port-range-min) is missing.",
            kind="SecurityGroupMissingIcmpType",
        )


def _check_ports(rule: SecurityGroupRule, number: int | None) -> None:
    if number is None:
        message = "Must also specify protocol if port range is given."
        raise BadRequest(message, kind="SecurityGroupProtocolRequiredWithPorts")
    if number not in _WITH_PORTS:
        message = f"Port range cannot be specified for protocol {rule.protocol}."
        raise BadRequest(message, kind="SecurityGroupInvalidProtocolForPort")
    for value in (rule.port_range_min, rule.port_range_max):
        if value is not None and not 0 <= value <= 65535:
            raise BadRequest(f"Invalid value for port {value}", kind="SecurityGroupInvalidPortValue")
    if rule.port_range_min is None or rule.port_range_max is None or rule.port_range_min > rule.port_range_max:
        message = "For TCP/UDP protocols, port_range_min must be <= port_range_max"
        raise BadRequest(message, kind="SecurityGroupInvalidPortRange")
