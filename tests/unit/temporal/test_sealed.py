import base64
import os

import pytest
from pydantic import SecretStr

from infra.domain.errors import Unavailable
from infra.settings import SealSettings
from infra.temporal.sealed import CannotOpen, Sealed, Sealer


def _key() -> SecretStr:
    return SecretStr(base64.b64encode(os.urandom(32)).decode())


def test_what_is_sealed_can_be_opened_and_is_not_readable() -> None:
    sealer = Sealer(SealSettings(keys={"k1": _key()}))
    sealed = sealer.seal("täken", server_id="s", field="token")
    assert "täken" not in sealed.model_dump_json()
    assert sealer.open(sealed, server_id="s", field="token") == "täken"


@pytest.mark.parametrize(("server_id", "field"), [("other", "token"), ("s", "user_data")])
def test_a_sealed_value_can_not_be_moved_to_another_server_or_field(server_id: str, field: str) -> None:
    sealer = Sealer(SealSettings(keys={"k1": _key()}))
    sealed = sealer.seal("secret", server_id="s", field="token")
    with pytest.raises(CannotOpen):
        sealer.open(sealed, server_id=server_id, field=field)


def test_a_changed_ciphertext_does_not_open() -> None:
    sealer = Sealer(SealSettings(keys={"k1": _key()}))
    sealed = sealer.seal("secret", server_id="s", field="token")
    raw = bytearray(base64.b64decode(sealed.ciphertext))
    raw[0] ^= 1
    changed = Sealed(key_id=sealed.key_id, nonce=sealed.nonce, ciphertext=base64.b64encode(bytes(raw)).decode())
    with pytest.raises(CannotOpen):
        sealer.open(changed, server_id="s", field="token")


def test_after_a_rotation_the_new_key_seals_and_the_old_one_still_opens() -> None:
    old, new = _key(), _key()
    before = Sealer(SealSettings(keys={"k1": old})).seal("secret", server_id="s", field="token")
    rotated = Sealer(SealSettings(keys={"k2": new, "k1": old}))
    assert rotated.seal("secret", server_id="s", field="token").key_id == "k2"
    assert rotated.open(before, server_id="s", field="token") == "secret"
    # Tried again, until whoever runs the program has put it back.
    with pytest.raises(Unavailable, match="k1"):
        Sealer(SealSettings(keys={"k2": new})).open(before, server_id="s", field="token")


@pytest.mark.parametrize("keys", [{}, {"k1": SecretStr(base64.b64encode(b"short").decode())}])
def test_no_key_or_a_short_one_is_refused_with_what_to_do(keys: dict[str, SecretStr]) -> None:
    with pytest.raises(ValueError, match="openssl rand"):
        Sealer(SealSettings(keys=keys))
