"""``/servers/{id}/os-instance-actions``: what was asked of a server, and how it went (Compute API reference)."""

from typing import Any

from fastapi import APIRouter, Request

from api.auth import Context, ReaderDep
from api.compute.common import readable_server
from api.compute.links import micros, next_page
from api.compute.microversion import Version
from api.compute.paging import page
from api.compute.server_filter import moment
from api.deps import Services, ServicesDep
from infra.db import server_details, servers
from infra.db.server_details import Action
from infra.domain.errors import BadRequest, NotFound
from infra.domain.server import Server

router = APIRouter()
_PAGES = 58
_EVENTS = {action: f"compute_{action}" for action in ("attach_interface", "detach_interface")}
"""Clients wait for these by their names."""


async def _server(server_id: str, context: Context, found: Services, version: int) -> Server:
    """From 2.21 on the actions of deleted servers are shown too."""
    if version < 21:
        return await readable_server(server_id, context, found)
    server = await found.db.read(servers.find, server_id)
    if server is None or not context.sees(server.project_id):
        raise NotFound(f"Instance {server_id} could not be found.")
    return server


@router.get("/servers/{server_id}/os-instance-actions")
async def list_all(
    server_id: str, request: Request, context: ReaderDep, found: ServicesDep, version: Version
) -> dict[str, Any]:
    server = await _server(server_id, context, found, version)
    actions = await found.db.read(server_details.actions, server.id)
    query = request.query_params
    if version >= _PAGES:
        if "changes-since" in query:
            since = moment(query["changes-since"], "changes-since")
            actions = [a for a in actions if (a.finished_at or a.started_at) >= since]
        if "changes-before" in query and version >= 66:
            before = moment(query["changes-before"], "changes-before")
            actions = [a for a in actions if (a.finished_at or a.started_at) <= before]
        asked = page(query)
        if asked.marker is not None:
            ids = [action.request_id for action in actions]
            if asked.marker not in ids:
                raise BadRequest(f"Marker {asked.marker} could not be found.")
            actions = actions[ids.index(asked.marker) + 1 :]
        more = len(actions) > asked.limit
        actions = actions[: asked.limit]
        if more and actions:
            path = f"servers/{server.id}/os-instance-actions"
            links = next_page(found.settings.api_url, path, query, actions[-1].request_id)
            return {"instanceActions": [_shown(a, version) for a in actions], "links": links}
    return {"instanceActions": [_shown(action, version) for action in actions]}


@router.get("/servers/{server_id}/os-instance-actions/{request_id}")
async def show(
    server_id: str, request_id: str, context: ReaderDep, found: ServicesDep, version: Version
) -> dict[str, Any]:
    server = await _server(server_id, context, found, version)
    action = await found.db.read(server_details.action, server.id, request_id)
    shown = _shown(action, version)
    if version >= 51 or context.is_admin:
        shown["events"] = [_event(action, version, context)]
    return {"instanceAction": shown}


def _shown(action: Action, version: int) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "action": action.action,
        "instance_uuid": action.server_id,
        "request_id": action.request_id,
        "user_id": action.user_id,
        "project_id": action.project_id,
        "start_time": micros(action.started_at),
        "message": "Error" if action.message else None,
    }
    if version >= _PAGES:
        shown["updated_at"] = micros(action.finished_at or action.started_at)
    return shown


def _event(action: Action, version: int, context: Context) -> dict[str, Any]:
    """An action is one run, so it shows one event; its steps are in the workflow's history."""
    shown: dict[str, Any] = {
        "event": _EVENTS.get(action.action, f"compute__do_{action.action}"),
        "start_time": micros(action.started_at),
        "finish_time": micros(action.finished_at),
        "result": None if action.finished_at is None else "Error" if action.message else "Success",
    }
    if context.is_admin:
        shown["traceback"] = None
    if version >= 62:
        shown["hostId"] = ""
    if version >= 84:
        shown["details"] = action.message
    return shown
