"""What the tests' projects still have after a run. A test that cleans up and finds this left has found a leak."""

import time

from infra.deploy.rest import Cloud

_SECONDS = 60
_EVERY = {"all_tenants": "1"}
# Name, path, key of the list, key of the project's id; how to ask for every project's, where that has to be asked.
_LISTS: tuple[tuple[str, str, str, str, dict[str, str]], ...] = (
    ("server", "/compute/v2.1/servers/detail", "servers", "tenant_id", _EVERY),
    ("volume", "/volume/v3/volumes/detail", "volumes", "os-vol-tenant-attr:tenant_id", _EVERY),
    ("snapshot", "/volume/v3/snapshots/detail", "snapshots", "os-extended-snapshot-attributes:project_id", _EVERY),
    ("floating IP", "/network/v2.0/floatingips", "floatingips", "project_id", {}),
    ("router", "/network/v2.0/routers", "routers", "project_id", {}),
    ("port", "/network/v2.0/ports", "ports", "project_id", {}),
    ("subnet", "/network/v2.0/subnets", "subnets", "project_id", {}),
    ("network", "/network/v2.0/networks", "networks", "project_id", {}),
    ("security group", "/network/v2.0/security-groups", "security_groups", "project_id", {}),
    ("image", "/image/v2/images", "images", "owner", {}),
)
# Every project has one from its first look on.
_DEFAULT_GROUP = ("security group", "default")


def wait(admin: Cloud, projects: dict[str, str]) -> list[str]:
    """What is left once a minute has passed or nothing is: deletes may still be under way when the last test ends."""
    deadline = time.monotonic() + _SECONDS
    while (left := _find(admin, projects)) and time.monotonic() < deadline:
        time.sleep(1)
    return left


def _find(admin: Cloud, projects: dict[str, str]) -> list[str]:
    names = {project_id: name for name, project_id in projects.items()}
    found = []
    for kind, path, key, owner, parameters in _LISTS:
        for item in admin.get(path, **parameters)[key]:
            if item.get(owner) in names and (kind, item["name"]) != _DEFAULT_GROUP:
                found.append(f"{kind} {item['id']} ({item['name']}) of {names[item[owner]]}")
    return found
