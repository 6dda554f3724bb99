"""What a host's networking should be, as the Network Service says it: who may send what to whom.

Read by the host whenever something of it changed; ``change`` tells an earlier answer from a later one.
"""

from pydantic import BaseModel, ConfigDict

from infra.domain.host_router import HostRouter


class AddressPair(BaseModel):
    """A source that a port may send from beside its own."""

    model_config = ConfigDict(frozen=True)

    mac_address: str
    prefix: str
    """An address or a CIDR."""


class SecuredPort(BaseModel):
    """A port with the groups whose rules it keeps. Its own addresses are those it was plugged with."""

    model_config = ConfigDict(frozen=True)

    id: str
    secured: bool = True
    """False: nothing of it is filtered (``port_security_enabled``)."""
    stateful: bool = True
    """Replies pass without a rule of their own."""
    groups: tuple[str, ...] = ()
    pairs: tuple[AddressPair, ...] = ()


class Rule(BaseModel):
    """What a rule lets through; None is any."""

    model_config = ConfigDict(frozen=True)

    direction: str
    """``ingress`` or ``egress``."""
    ethertype: str
    """``IPv4`` or ``IPv6``."""
    protocol: int | None = None
    first: int | None = None
    """Lowest port, or the ICMP type."""
    last: int | None = None
    """Highest port, or the ICMP code."""
    prefix: str | None = None
    group: str | None = None
    """The other side is a member of this group."""


class HostNetwork(BaseModel):
    """Ports of a host, the rules of their groups, and the addresses of the groups that these rules name.

    ``change`` counts the changes that concern the host: what is read later is at least as new as it says.
    """

    model_config = ConfigDict(frozen=True)

    change: int = 0
    ports: tuple[SecuredPort, ...] = ()
    rules: dict[str, tuple[Rule, ...]] = {}
    members: dict[str, tuple[str, ...]] = {}
    """Addresses and CIDRs."""
    routers: tuple[HostRouter, ...] = ()
    public: dict[str, str] = {}
    """Floating IPs, by the port of this host that they lead to: what guests read of themselves."""
