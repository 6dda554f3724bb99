"""The smallest DHCPv6 client (RFC 8415): one SOLICIT with rapid commit, and the address in the reply."""

import ipaddress
import socket
import struct

_SOLICIT, _REPLY = 1, 7
_CLIENT_ID, _IA_NA, _IA_ADDRESS, _ELAPSED, _RAPID_COMMIT = 1, 3, 5, 8, 14


def _option(code: int, data: bytes) -> bytes:
    return struct.pack("!HH", code, len(data)) + data


def _options(data: bytes) -> dict[int, bytes]:
    found = {}
    while len(data) >= 4:
        code, length = struct.unpack("!HH", data[:4])
        found[code] = data[4 : 4 + length]
        data = data[4 + length :]
    return found


def solicit(mac: str, *, seconds: float = 10) -> str | None:
    """The address that a server gives on ``eth0`` of the calling thread's namespace; None when none answers."""
    duid = struct.pack("!HH", 3, 1) + bytes.fromhex(mac.replace(":", ""))
    wanted = _option(_IA_NA, struct.pack("!III", 1, 0, 0)) + _option(_ELAPSED, b"\0\0") + _option(_RAPID_COMMIT, b"")
    message = bytes([_SOLICIT]) + b"\1\2\3" + _option(_CLIENT_ID, duid) + wanted
    scope = socket.if_nametoindex("eth0")
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
        client.bind(("::", 546))
        client.settimeout(1)
        for _ in range(int(seconds)):
            client.sendto(message, ("ff02::1:2", 547, 0, scope))
            try:
                data = client.recv(2048)
            except TimeoutError:
                continue
            if data[0] == _REPLY:
                association = _options(_options(data[4:]).get(_IA_NA, b"")[12:])
                if _IA_ADDRESS in association:
                    return str(ipaddress.IPv6Address(association[_IA_ADDRESS][:16]))
    return None
