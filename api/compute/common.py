"""What the routes of servers share: finding the server of a path, and who may do what with it."""

from typing import Annotated

from fastapi import Depends, Request, Response
from sqlmodel import Session

from api.auth import ContextDep, MemberDep, ReaderDep
from api.compute.surroundings import Surroundings, gather
from api.deps import ServicesDep
from infra.db import servers
from infra.domain.errors import BadRequest, Conflict, KilonovaError, NotFound
from infra.domain.server import Server


class NotImplementedHere(KilonovaError):
    """A part of the compute API that Kilonova does not have."""

    code = 501


class Locked(Conflict):
    pass


async def url_project_matches(request: Request, context: ContextDep) -> None:
    """A project in the URL must be the token's.

    Raises:
        BadRequest: it is another.
    """
    named = request.scope["url_project_id"]
    own = context.identity.project_id
    if named is not None and own is not None and named.replace("-", "") != own.replace("-", ""):
        raise BadRequest("Malformed request URL: URL's project_id doesn't match Context's project_id")


async def readable_server(server_id: str, context: ReaderDep, found: ServicesDep) -> Server:
    """The server of the path.

    Raises:
        NotFound: there is none, or it is another project's: the two can't be told apart.
    """
    server = await found.db.read(servers.get, server_id)
    if not context.sees(server.project_id):
        raise NotFound(f"Instance {server_id} could not be found.")
    return server


async def changeable_server(server_id: str, context: MemberDep, found: ServicesDep) -> Server:
    """The server of the path, for a caller who may change it.

    Raises:
        NotFound: as ``readable_server``.
        Locked: it is locked, and the caller is no administrator.
    """
    server = await readable_server(server_id, context, found)
    if server.locked and not context.is_admin:
        raise Locked(f"Instance {server_id} is locked")
    return server


async def own_server(server_id: str, context: MemberDep, found: ServicesDep) -> Server:
    """As ``changeable_server``, but for what a locked server allows: unlocking it, its metadata, its tags."""
    return await readable_server(server_id, context, found)


ReadableServer = Annotated[Server, Depends(readable_server)]
ChangeableServer = Annotated[Server, Depends(changeable_server)]
OwnServer = Annotated[Server, Depends(own_server)]


def surroundings_of(session: Session, server: Server) -> Surroundings:
    return gather(session, [server], group=True)[server.id]


def empty(code: int) -> Response:
    """A reply without a body, not even ``null``."""
    return Response(status_code=code)
