"""Seal keys come and go while servers are made."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from infra.settings import LimitSettings, SealSettings
from tests.saga import faults
from tests.saga.scenarios import active, in_error
from tests.saga.snapshot import snapshot
from tests.saga.world import Place, World, until, world


def _key() -> SecretStr:
    return SecretStr(base64.b64encode(os.urandom(32)).decode())


OLD, NEW = _key(), _key()
BEFORE = SealSettings(keys={"old": OLD})
BOTH = SealSettings(keys={"new": NEW, "old": OLD})
AFTER = SealSettings(keys={"new": NEW})


@pytest.fixture(scope="module")
async def kept(temporal: str, quick_policies: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with world(tmp_path_factory.mktemp("keys"), (temporal, "keys"), ("a",)) as made:
        yield made


async def _sealed_by(world: World, place: Place) -> set[str]:
    """The keys of a boot's secrets, as its history has them."""
    history = await world.handle(place.workflow_id).fetch_history()
    started = history.events[0].workflow_execution_started_event_attributes
    (params,) = await world.client.data_converter.decode(started.input.payloads)
    return {params["requester"]["token"]["key_id"], params["create"]["user_data"]["key_id"]}


async def _begun(world: World, place: Place) -> faults.Rule:
    """A boot before the first step on its host that opens the token; the user data is opened later still."""
    go = asyncio.Event()
    rule = world.faults.add(place.workflow_id, "BootServer", "networks.allocate", faults.held(go))
    await world.boot(place)
    await until(lambda: rule.calls > 0, 30, lambda: "it never came to the step")
    world.faults.forget(place.workflow_id)
    return rule


async def test_a_boot_survives_a_rotation_and_the_next_uses_the_new_key(kept: World) -> None:
    await kept.restart(seal=BEFORE)
    first, second = await kept.place(), await kept.place()
    before = await snapshot(kept, first)
    await _begun(kept, first)
    await kept.restart(seal=BOTH)
    await kept.settled(first)
    assert await _sealed_by(kept, first) == {"old"}
    await active(kept, first, before)
    await kept.active(second)
    assert await _sealed_by(kept, second) == {"new"}


async def test_a_key_that_was_taken_away_too_early_is_waited_for(kept: World) -> None:
    await kept.restart(seal=BEFORE)
    place = await kept.place()
    before = await snapshot(kept, place)
    await _begun(kept, place)
    await kept.restart(seal=AFTER)
    tries = kept.faults.add(place.workflow_id, "BootServer", "networks.allocate", faults.fails_after(0))
    await until(lambda: tries.calls > 1, 30, lambda: "it was not tried again")
    await kept.restart(seal=BOTH)
    await kept.settled(place)
    await active(kept, place, before)


async def test_a_key_that_stays_away_is_what_the_fault_names(kept: World) -> None:
    """The boot ends by its time limit, everything is taken back, and no step hangs."""
    await kept.restart(seal=BEFORE, limits=LimitSettings(boot_seconds=8))
    place = await kept.place()
    before = await snapshot(kept, place)
    await _begun(kept, place)
    await kept.restart(seal=AFTER)
    await kept.settled(place)
    server = kept.server(place)
    assert server is not None
    assert server.fault is not None
    assert "The seal key old is not in this program's settings" in server.fault.message
    await in_error(kept, place, before)


async def test_a_request_that_was_sealed_with_an_unknown_key_is_sent_again(kept: World) -> None:
    """The API has the new key, the control worker does not have it yet."""
    await kept.restart(seal=BOTH, limits=LimitSettings())
    await kept.stop_control()
    kept.settings = kept.settings.model_copy(update={"seal": BEFORE})
    kept.start_control()
    place = await kept.place()
    before = await snapshot(kept, place)
    reply = await kept.boot(place, status=503)
    assert int(reply.headers["retry-after"]) > 0
    await kept.settled(place)
    assert await snapshot(kept, place) == before
