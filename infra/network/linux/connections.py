"""Connections that the packet filter follows in the calling thread's namespace."""

import asyncio
import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple, NFCTSocket

from infra.network.nat import Ends


def forget(holds: Callable[[Ends, Ends], bool]) -> None:
    """End the connections that do not hold any more: a translation lives as long as its connection otherwise.

    Args:
        holds: asked with source and destination as the first packet had them, and as replies have them.
    """
    gone = []
    with _table() as table:
        for entry in table.dump():
            original = entry.get_attr("CTA_TUPLE_ORIG")
            if not holds(_ends(original), _ends(entry.get_attr("CTA_TUPLE_REPLY"))):
                gone.append(NFCTAttrTuple.from_netlink(socket.AF_INET, original))
    for connection in gone:
        with _table() as table:
            try:
                table.entry("del", tuple_orig=connection)
            except NetlinkError as error:
                if error.code != errno.ENOENT:
                    raise


@contextmanager
def _table() -> Iterator[NFCTSocket]:
    """On an event loop of its own, as ``links.netlink``."""
    loop = asyncio.SelectorEventLoop()
    try:
        with NFCTSocket(use_event_loop=loop) as table:
            yield table
    finally:
        loop.close()


def _ends(side: Any) -> Ends:
    ip = side.get_attr("CTA_TUPLE_IP")
    return str(ip.get_attr("CTA_IP_V4_SRC")), str(ip.get_attr("CTA_IP_V4_DST"))
