"""The compute service (Nova, Compute API v2.1 with microversions): its sub-application, a router a resource."""

from fastapi import Depends, FastAPI

from api.compute import (
    aggregates,
    flavor_details,
    flavors,
    hypervisors,
    image_proxy,
    instance_actions,
    interfaces,
    internal,
    keypairs,
    limits,
    metadata,
    migrations,
    network_views,
    odds,
    placement,
    quota_sets,
    server_actions,
    server_groups,
    servers,
    services,
    tags,
    usages,
    versions,
    volume_attachments,
    zones,
)
from api.compute.common import url_project_matches
from api.compute.microversion import Microversions
from api.deps import Services, sub_application
from api.faults import compute_style, install
from api.trailing import NoEmptyId

RESOURCES = (
    servers,
    server_actions,
    metadata,
    tags,
    network_views,
    interfaces,
    volume_attachments,
    instance_actions,
    flavors,
    flavor_details,
    keypairs,
    limits,
    quota_sets,
    zones,
    hypervisors,
    services,
    aggregates,
    server_groups,
    image_proxy,
    placement,
    migrations,
    usages,
    odds,
)


def build(services_found: Services) -> FastAPI:
    app = sub_application("Compute", services_found)
    app.include_router(versions.router)
    app.include_router(internal.router)
    for resource in RESOURCES:
        app.include_router(resource.router, prefix="/v2.1", dependencies=[Depends(url_project_matches)])
    install(app, compute_style)
    app.add_middleware(NoEmptyId, style=compute_style)
    # Outside: it takes the project's id out of the path.
    app.add_middleware(Microversions)
    return app
