"""What the handlers of every resource need: limits from the settings, hosts that hear of changes, and requests without
stray bytes."""

from collections.abc import Callable
from typing import TypeVar

from fastapi import Request
from sqlmodel import Session

from api.auth import Context
from api.deps import Services
from infra.db import network_changes
from infra.domain.errors import BadRequest
from infra.domain.network import NetworkQuota

T = TypeVar("T")
_PAUSE_SECONDS = 0.2
"""Between two words to a host that a user waits for."""
_SERVER_PAUSE_SECONDS = 2.0
"""Where servers come and go: their own hosts know, and what others have to know of a guest it takes longer to need."""


async def changing(
    ctx: Context,
    found: Services,
    work: Callable[[Session], T],
    knowing: Callable[[T], str] = lambda _: "",
    urgent: Callable[[T], bool] = lambda _: True,
) -> T:
    """Carry out a transaction, and have the hosts that it concerns told, without waiting for them.

    Args:
        knowing: the host that learns of the change by the transaction's result.
        urgent: whether it is told at all; otherwise hosts read it with their next report.
    """

    def counted(session: Session) -> tuple[T, frozenset[str]]:
        return work(session), network_changes.marked(session)

    result, hosts = await found.db.write(counted)
    if urgent(result):
        pause = _SERVER_PAUSE_SECONDS if ctx.is_service else _PAUSE_SECONDS
        found.pokes.poke(found.temporal, hosts - {knowing(result)}, pause)
    return result


def quota_of(services: Services) -> NetworkQuota:
    """Limits of a project that has none of its own."""
    settings = services.settings.network
    return NetworkQuota(
        network=settings.quota_networks,
        subnet=settings.quota_subnets,
        port=settings.quota_ports,
        security_group=settings.quota_security_groups,
        security_group_rule=settings.quota_security_group_rules,
        router=settings.quota_routers,
        floatingip=settings.quota_floating_ips,
    )


async def no_nul(request: Request) -> None:
    """PostgreSQL stores no NUL and no half of a surrogate pair; nothing of ours has one in an id or a filter."""
    for text in (request.scope["path"], *(part for pair in request.query_params.multi_items() for part in pair)):
        if "\x00" in text or any("\ud800" <= char <= "\udfff" for char in text):
            raise BadRequest(
                "The request's path or query holds characters that are not allowed.", kind="HTTPBadRequest"
            )
