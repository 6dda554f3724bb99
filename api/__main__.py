"""``python -m api``: the REST services on one port."""

import asyncio
import logging

import uvicorn
import uvloop

from api.app import Door
from api.deps import Services
from api.image.data import recover
from api.turns import Turns
from infra import settings as configuration
from infra.db.engine import Database
from infra.identity.keycloak import KeycloakProvider
from infra.image.file_store import FileStore
from infra.settings import Settings
from infra.temporal.client import connect
from infra.temporal.sealed import Sealer
from infra.volume.qcow2 import Qcow2Backend


async def serve(settings: Settings) -> None:
    services = Services(
        settings=settings,
        db=Database(
            settings.database_url, synchronous=settings.database.synchronous, pool_size=settings.database.pool_size
        ),
        identity=KeycloakProvider(settings),
        images=FileStore(
            settings.image_directory,
            max_virtual_bytes=settings.image.max_virtual_bytes,
            format_match=settings.image.format_match,
        ),
        volumes=Qcow2Backend(settings.volume_directory),
        # Lazy: reads are answered while Temporal is away, writes with 503.
        temporal=await connect(settings.temporal, lazy=True),
        sealer=Sealer(settings.seal),
        admissions=Turns(settings.api.admissions_at_once),
    )
    server = uvicorn.Server(
        uvicorn.Config(
            Door(services),
            host=settings.api.host,
            port=settings.api.port,
            http="httptools",
            lifespan="off",
            access_log=False,
            server_header=False,
            timeout_keep_alive=settings.api.keep_alive_seconds,
            timeout_graceful_shutdown=20,
            log_config=None,
        )
    )
    await recover(services)
    try:
        await server.serve()
    finally:
        services.db.close()


def main() -> None:
    settings = configuration.load()
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings))


if __name__ == "__main__":
    main()
