"""The Network Service: Networking API v2.0 below ``/network``."""

from fastapi import Depends, FastAPI

from api import faults
from api.deps import Services, sub_application
from api.network import (
    agents,
    extensions,
    floating_ips,
    networks,
    ports,
    quotas,
    routers,
    security_groups,
    subnets,
    tags,
)
from api.network.context import no_nul


def build(services: Services) -> FastAPI:
    app = sub_application("Network Service", services)
    faults.install(app, faults.network_style)
    for router in (
        extensions.router,
        networks.router,
        subnets.router,
        ports.router,
        security_groups.router,
        security_groups.rules_router,
        routers.router,
        floating_ips.router,
        quotas.router,
        agents.router,
        tags.router,
    ):
        app.include_router(router, dependencies=[Depends(no_nul)])
    return app
