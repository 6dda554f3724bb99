"""The DHCP server's leases file: read to know what it believes, never needed to serve.

A line is ``<expiry> <MAC or IAID> <address> <name> <client id>``. Every address is in the hosts file too, so
the leases can be thrown away: the server is authoritative and takes over clients it does not remember.
"""

import ipaddress
from collections.abc import Iterable
from pathlib import Path


def forget(directory: Path) -> None:
    (directory / "leases").unlink(missing_ok=True)


def hinder(directory: Path, new_hosts: Iterable[str]) -> bool:
    """Whether the server thinks that an address of these new lines of its hosts file is in another's use."""
    held = dict(_held(directory))
    for line in new_hosts:
        mac, *addresses, _, _ = line.split(",")
        if any(address.strip("[]") in held and held[address.strip("[]")] != mac for address in addresses):
            return True
    return False


def _held(directory: Path) -> Iterable[tuple[str, str]]:
    try:
        lines = (directory / "leases").read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        words = line.split()
        if len(words) >= 3:
            try:
                yield str(ipaddress.ip_address(words[2])), words[1]
            except ValueError:
                continue
