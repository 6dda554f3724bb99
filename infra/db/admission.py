"""Admission of boot requests: quota, conflicts and rows, in one transaction. Refusals leave nothing behind."""

import uuid
from collections.abc import Sequence

from sqlmodel import Session

from infra.db import actions, groups, idempotency, quotas, servers
from infra.db.boot_requests import Request, Resolved, resolve
from infra.db.types import now
from infra.domain import boot_rules
from infra.domain.boot import BlockDeviceRequest, NetworkRequest
from infra.domain.errors import Conflict, KilonovaError, QuotaExceeded, Unavailable
from infra.domain.flavor import Flavor
from infra.domain.quota import Quota
from infra.domain.server import BlockDevice, RequestedNetwork, Server, TaskState, VmState


def attachment_id(server_id: str, volume_id: str | None) -> str:
    """The same for every attempt at a server, so that a repeat finds its own attachment."""
    return str(uuid.uuid5(uuid.UUID(server_id), f"attachment/{volume_id}"))


def admit(session: Session, request: Request) -> list[Server]:
    """Hold the project's quota and write the rows, in BUILD; a repeat finds them written, however late it is.

    Raises:
        BadRequest, Forbidden, NotFound, Conflict, QuotaExceeded: the request is refused, nothing is written.
        Unavailable: it is too late; nothing is written.
    """
    if servers.find(session, request.server_ids[0]) is not None:
        found = [servers.find(session, server_id) for server_id in request.server_ids]
        return [server for server in found if server is not None]
    if request.admit_before is not None and now().timestamp() > request.admit_before:
        raise Unavailable("The request could not be admitted in time.", kind="Lapsed")
    quota = quotas.lock(session, request.project_id)
    if idempotency.is_buried(session, _key(request.server_ids[0], request.request_id)):
        raise Conflict("The request was given up before it was admitted.", kind="AttemptClosed")
    resolved = resolve(session, request)
    boot_rules.check_metadata(quota, request.spec.metadata)
    count = _affordable(session, request, quota, resolved.flavor)
    made = [_server(request, resolved, index, count) for index in range(count)]
    for server in made:
        sealed = request.sealed_user_data
        # Sealed once, to the id of the first server.
        servers.insert(session, server, {**sealed, "owner": request.server_ids[0]} if sealed else None)
        actions.start(session, server, request.request_id, "create", request.user_id)
        group = request.spec.scheduler_hints.get("group")
        if group:
            session.flush()
            groups.add_member(session, group, server.id)
    session.flush()
    return made


def is_admitted(session: Session, server_id: str, op: str) -> bool:
    """Whether this request made the server, and holds it still."""
    server = servers.find(session, server_id)
    return server is not None and server.op == op


def withdraw(session: Session, server_id: str, op: str, project_id: str) -> None:
    """Undo of ``admit``, for a request whose caller was never told of it: there was no server.

    Buried under the lock that ``admit`` takes, so that one that comes late writes nothing. Of this try only: the same
    request may be sent again.
    """
    quotas.lock(session, project_id)
    idempotency.bury(session, _key(server_id, op))
    server = servers.find(session, server_id)
    if server is not None and server.op in (op, None) and server.vm_state is VmState.BUILDING:
        servers.remove(session, server_id)


def _key(server_id: str, op: str) -> str:
    return f"{server_id}/admission/{op}"


def _affordable(session: Session, request: Request, quota: Quota, flavor: Flavor) -> int:
    """How many servers the quota allows, between ``min_count`` and ``max_count``."""
    used = quotas.usage(session, request.project_id)
    refused: KilonovaError | None = None
    for count in range(len(request.server_ids), request.spec.min_count - 1, -1):
        try:
            boot_rules.check_quota(quota, used, flavor, count)
        except QuotaExceeded as error:
            refused = refused or error
        else:
            return count
    assert refused is not None
    raise refused


def _server(request: Request, resolved: Resolved, index: int, count: int) -> Server:
    spec, server_id, moment = request.spec, request.server_ids[index], now()
    name = spec.name if count == 1 else f"{spec.name}-{index + 1}"
    image = resolved.image
    zone = spec.availability_zone
    if spec.host:
        zone = f"{(zone or '').partition(':')[0]}:{spec.host}"
    return Server(
        id=server_id,
        project_id=request.project_id,
        user_id=request.user_id,
        name=name,
        hostname=spec.hostname or boot_rules.host_name(name, server_id),
        flavor=resolved.flavor,
        image_id=image.id if image else None,
        kernel_id=image.properties.get("kernel_id") or None if image else None,
        ramdisk_id=image.properties.get("ramdisk_id") or None if image else None,
        key_name=spec.key_name,
        vm_state=VmState.BUILDING,
        task_state=TaskState.SCHEDULING,
        op=request.request_id,
        reservation_id=request.reservation_id,
        launch_index=index,
        availability_zone=zone,
        config_drive=spec.config_drive,
        metadata=spec.metadata,
        tags=spec.tags,
        description=spec.description,
        access_ip_v4=spec.access_ip_v4,
        access_ip_v6=spec.access_ip_v6,
        disk_config=spec.disk_config,
        security_groups=resolved.security_group_ids,
        networks=_requested(server_id, resolved.networks),
        block_devices=_block_devices(server_id, resolved.block_devices),
        scheduler_hints=spec.scheduler_hints,
        created_at=moment,
        updated_at=moment,
    )


def _requested(server_id: str, asked: Sequence[NetworkRequest]) -> tuple[RequestedNetwork, ...]:
    return tuple(
        RequestedNetwork(
            network_id=str(entry.network_id),
            port_id=entry.port_id or str(uuid.uuid5(uuid.UUID(server_id), f"port/{index}")),
            created=entry.port_id is None,
            fixed_ip=entry.fixed_ip,
            tag=entry.tag,
        )
        for index, entry in enumerate(asked)
    )


def _block_devices(server_id: str, asked: Sequence[BlockDeviceRequest]) -> tuple[BlockDevice, ...]:
    def volume_id(index: int, device: BlockDeviceRequest) -> str:
        made = uuid.uuid5(uuid.UUID(server_id), f"volume/{index}")
        return str(device.id) if device.source_type == "volume" else str(made)

    return tuple(
        BlockDevice(
            volume_id=volume_id(index, device),
            boot_index=device.boot_index,
            source_type=device.source_type,
            destination_type="volume",
            image_id=device.id if device.source_type == "image" else None,
            snapshot_id=device.id if device.source_type == "snapshot" else None,
            size_gb=device.size_gb,
            delete_on_termination=device.delete_on_termination,
            device_name=device.device_name,
            created=device.source_type != "volume",
        )
        for index, device in enumerate(asked)
    )
