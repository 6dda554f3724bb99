"""``/servers/{id}/os-interface`` (Compute API reference, "Port interfaces")."""

from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import Field, model_validator
from sqlmodel import Session

from api import start_interfaces
from api.auth import MemberDep
from api.compute.boot_request import canonical
from api.compute.common import ChangeableServer, ReadableServer, empty
from api.compute.microversion import Version
from api.compute.schemas.servers import IpAddress
from api.compute.wire import Tag, Uuid, Versions, Wire, body
from api.deps import ServicesDep
from infra.db import attachments, interfaces, ports, servers
from infra.db.interfaces import InterfaceWish
from infra.domain.errors import NotFound
from infra.domain.network import Port
from infra.domain.server import Server

router = APIRouter()


class FixedAddress(Wire):
    ip_address: IpAddress


class NewInterface(Wire):
    net_id: Uuid | None = None
    port_id: Uuid | None = None
    fixed_ips: Annotated[list[FixedAddress], Field(min_length=1, max_length=1)] | None = None
    tag: Annotated[Tag | None, Versions(49)] = None

    @model_validator(mode="after")
    def _names_one(self) -> "NewInterface":
        if self.net_id is not None and self.port_id is not None:
            raise ValueError("Must not input both network_id and port_id")
        if self.fixed_ips is not None and self.net_id is None:
            raise ValueError("Must input network_id when request IP address")
        return self


class NewInterfaceRequest(Wire):
    attachment: Annotated[NewInterface, Field(alias="interfaceAttachment")] = NewInterface()


@router.get("/servers/{server_id}/os-interface")
async def list_all(server: ReadableServer, found: ServicesDep, version: Version) -> dict[str, Any]:
    plugged = await found.db.read(_ports, server.id)
    return {"interfaceAttachments": [_view(port, server, version) for port in plugged]}


@router.get("/servers/{server_id}/os-interface/{port_id}")
async def show(port_id: str, server: ReadableServer, found: ServicesDep, version: Version) -> dict[str, Any]:
    for port in await found.db.read(_ports, server.id):
        if port.id == port_id:
            return {"interfaceAttachment": _view(port, server, version)}
    raise NotFound(f"Port id {port_id} could not be found on instance {server.id}.")


@router.post("/servers/{server_id}/os-interface")
async def attach(
    server: ChangeableServer,
    context: MemberDep,
    wanted: Annotated[NewInterfaceRequest, body(NewInterfaceRequest)],
    found: ServicesDep,
    version: Version,
) -> dict[str, Any]:
    """Answers when the port is bound to the server; the rest goes on."""
    asked = wanted.attachment
    wish = InterfaceWish(
        port_id=canonical(asked.port_id) if asked.port_id else None,
        network_id=canonical(asked.net_id) if asked.net_id else None,
        fixed_ip=asked.fixed_ips[0].ip_address if asked.fixed_ips else None,
        tag=asked.tag,
        any_project=context.is_admin,
    )
    await found.db.read(interfaces.check, server, wish)
    port_id = await start_interfaces.attach(found, context, server, wish)
    server, port = await found.db.read(_attached, server.id, port_id)
    return {"interfaceAttachment": _view(port, server, version)}


@router.delete("/servers/{server_id}/os-interface/{port_id}", status_code=202)
async def detach(port_id: str, server: ChangeableServer, context: MemberDep, found: ServicesDep) -> Response:
    await found.db.read(interfaces.attached, server.id, port_id)
    attachments.check_state(server, "detach_interface")
    await start_interfaces.detach(found, context, server, port_id)
    return empty(202)


def _ports(session: Session, server_id: str) -> list[Port]:
    return ports.of_devices(session, [server_id])[server_id]


def _attached(session: Session, server_id: str, port_id: str) -> tuple[Server, Port]:
    """Raises NotFound where it has been undone, or the server deleted, since the answer."""
    return servers.get(session, server_id), interfaces.attached(session, server_id, port_id)


def _view(port: Port, server: Server, version: int) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "port_id": port.id,
        "net_id": port.network_id,
        "mac_addr": port.mac_address,
        "port_state": port.status,
        "fixed_ips": [{"subnet_id": ip.subnet_id, "ip_address": ip.ip_address} for ip in port.fixed_ips],
    }
    if version >= 70:
        tags = {entry.port_id: entry.tag for entry in server.networks}
        shown["tag"] = tags.get(port.id)
    return shown
