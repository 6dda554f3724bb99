"""The identity service: Keystone's Identity API v3 over Keycloak. Source: the Identity API v3 reference."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from api import faults
from api.auth import ContextDep
from api.deps import Services, ServicesDep, sub_application
from api.identity import assignments, projects, tokens, users, views
from api.identity.catalog import endpoints, services
from api.identity.policy import SeesAllDep
from infra.domain.errors import NotFound
from infra.domain.identity import DOMAIN_ID, DOMAIN_NAME

_FILTERS = ("type", "name", "service_id", "interface", "region_id")


def build(services: Services) -> FastAPI:
    app = sub_application("Kilonova identity service", services)
    faults.install(app, faults.identity_style)
    _discovery(app)
    tokens.add_to(app)
    projects.add_to(app)
    users.add_to(app)
    assignments.add_to(app)
    _domains(app)
    _catalog(app)
    return app


def _discovery(app: FastAPI) -> None:
    @app.get("/")
    async def versions(services: ServicesDep) -> JSONResponse:
        return JSONResponse({"versions": {"values": [views.version(services.settings)]}}, 300)

    @app.get("/v3")
    async def version(services: ServicesDep) -> dict[str, Any]:
        return {"version": views.version(services.settings)}


def _domains(app: FastAPI) -> None:
    @app.get("/v3/domains")
    async def list_domains(context: ContextDep, services: ServicesDep, name: str = DOMAIN_NAME) -> dict[str, Any]:
        found = [views.domain(services.settings)] if name == DOMAIN_NAME else []
        return views.collection(services.settings, "domains", "/domains", found)

    @app.get("/v3/domains/{domain_id}")
    async def show_domain(domain_id: str, context: ContextDep, services: ServicesDep) -> dict[str, Any]:
        if domain_id != DOMAIN_ID:
            raise NotFound(f"Could not find domain: {domain_id[:64]}.")
        return {"domain": views.domain(services.settings)}


def _catalog(app: FastAPI) -> None:
    @app.get("/v3/services")
    async def list_services(context: SeesAllDep, deps: ServicesDep, request: Request) -> dict[str, Any]:
        found = _matching(services(deps.settings), request.query_params)
        return views.collection(deps.settings, "services", "/services", found)

    @app.get("/v3/services/{service_id}")
    async def show_service(service_id: str, context: SeesAllDep, deps: ServicesDep) -> dict[str, Any]:
        return {"service": _one(services(deps.settings), service_id, "service")}

    @app.get("/v3/endpoints")
    async def list_endpoints(context: SeesAllDep, deps: ServicesDep, request: Request) -> dict[str, Any]:
        found = _matching(endpoints(deps.settings), request.query_params)
        return views.collection(deps.settings, "endpoints", "/endpoints", found)

    @app.get("/v3/endpoints/{endpoint_id}")
    async def show_endpoint(endpoint_id: str, context: SeesAllDep, deps: ServicesDep) -> dict[str, Any]:
        return {"endpoint": _one(endpoints(deps.settings), endpoint_id, "endpoint")}

    @app.get("/v3/regions")
    async def list_regions(context: ContextDep, deps: ServicesDep) -> dict[str, Any]:
        return views.collection(deps.settings, "regions", "/regions", [views.region(deps.settings)])

    @app.get("/v3/regions/{region_id}")
    async def show_region(region_id: str, context: ContextDep, deps: ServicesDep) -> dict[str, Any]:
        return {"region": _one([views.region(deps.settings)], region_id, "region")}


def _matching(items: list[dict[str, Any]], query: Mapping[str, str]) -> list[dict[str, Any]]:
    wanted = {name: query[name] for name in _FILTERS if name in query}
    return [item for item in items if all(item.get(name) == value for name, value in wanted.items())]


def _one(items: list[dict[str, Any]], item_id: str, what: str) -> dict[str, Any]:
    for item in items:
        if item["id"] == item_id:
            return item
    raise NotFound(f"Could not find {what}: {item_id[:64]}.")
