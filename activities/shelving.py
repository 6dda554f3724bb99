"""A server is shelved: what its row says when it is saved, and when it is on no host."""

from sqlmodel import Session

from activities.base import step
from activities.conductor import devices
from activities.networks import AllocatedPort
from activities.records import BeginVerb, Held, Written
from infra.db import shelving
from infra.db.engine import Database
from infra.temporal.history import History


class ShelveServer(History):
    server_id: str
    op: str
    image_id: str = ""
    """Empty: its disk is a volume."""


class Offloading(History):
    """What a shelved server has on its host."""

    server_id: str
    host: str
    attempt: int
    hostname: str = ""
    images: tuple[str, ...] = ()
    ports: tuple[AllocatedPort, ...] = ()


class ShelvingActivities:
    def __init__(self, db: Database) -> None:
        self._db = db

    @step("shelving.shelve", because="after it the server only leaves its host")
    async def shelve(self, params: ShelveServer) -> Written:
        """It is saved. Not written: a delete has taken it."""
        image_id = params.image_id or None
        return Written(written=await self._db.write(shelving.shelve, params.server_id, params.op, image_id))

    @step("shelving.begin_offload", because="the run ends it: on no host, or shelved as it was")
    async def begin_offload(self, params: BeginVerb) -> Offloading:
        """Raises Conflict if the server is not shelved, or is on no host already."""
        return await self._db.write(_begin_offload, params)

    @step("shelving.offload", because="what left its host does not come back to it")
    async def offload(self, params: Held) -> Written:
        """It is on no host, and keeps its ports and volumes. Not written: a delete has taken it."""
        return Written(written=await self._db.write(shelving.offload, params.server_id, params.op))

    @step("shelving.leave_off", because="an operator says that the host is off")
    async def leave_off(self, params: Held) -> Written:
        """The server is on no host, and its host owes the clean-up. Not written: nobody says that the host is off."""
        return Written(written=await self._db.write(shelving.leave_off, params.server_id, params.op))


def _begin_offload(session: Session, params: BeginVerb) -> Offloading:
    server = shelving.begin_offload(session, params.server_id, params.op, params.user_id)
    return Offloading(
        server_id=server.id,
        host=str(server.host),
        attempt=server.attempt,
        hostname=server.hostname,
        images=server.images,
        ports=devices(session, server).ports,
    )
