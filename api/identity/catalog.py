"""The service catalog: which services there are and where. It follows from the settings alone."""

import uuid
from typing import Any

from infra.settings import Settings

INTERFACES = ("public", "internal", "admin")
_SPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")
# Networking's clients add the version themselves. Block storage has two types: older clients look for the second.
_SERVICES = (
    ("identity", "keystone", "/identity"),
    ("compute", "nova", "/compute/v2.1"),
    ("image", "glance", "/image"),
    ("network", "neutron", "/network"),
    ("block-storage", "cinder", "/volume/v3"),
    ("volumev3", "cinderv3", "/volume/v3"),
    ("placement", "placement", "/placement"),
)


def _id(name: str) -> str:
    return uuid.uuid5(_SPACE, f"catalog:{name}").hex


def services(settings: Settings) -> list[dict[str, Any]]:
    root = f"{settings.api_url}/identity/v3/services"
    return [
        {
            "id": _id(kind),
            "type": kind,
            "name": name,
            "description": "",
            "enabled": True,
            "links": {"self": f"{root}/{_id(kind)}"},
        }
        for kind, name, _ in _SERVICES
    ]


def endpoints(settings: Settings) -> list[dict[str, Any]]:
    region, root = settings.api.region, f"{settings.api_url}/identity/v3/endpoints"
    return [
        {
            "id": _id(f"{kind}/{interface}"),
            "links": {"self": f"{root}/{_id(f'{kind}/{interface}')}"},
            "service_id": _id(kind),
            "interface": interface,
            "region": region,
            "region_id": region,
            "url": settings.api_url + path,
            "enabled": True,
        }
        for kind, _, path in _SERVICES
        for interface in INTERFACES
    ]


def catalog(settings: Settings) -> list[dict[str, Any]]:
    """As it stands in a token."""
    keys = ("id", "interface", "region", "region_id", "url")
    everything = endpoints(settings)
    return [
        {
            **{key: service[key] for key in ("id", "type", "name")},
            "endpoints": [
                {key: endpoint[key] for key in keys}
                for endpoint in everything
                if endpoint["service_id"] == service["id"]
            ],
        }
        for service in services(settings)
    ]
