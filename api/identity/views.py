"""Bodies of the Identity API v3, as its reference describes them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from api.identity.catalog import catalog
from infra.domain.identity import DOMAIN_ID, DOMAIN_NAME, ROLES, Identity, Project, User
from infra.settings import Settings

DOMAIN = {"id": DOMAIN_ID, "name": DOMAIN_NAME}
_UPDATED = "2020-04-07T00:00:00Z"


def moment(value: datetime) -> str:
    """Keystone's only form of a time; clients parse it literally. ``value`` is in UTC."""
    return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def root(settings: Settings) -> str:
    return f"{settings.api_url}/identity/v3"


def version(settings: Settings) -> dict[str, Any]:
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": _UPDATED,
        "links": [{"rel": "self", "href": root(settings) + "/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    }


def token(settings: Settings, identity: Identity, *, with_catalog: bool = True) -> dict[str, Any]:
    body: dict[str, Any] = {
        "methods": list(identity.methods),
        "user": {"id": identity.user_id, "name": identity.user_name, "domain": DOMAIN, "password_expires_at": None},
        "audit_ids": [identity.token_id.rpartition(":")[2]],
        "issued_at": moment(identity.issued_at),
        "expires_at": moment(identity.expires_at),
    }
    if identity.project_id is not None:
        body["project"] = {"id": identity.project_id, "name": identity.project_name, "domain": DOMAIN}
        body["is_domain"] = False
    elif identity.system:
        body["system"] = {"all": True}
    else:
        return {"token": body}
    body["roles"] = [{"id": name, "name": name} for name in ROLES if name in identity.roles]
    if with_catalog:
        body["catalog"] = catalog(settings)
    return {"token": body}


def collection(settings: Settings, name: str, path: str, items: Iterable[Any]) -> dict[str, Any]:
    return {name: list(items), "links": {"self": root(settings) + path, "next": None, "previous": None}}


def _linked(settings: Settings, path: str) -> dict[str, Any]:
    return {"links": {"self": root(settings) + path}}


def project(settings: Settings, found: Project) -> dict[str, Any]:
    return {
        "id": found.id,
        "name": found.name,
        "description": found.description,
        "enabled": found.enabled,
        "domain_id": DOMAIN_ID,
        "parent_id": DOMAIN_ID,
        "is_domain": False,
        "tags": list(found.tags),
        "options": {},
        **_linked(settings, f"/projects/{found.id}"),
    }


def user(settings: Settings, found: User) -> dict[str, Any]:
    body = {
        "id": found.id,
        "name": found.name,
        "enabled": found.enabled,
        "domain_id": DOMAIN_ID,
        "password_expires_at": None,
        "options": {},
        **_linked(settings, f"/users/{found.id}"),
    }
    optional = {"email": found.email, "description": found.description}
    return body | {name: value for name, value in optional.items() if value}


def role(settings: Settings, name: str) -> dict[str, Any]:
    """The id of a role is its name: the roles are fixed."""
    return {
        "id": name,
        "name": name,
        "domain_id": None,
        "description": None,
        "options": {},
        **_linked(settings, f"/roles/{name}"),
    }


def domain(settings: Settings) -> dict[str, Any]:
    return {
        **DOMAIN,
        "description": "The default domain",
        "enabled": True,
        "tags": [],
        "options": {},
        **_linked(settings, f"/domains/{DOMAIN_ID}"),
    }


def region(settings: Settings) -> dict[str, Any]:
    name = settings.api.region
    return {"id": name, "description": "", "parent_region_id": None, **_linked(settings, f"/regions/{name}")}
