"""Admission again, after everything was killed between the rows and the run's note of them: what was made stays made.

The request may have been answered from its row meanwhile.
"""

import base64
import time
import uuid

import pytest
from pydantic import SecretStr
from temporalio.exceptions import ApplicationError

from activities.identity import IdentityActivities
from activities.models import Requester
from activities.records import CreateServers, RecordsActivities
from infra.db import servers
from infra.db.engine import Database
from infra.domain.errors import Unavailable
from infra.identity.provider import Identity
from infra.settings import LimitSettings, SealSettings
from infra.temporal.sealed import Sealer
from tests.contract.test_admission import PROJECT, USER, Cloud


class NotBack:
    """An identity service that is still starting."""

    async def verify(self, token: str, *, allow_expired: bool = False) -> Identity:
        raise Unavailable("The identity service does not answer.")


def _create(cloud: Cloud, server_id: str, op: str, admit_before: float) -> CreateServers:
    request = cloud.request()
    return CreateServers(
        server_ids=(server_id,),
        reservation_id="r-1",
        request_id=op,
        project_id=PROJECT,
        user_id=USER,
        spec=request.spec.model_dump(mode="json", exclude_defaults=True),
        admit_before=admit_before,
    )


async def test_rows_that_were_made_in_time_are_found_however_late(database: Database) -> None:
    cloud, server_id, op = Cloud(database), str(uuid.uuid4()), "req-1"
    records = RecordsActivities(database, LimitSettings(), ())
    first = await records.create_servers(_create(cloud, server_id, op, time.time() + 60))
    assert await records.create_servers(_create(cloud, server_id, op, time.time() - 60)) == first
    late = str(uuid.uuid4())
    with pytest.raises(ApplicationError, match="in time"):
        await records.create_servers(_create(cloud, late, "req-2", time.time() - 60))
    assert database.read_now(servers.find, late) is None


async def test_who_was_admitted_is_not_asked_again_for_a_token(database: Database, sealer: Sealer) -> None:
    cloud, server_id, op = Cloud(database), str(uuid.uuid4()), "req-1"
    identity = IdentityActivities(NotBack(), sealer, database)
    requester = Requester(
        request_id=op,
        project_id=PROJECT,
        user_id=USER,
        token=sealer.seal("t", server_id=server_id, field="token"),
        token_server_id=server_id,
    )
    with pytest.raises(ApplicationError):
        await identity.validate_token(requester)
    records = RecordsActivities(database, LimitSettings(), ())
    await records.create_servers(_create(cloud, server_id, op, time.time() + 60))
    assert (await identity.validate_token(requester)).project_id == PROJECT
    with pytest.raises(ApplicationError):
        await identity.validate_token(requester.model_copy(update={"request_id": "req-2"}))


@pytest.fixture
def sealer() -> Sealer:
    return Sealer(SealSettings(keys={"k": SecretStr(base64.b64encode(b"k" * 32).decode())}))
