"""Limits and quota sets (Block Storage API v3, "Limits", "Quota sets extension")."""

from typing import Any

from fastapi import Body, FastAPI, Request, Response
from sqlmodel import Session

from api.volume.schemas import QuotaChange
from api.volume.wire import AdminCall, Call, ReadCall, check, is_true
from infra.db import storage_quotas, volume_usage
from infra.domain.errors import Forbidden

_UNUSED = ("backups", "backup_gigabytes", "groups")
"""Limits of what this service does not have."""


def add_to(app: FastAPI) -> None:
    @app.get("/v3/limits")
    async def limits(call: ReadCall) -> dict[str, Any]:
        limit, used = await call.services.db.read(_read, call, call.context.project_id)
        absolute = {
            "maxTotalVolumes": limit["volumes"],
            "maxTotalSnapshots": limit["snapshots"],
            "maxTotalVolumeGigabytes": limit["gigabytes"],
            "maxTotalBackups": 0,
            "maxTotalBackupGigabytes": 0,
            "totalVolumesUsed": used["volumes"],
            "totalSnapshotsUsed": used["snapshots"],
            "totalGigabytesUsed": used["gigabytes"],
            "totalBackupsUsed": 0,
            "totalBackupGigabytesUsed": 0,
        }
        return {"limits": {"rate": [], "absolute": absolute}}

    @app.get("/v3/os-quota-sets/{project_id}")
    async def show(project_id: str, call: ReadCall, request: Request) -> dict[str, Any]:
        if not call.context.sees(project_id):
            raise Forbidden("You are not authorized to perform the requested action.")
        limit, used = await call.services.db.read(_read, call, project_id)
        if not is_true(request.query_params.get("usage", "false")):
            return {"quota_set": {"id": project_id, **_limits(limit)}}
        sets = {name: _use(value, used.get(name, 0)) for name, value in _limits(limit).items()}
        return {"quota_set": {"id": project_id, **sets}}

    @app.get("/v3/os-quota-sets/{project_id}/defaults")
    async def defaults(project_id: str, call: ReadCall) -> dict[str, Any]:
        return {"quota_set": {"id": project_id, **_limits(call.quota)}}

    @app.put("/v3/os-quota-sets/{project_id}")
    async def update(project_id: str, call: AdminCall, body: Any = Body()) -> dict[str, Any]:
        changes = check(QuotaChange, body, "quota_set").model_dump(exclude_none=True)
        limit = await call.services.db.write(_set, call, project_id, changes)
        return {"quota_set": _limits(limit)}

    @app.delete("/v3/os-quota-sets/{project_id}")
    async def reset(project_id: str, call: AdminCall) -> Response:
        await call.services.db.write(storage_quotas.reset, "volume", project_id)
        return Response(status_code=200)


def _read(session: Session, call: Call, project_id: str) -> tuple[dict[str, int], dict[str, int]]:
    return storage_quotas.limits(session, "volume", project_id, call.quota), volume_usage.usage(session, project_id)


def _set(session: Session, call: Call, project_id: str, changes: dict[str, int]) -> dict[str, int]:
    storage_quotas.set_limits(session, "volume", project_id, changes)
    return storage_quotas.limits(session, "volume", project_id, call.quota)


def _limits(limit: dict[str, int]) -> dict[str, int]:
    return {**limit, **dict.fromkeys(_UNUSED, 0), "per_volume_gigabytes": -1}


def _use(limit: int, used: int) -> dict[str, int]:
    return {"limit": limit, "in_use": used, "reserved": 0}
