"""The Placement API below ``/placement``: what hosts have and what servers hold of them.

How much there is comes from the hosts and allocations from the scheduler's claims: what is written here is on which
terms it is given out.
"""

from typing import Any

from fastapi import Depends, FastAPI

from api import faults
from api.auth import role
from api.deps import Services, sub_application
from api.placement import allocations, inventories, microversion, names, providers, query


def build(services: Services) -> FastAPI:
    app = sub_application("Placement Service", services)
    faults.install(app, faults.placement_style)
    microversion.install(app)

    @app.get("/", dependencies=[Depends(microversion.requested)])
    async def versions() -> dict[str, Any]:
        links = [{"rel": "self", "href": ""}]
        return {"versions": [{"id": "v1.0", "status": "CURRENT", "links": links, **microversion.versions()}]}

    for router in (providers.router, inventories.router, names.router):
        app.include_router(router, dependencies=[Depends(query.printable), role("admin")])
    app.include_router(allocations.router, dependencies=[Depends(query.printable)])
    return app
