"""The packet filter of the host by ``nft``: tables are replaced whole, in one transaction each."""

import logging
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from infra.domain.errors import HostRejected

_log = logging.getLogger(__name__)
_NFT = shutil.which("nft") or "/usr/sbin/nft"
_SECONDS = 20
_TABLE = re.compile(r"table (?:inet|bridge) (\S+)")
_BRIDGED = Path("/proc/sys/net/bridge")


def load(rules: str) -> None:
    """Carry out what ``rules`` say, all of it or nothing; without any there is nothing to ask.

    Raises:
        HostRejected: the kernel or nft refuses it; soft where it took too long.
    """
    if rules:
        ask("-f", "-", given=rules)


def ask(*arguments: str, given: str | None = None) -> str:
    """What ``nft`` prints. Raises as ``load`` does."""
    try:
        done = subprocess.run([_NFT, *arguments], input=given, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise HostRejected("The packet filter of this host does not answer.", soft=True) from error
    if done.returncode != 0:
        _log.error("nft refused:\n%s\n%s", done.stderr.strip(), given or "")
        raise HostRejected(f"The packet filter of this host refused its rules: {_first(done.stderr)}")
    return done.stdout


def tables() -> set[str]:
    """Names of the tables of bridges and their connections, everybody's."""
    return set(_TABLE.findall(ask("list", "tables")))


def remove(names: Iterable[str]) -> None:
    """Delete these tables; "not there" is success."""
    lines = [f"{verb} {family} {name}" for name in names for family in ("inet", "bridge") for verb in _DELETED]
    load("".join(f"{line}\n" for line in lines))


_DELETED = ("table", "delete table")
"""One that is not there can't be deleted."""


def let_connections_be_tracked() -> None:
    """Have the kernel's bridges know connections, where that is a module.

    Raises:
        HostRejected: it has none.
    """
    if _BRIDGED.exists():
        return
    done = subprocess.run(["modprobe", "br_netfilter"], capture_output=True, timeout=_SECONDS)
    if done.returncode != 0:
        raise HostRejected("This host's kernel has no br_netfilter: security groups can't be enforced.")


def _first(text: str) -> str:
    return text.strip().partition("\n")[0][:200]
