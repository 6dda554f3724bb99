"""IPv4 addresses of devices."""

import ipaddress
import socket
from collections.abc import Iterable

from pyroute2 import IPRoute

from infra.domain.errors import HostRejected


def conform(ip: IPRoute, device: int, addresses: Iterable[str]) -> list[str]:
    """Make exactly these (``10.0.0.1/24``) the addresses of a device; returns those that are new, bare.

    Raises:
        HostRejected: the network of one is on another device already.
    """
    wanted = {ipaddress.IPv4Interface(address) for address in addresses}
    there: set[ipaddress.IPv4Interface] = set()
    elsewhere: set[ipaddress.IPv4Interface] = set()
    for address in ip.get_addr(family=socket.AF_INET):
        found = ipaddress.IPv4Interface(f"{address.get_attr('IFA_ADDRESS')}/{address['prefixlen']}")
        (there if address["index"] == device else elsewhere).add(found)
    for new in wanted - there:
        if any(new.network.overlaps(other.network) for other in elsewhere):
            raise HostRejected(f"The network {new.network} is on another device of this host already.")
    for old in sorted(there - wanted):
        ip.addr("del", index=device, address=str(old.ip), prefixlen=old.network.prefixlen)
    for new in sorted(wanted - there):
        ip.addr("add", index=device, address=str(new.ip), prefixlen=new.network.prefixlen)
    return [str(new.ip) for new in sorted(wanted - there)]
