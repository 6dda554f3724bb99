"""What may not be written in clear: user data, tokens, passwords, in no store and no log."""

import base64
import secrets
from pathlib import Path

from infra.deploy import config
from tests.e2e.world import World


def test_no_secret_reaches_a_history_a_row_or_a_log(world: World) -> None:
    data, password = (f"marked-{secrets.token_hex(16)}" for _ in range(2))
    user_data = base64.b64encode(f"#!/bin/sh\n: {data}\n".encode()).decode()
    token = str(world.demo.headers["X-Auth-Token"])
    changes = {"user_data": user_data, "adminPass": password, "config_drive": True, "OS-DCF:diskConfig": "MANUAL"}
    server_ids = [world.boot(f"secretive-{number}", **changes) for number in range(2)]
    refused = world.demo.post("/compute/v2.1/servers", json={"server": world.request("", **changes)})
    assert refused.status_code == 400
    assert data not in refused.text
    for server_id in server_ids:
        world.active(server_id)
    hidden = {
        "user data": data.encode(),
        "user data as sent": user_data.encode()[:40],
        "the administrator's password": password.encode(),
        # A token's signature: its other parts are no secret.
        "a token": token.rsplit(".", 1)[1].encode()[:40],
        "the user's password": world.settings.deploy.passwords["demo"].get_secret_value().encode(),
    }
    found = {
        f"{what} in {file.name}"
        for file in _written(world)
        for what, secret in hidden.items()
        if secret in file.read_bytes()
    }
    assert not found
    world.delete(*server_ids)


def _written(world: World) -> list[Path]:
    state = world.settings.state
    files = [*state.glob("temporal.db*"), *state.glob("kilonova.db*"), *config.log_directory(world.settings).iterdir()]
    assert len(files) > 5
    return files
