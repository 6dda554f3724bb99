"""What operators ask for at the command line."""

import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

from temporalio.client import Client
from temporalio.service import RPCError

from infra.db import hosts
from infra.db import problems as problem_rows
from infra.db.engine import Database
from infra.db.problems import Problems
from infra.domain.errors import NotFound
from infra.settings import Settings
from infra.temporal.client import connect
from workers import reconciling, sweeper
from workers.running import CannotStart


async def reconcile(settings: Settings, host: str) -> int:
    """Compare a host now and print what was found; 1 where something is left for the operator.

    Raises:
        CannotStart: there is no such host, or Temporal does not answer.
    """
    db = Database(settings.database_url)
    try:
        await db.read(hosts.get, host)
        found = await reconciling.reconcile(await connect(settings.temporal), host, f"req-{uuid.uuid4()}")
    except NotFound as error:
        raise CannotStart(error.message) from error
    except (RPCError, RuntimeError) as error:
        raise CannotStart("Temporal did not answer in time: see that it runs, and a control worker.") from error
    finally:
        db.close()
    for sentence in found.mended:
        print(sentence)
    for sentence in found.reported:
        print(f"Look at this: {sentence}", file=sys.stderr)
    if not found.mended and not found.reported:
        print(f"Host {host} is as it should be.")
    return 1 if found.reported else 0


async def problems(settings: Settings) -> int:
    """Print what does not get through, a line each; 1 where there is anything."""
    db = Database(settings.database_url)
    try:
        found = await db.read(problem_rows.find, timedelta(seconds=sweeper.HELD_SECONDS))
    finally:
        db.close()
    lines = list(lasting(found))
    if found.servers or found.attachments or found.interfaces:
        lines += [line async for line in held(found, await _client(settings))]
    for line in lines:
        print(line)
    if not lines:
        print("Everything gets through.")
    return 1 if lines else 0


def lasting(found: Problems) -> Iterator[str]:
    """What the rows themselves tell."""
    for server in found.stuck:
        yield f"stuck  server {server.id} ({server.status}): {server.stuck_undo}"
    for debt in found.debts:
        yield f"owed   host {debt.host}, attempt {debt.attempt} at server {debt.server_id}: {debt.what}"
    for one in found.drift:
        yield f"drift  host {one.host}, {one.kind}: {one.what}"


async def held(found: Problems, client: Client | None) -> AsyncIterator[str]:
    """Rows that a request holds without a run; where Temporal does not answer, those that are held for long."""
    for server in found.servers:
        why = await _why(client, server.workflow_ids)
        if why is not None:
            yield f"held   server {server.server_id} ({server.task_state}) since {server.since:%F %T} UTC: {why}"
    for attachment in found.attachments:
        why = await _why(client, (attachment.workflow_id,))
        if why is not None:
            yield f"held   volume {attachment.volume_id} since {attachment.since:%F %T} UTC: {why}"
    for change in found.interfaces:
        why = await _why(client, (change.workflow_id,))
        if why is not None:
            yield f"held   port {change.port_id} since {change.since:%F %T} UTC: {why}"


async def _why(client: Client | None, workflow_ids: tuple[str, ...]) -> str | None:
    if client is None:
        return "Temporal does not answer, which knows whether the request still runs."
    return await sweeper.lost(client, workflow_ids)


async def _client(settings: Settings) -> Client | None:
    try:
        return await connect(settings.temporal)
    except (RPCError, RuntimeError):
        return None
