"""What operators ask for at the command line."""

import sys
import uuid

from temporalio.service import RPCError

from infra.db import hosts
from infra.db.engine import Database
from infra.domain.errors import NotFound
from infra.settings import Settings
from infra.temporal.client import connect
from workers import reconciling
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
