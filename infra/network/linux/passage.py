"""Other programs' filters of what the host forwards (Docker's, a firewall's) see our bridges' frames, since connections
are only known where those pass. A rule before all of theirs lets through what only crosses a bridge of ours: it is
judged there."""

import json
from collections.abc import Iterator
from typing import Any

from infra.network.linux import nft


def keep_open(prefix: str) -> None:
    """Put the rule into every chain that lacks it.

    Raises:
        HostRejected: nft refuses it, as where such a chain goes at that moment.
    """
    bridges = f'"{prefix}b*"'
    lines = [
        f"insert rule {chain} iifname {bridges} oifname {bridges} accept comment {_mark(prefix)}"
        for chain in _foreign()
        if not list(_ours(chain, prefix))
    ]
    nft.load("".join(f"{line}\n" for line in lines))


def close(prefix: str) -> None:
    """Take the rule out again; "not there" is success. Raises as ``keep_open`` does."""
    lines = [f"delete rule {chain} handle {handle}" for chain in _foreign() for handle in _ours(chain, prefix)]
    nft.load("".join(f"{line}\n" for line in lines))


def _foreign() -> list[str]:
    """Chains through which all goes that the host forwards, as nft names them."""
    chains = (entry.get("chain", {}) for entry in _objects("list", "chains"))
    return [
        f"{chain['family']} {chain['table']} {chain['name']}"
        for chain in chains
        if chain.get("hook") == "forward" and chain["family"] in ("ip", "ip6", "inet")
    ]


def _ours(chain: str, prefix: str) -> Iterator[int]:
    for entry in _objects("list", "chain", *chain.split()):
        rule = entry.get("rule", {})
        if f'"{rule.get("comment")}"' == _mark(prefix):
            yield rule["handle"]


def _objects(*command: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(nft.ask("-j", *command))["nftables"]
    return found


def _mark(prefix: str) -> str:
    return f'"bridges of {prefix}"'
