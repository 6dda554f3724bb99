"""Telling a network's neighbours that an address is here now: gratuitous ARP (RFC 826, RFC 5227 section 2.3)."""

import ipaddress
import socket
import struct
from collections.abc import Iterable

_ETHERTYPE = 0x0806
_EVERYBODY = b"\xff" * 6
_REQUEST = 1


def announce(device: str, mac_address: str, addresses: Iterable[str]) -> None:
    """Runs in the namespace of the device, which must be up."""
    mac = bytes.fromhex(mac_address.replace(":", ""))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind((device, 0))
        for address in addresses:
            own = ipaddress.IPv4Address(address).packed
            header = struct.pack("!HHBBH", 1, 0x0800, 6, 4, _REQUEST)
            frame = _EVERYBODY + mac + struct.pack("!H", _ETHERTYPE) + header + mac + own + bytes(6) + own
            out.send(frame)
