"""What the handlers of every resource need: limits from the settings, and requests without stray bytes."""

from fastapi import Request

from api.deps import Services
from infra.domain.errors import BadRequest
from infra.domain.network import NetworkQuota


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
