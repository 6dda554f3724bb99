"""Names of everything a host makes for its networks: at most 15 bytes where the kernel asks for it.

A device's name is the host's prefix, one letter for its kind and the first hexadecimal digits of the id of the
network or port it belongs to. A namespace carries the network's whole id.
"""

import re

_MAX = 15
"""IFNAMSIZ of Linux less the closing zero."""

DHCP_DEVICE = "dhcp"
"""The device inside a network's namespace on which DHCP and metadata answer."""

METADATA_IP = "169.254.169.254"

_ROUTER = "router-"
_PREFIX = re.compile(r"[a-z][a-z0-9]{0,2}", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{7,63}", re.ASCII)


def check_prefix(prefix: str) -> str:
    """The prefix itself.

    Raises:
        ValueError: it is not one to three lower-case letters and digits, beginning with a letter.
    """
    if not _PREFIX.fullmatch(prefix):
        raise ValueError("the interface prefix must be 1 to 3 lower-case letters or digits, a letter first")
    return prefix


def check_id(value: str) -> str:
    """The id itself, fit for a file name.

    Raises:
        ValueError: it has another form than that of ids.
    """
    if not _ID.fullmatch(value):
        raise ValueError("not an id: 8 to 64 letters, digits and hyphens are expected")
    return value


def _device(prefix: str, kind: str, owner_id: str) -> str:
    return (prefix + kind + check_id(owner_id).replace("-", "").lower())[:_MAX]


def bridge(prefix: str, network_id: str) -> str:
    return _device(prefix, "b", network_id)


def tunnel(prefix: str, network_id: str) -> str:
    """The VXLAN device of a network."""
    return _device(prefix, "x", network_id)


def veth(prefix: str, network_id: str) -> str:
    """The bridge's end of the pair that leads into the network's namespace."""
    return _device(prefix, "v", network_id)


def router_veth(prefix: str, port_id: str) -> str:
    """The bridge's end of the pair that leads into a router."""
    return _device(prefix, "r", port_id)


def router_device(port_id: str) -> str:
    """The other end, in the router's namespace."""
    return _device("", "r", port_id)


def router_namespace(prefix: str, router_id: str) -> str:
    return f"{prefix}-{_ROUTER}{check_id(router_id)}"


def router_of(prefix: str, namespace: str) -> str | None:
    """The router whose namespace this is; None where it is none's."""
    start = f"{prefix}-{_ROUTER}"
    return namespace.removeprefix(start) if namespace.startswith(start) else None


def tap(prefix: str, port_id: str) -> str:
    return _device(prefix, "t", port_id)


def namespace(prefix: str, network_id: str) -> str:
    """The namespace (under ``/run/netns``) in which a network's DHCP and metadata answer on this host."""
    return f"{prefix}-{check_id(network_id)}"


def hostname(name: str, fallback: str) -> str:
    """A server's name as one DNS label (RFC 1123): lower-case letters, digits and hyphens, at most 63.

    Args:
        name: any characters.
        fallback: the label where nothing of ``name`` is left.
    """
    label = re.sub(r"[^a-z0-9-]+", "-", name.lower(), flags=re.ASCII).strip("-")[:63].strip("-")
    return label or fallback
