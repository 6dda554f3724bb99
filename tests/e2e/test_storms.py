"""Deletes at any moment, and programs killed in the middle of a burst: all of it or nothing of it."""

import time

import pytest

from tests.e2e.world import World, until

_MOMENTS = (0.0, 0.05, 0.15, 0.3, 0.5, 0.8, 1.2, 2.0)


def test_a_delete_during_the_boot_leaves_nothing(world: World) -> None:
    """At moments from the 202 on to when the guest runs; on a busy machine all of them fall into the boot."""
    for moment in _MOMENTS:
        server_id = world.boot(f"short-lived-{moment}")
        # The moment is what is tried here, whatever the boot has come to.
        time.sleep(moment)
        assert world.demo.delete(f"/compute/v2.1/servers/{server_id}").status_code == 204
        until(lambda server_id=server_id: world.demo.server(server_id) is None, "the server is gone")


@pytest.mark.parametrize("program", ["control-worker", "compute-worker", "api", "temporal"])
def test_a_burst_survives_a_kill(world: World, program: str) -> None:
    server_ids = [world.boot(f"burst-{number}", config_drive=True) for number in range(5)]
    world.kill(program)
    for server_id in server_ids:
        assert world.active(server_id)["OS-EXT-SRV-ATTR:host"] == world.settings.host.name
    world.delete(*server_ids)
