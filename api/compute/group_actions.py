"""The actions addSecurityGroup and removeSecurityGroup: they change the ports of a server (Compute API reference)."""

from typing import Annotated

from pydantic import Field
from sqlmodel import Session

from api.compute.wire import Wire
from infra.db import ports, security_groups
from infra.domain.errors import BadRequest, NotFound
from infra.domain.server import Server


class GroupArgument(Wire):
    name: Annotated[str, Field(min_length=1, max_length=255)]
    """Name or id."""


def add(session: Session, server: Server, name: str) -> None:
    """Every port that can have groups gets this one; that it has it is success.

    Raises:
        NotFound: the server's project has no such group.
        Conflict: several have the name.
        BadRequest: no port of the server can have groups.
    """
    group = security_groups.named(session, server.project_id, (name,))[0]
    able = [port for port in ports.of_devices(session, [server.id])[server.id] if port.port_security_enabled]
    if not able:
        raise BadRequest("The server has no interface that security groups can be applied to.")
    for port in able:
        if group.id not in port.security_group_ids:
            ports.update(session, port.id, {"security_group_ids": (*port.security_group_ids, group.id)})


def remove(session: Session, server: Server, name: str) -> None:
    """Raises NotFound where the project has no such group, or the server; Conflict where several have the name."""
    group = security_groups.named(session, server.project_id, (name,))[0]
    having = [port for port in ports.of_devices(session, [server.id])[server.id] if group.id in port.security_group_ids]
    if not having:
        raise NotFound(f"Security group {name} not associated with the instance {server.id}")
    for port in having:
        left = tuple(other for other in port.security_group_ids if other != group.id)
        ports.update(session, port.id, {"security_group_ids": left})
