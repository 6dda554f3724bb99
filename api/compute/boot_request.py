"""From the wire to ``ServerSpec``: what a boot request says, once its form is right."""

import secrets
import string
import uuid

from api.auth import Context
from api.compute.schemas.block_devices import check_boot_order, from_v1, from_v2
from api.compute.schemas.servers import CreateServer, CreateServerRequest, NetworkEntry
from infra.domain.boot import NetworkRequest, ServerSpec
from infra.domain.errors import BadRequest, Forbidden
from infra.settings import Settings

_ALPHABET = string.ascii_letters + string.digits
_PASSWORD_LENGTH = 12
_LONGEST_KEY = 255


def server_spec(request: CreateServerRequest, context: Context, settings: Settings) -> ServerSpec:
    """The request in our own terms.

    Raises:
        BadRequest: its parts contradict each other.
        Forbidden: it names a host, and the caller is no administrator.
    """
    wanted = request.server
    check_user_data(wanted.user_data, settings.limits.user_data_bytes)
    image_id = canonical(wanted.image) if wanted.image else None
    devices = from_v1(wanted.block_device_mapping or [])
    if wanted.block_device_mapping_v2:
        image_id, devices = from_v2(wanted.block_device_mapping_v2, image_id)
    check_boot_order(image_id, devices)
    zone, host = _placement(wanted, context)
    hints = request.hints or request.older_hints
    count = wanted.min_count or 1
    return ServerSpec(
        name=wanted.name,
        flavor_id=wanted.flavor,
        image_id=image_id,
        key_name=wanted.key_name,
        networks=_networks(wanted.networks),
        block_devices=devices,
        security_groups=tuple(dict.fromkeys(group.name for group in wanted.security_groups or ())),
        metadata=wanted.metadata,
        user_data=wanted.user_data,
        admin_password=wanted.admin_password or password(),
        config_drive=bool(wanted.config_drive),
        availability_zone=zone,
        host=host,
        scheduler_hints=hints.model_dump(exclude_none=True) if hints else {},
        disk_config=wanted.disk_config or "MANUAL",
        access_ip_v4=wanted.access_ip_v4 or None,
        access_ip_v6=wanted.access_ip_v6 or None,
        description=wanted.description,
        hostname=wanted.hostname,
        tags=tuple(wanted.tags or ()),
        min_count=count,
        max_count=max(wanted.max_count or count, count),
    )


def check_user_data(text: str | None, most: int) -> None:
    """Raises BadRequest if it is too long."""
    if text is not None and len(text) > most:
        raise BadRequest(f"User data too large. It must be no larger than {most} bytes.")


def idempotency_key(header: str | None) -> str | None:
    """Raises BadRequest if the key is empty, too long, or not plain text."""
    if header is not None and not (0 < len(header) <= _LONGEST_KEY and header.isascii() and header.isprintable()):
        raise BadRequest(f"Idempotency-Key must be 1 to {_LONGEST_KEY} plain characters.")
    return header


def canonical(id: str) -> str:
    """A UUID with hyphens, in small letters, however it was written."""
    return str(uuid.UUID(id))


def _networks(entries: list[NetworkEntry] | str | None) -> tuple[NetworkRequest, ...] | None:
    if entries is None or entries == "auto" or entries == []:
        return None
    if isinstance(entries, str):
        return ()
    # A port says its network itself; a network beside it is what older clients repeat.
    ports = [canonical(entry.port) for entry in entries if entry.port]
    if len(set(ports)) != len(ports):
        raise BadRequest("The same port is named twice.")
    return tuple(
        NetworkRequest(
            port_id=canonical(entry.port) if entry.port else None,
            network_id=canonical(entry.uuid) if entry.uuid and not entry.port else None,
            fixed_ip=None if entry.port else entry.fixed_ip,
            tag=entry.tag,
        )
        for entry in entries
    )


def _placement(wanted: CreateServer, context: Context) -> tuple[str | None, str | None]:
    """(zone, forced host)."""
    zone, _, rest = (wanted.availability_zone or "").partition(":")
    forced = [name for name in (rest.partition(":")[0], wanted.host, wanted.hypervisor_hostname) if name]
    if forced and not context.is_admin:
        raise Forbidden("Policy doesn't allow os_compute_api:servers:create:forced_host to be performed.")
    if len(set(forced)) > 1:
        raise BadRequest("The request names more than one host.")
    return zone or None, forced[0] if forced else None


def password() -> str:
    """A new one, for whom it matters: no guest is told."""
    while True:
        password = "".join(secrets.choice(_ALPHABET) for _ in range(_PASSWORD_LENGTH))
        if any(c.isdigit() for c in password) and any(c.islower() for c in password):
            return password
