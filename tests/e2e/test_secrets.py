"""What may not be written in clear: user data, tokens, passwords and keys, in no history, row, file or log.

A guest's console and config drive are its own: they hold what its user gave it.
"""

import asyncio
import base64
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from infra.deploy import config
from infra.settings import Settings
from infra.temporal.client import connect
from tests.e2e.world import World, until

Where = dict[str, bytes]


def test_no_secret_reaches_a_history_a_row_or_a_log(world: World) -> None:
    began = datetime.now(UTC)
    data, password = (f"marked-{secrets.token_hex(16)}" for _ in range(2))
    user_data = base64.b64encode(f"#!/bin/sh\n: {data}\n".encode()).decode()
    token = str(world.demo.headers["X-Auth-Token"])
    changes = {"user_data": user_data, "adminPass": password, "config_drive": True, "OS-DCF:diskConfig": "MANUAL"}
    private_key = _made_key(world)
    server_ids = [world.boot(f"secretive-{number}", **changes) for number in range(2)]
    nowhere = _boot_nowhere(world, **changes)
    refused = world.demo.post("/compute/v2.1/servers", json={"server": world.request("", **changes)})
    assert refused.status_code == 400
    assert data not in refused.text
    for server_id in server_ids:
        world.active(server_id)
    _give_and_take_a_volume(world, server_ids[0])
    world.console(server_ids[0])
    settings = world.settings
    hidden = {
        "user data": data,
        "user data as sent": user_data[:40],
        "the administrator's password": password,
        # Its signature: a token's other parts are no secret.
        "a token": token.rsplit(".", 1)[1][:40],
        "the user's password": settings.deploy.passwords["demo"].get_secret_value(),
        "a private key": private_key,
        "the API's own secret": settings.keycloak.client_secret.get_secret_value(),
        "the workers' secret": settings.keycloak.worker_client_secret.get_secret_value(),
        **{f"the seal key {name}": key.get_secret_value() for name, key in settings.seal.keys.items()},
    }
    kinds = {
        "histories": asyncio.run(_histories(settings, began)),
        "rows": _rows(settings),
        "files": {file.name: file.read_bytes() for file in _files(settings)},
    }
    for kind, texts in kinds.items():
        # What is no secret is found in the same way, so the search sees what is there.
        assert any(server_ids[0].encode() in text for text in texts.values()), kind
        found = {
            f"{what} in {kind}: {where}"
            for where, text in texts.items()
            for what, secret in hidden.items()
            if any(form in text for form in _forms(secret))
        }
        assert not found
    world.delete(*server_ids, nowhere)


def test_the_search_knows_a_secret_that_is_encoded() -> None:
    for before in range(4):
        packed = base64.b64encode(b"x" * before + b"a-secret-of-some-length" + b"y")
        assert any(form in packed for form in _forms("a-secret-of-some-length"))


def _forms(secret: str) -> Iterator[bytes]:
    """As it is, and inside something that is base64."""
    raw = secret.encode()
    yield raw
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw)
        # What the neighbours' bits go into is not of the secret alone.
        yield encoded[4 if before else 0 : len(encoded) - len(encoded) % 4 - 4]


def _made_key(world: World) -> str:
    """A line of a private key that the API made and showed once."""
    version = {"X-OpenStack-Nova-API-Version": "2.79"}
    path = "/compute/v2.1/os-keypairs"
    made = world.demo.post(path, json={"keypair": {"name": "secretive"}}, headers=version)
    assert made.status_code in (200, 201), made.text
    assert world.demo.delete(f"{path}/secretive").status_code in (202, 204)
    return str(made.json()["keypair"]["private_key"].splitlines()[3])


def _boot_nowhere(world: World, **changes: object) -> str:
    """A boot that ends in ERROR, with all its reasons."""
    wanted = world.request("secretive-nowhere", **changes)
    flavor = world.admin.make(
        "/compute/v2.1/flavors", {"flavor": {"name": "huge", "vcpus": 1, "ram": 40_000_000, "disk": 1, "id": "huge"}}
    )["flavor"]["id"]
    path = f"/compute/v2.1/os-quota-sets/{world.demo_project}"
    assert world.admin.put(path, json={"quota_set": {"ram": -1, "force": True}}).status_code == 200
    body = {"server": {**wanted, "flavorRef": flavor}}
    server_id = str(world.demo.make("/compute/v2.1/servers", body)["server"]["id"])
    until(lambda: (world.demo.server(server_id) or {}).get("status") == "ERROR", "no host takes it")
    assert world.admin.delete(path).status_code in (202, 204)
    assert world.admin.delete(f"/compute/v2.1/flavors/{flavor}").status_code in (202, 204)
    return server_id


def _give_and_take_a_volume(world: World, server_id: str) -> None:
    path = f"/volume/v3/{world.demo_project}/volumes"
    volume = world.demo.make(path, {"volume": {"size": 1}})["volume"]["id"]

    def status() -> str:
        return str(world.demo.show(f"{path}/{volume}")["volume"]["status"])

    until(lambda: status() == "available", "the volume is made")
    attachments = f"/compute/v2.1/servers/{server_id}/os-volume_attachments"
    world.demo.make(attachments, {"volumeAttachment": {"volumeId": volume}})
    until(lambda: status() == "in-use", "the volume is attached")
    assert world.demo.delete(f"{attachments}/{volume}").status_code == 202
    until(lambda: status() == "available", "the volume is given back")
    assert world.demo.delete(f"{path}/{volume}").status_code == 202
    until(lambda: world.demo.get(f"{path}/{volume}").status_code == 404, "the volume is gone")


async def _histories(settings: Settings, began: datetime) -> Where:
    """Every run since then: its events with all payloads and headers, and what is said of it (memo, summary, search
    attributes)."""
    client = await connect(settings.temporal)
    found: Where = {}
    async for run in client.list_workflows(f"StartTime >= '{began.isoformat()}'"):
        handle = client.get_workflow_handle(run.id, run_id=run.run_id)
        history, described = await handle.fetch_history(), await handle.describe()
        events = b"".join(event.SerializeToString() for event in history.events)
        found[f"{run.workflow_type} {run.id}"] = events + described.raw_description.SerializeToString()
    kinds = {name.split()[0] for name in found}
    assert kinds >= {"BootServer", "AttachVolume", "DetachVolume", "VolumeWork", "ReadConsole"}, kinds
    return found


def _rows(settings: Settings) -> Where:
    with closing(sqlite3.connect(f"file:{settings.state / 'kilonova.db'}?mode=ro", uri=True)) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {table: repr(connection.execute(f'SELECT * FROM "{table}"').fetchall()).encode() for table in tables}


def _files(settings: Settings) -> list[Path]:
    """Of both databases with what waits in their logs, and what every program has written to its own."""
    state = settings.state
    stores = [*state.glob("temporal.db*"), *state.glob("kilonova.db*")]
    logs = [path for path in config.log_directory(settings).rglob("*") if path.is_file()]
    names = {path.name for path in (*stores, *logs)}
    programs = ("api", "control-worker", "compute-worker", "temporal", "keycloak", "libvirtd")
    assert names >= {"temporal.db", "kilonova.db", "kilonova.db-wal", *(f"{name}.log" for name in programs)}, names
    return [*stores, *logs]
