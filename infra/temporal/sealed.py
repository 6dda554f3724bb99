"""Secrets that enter histories are sealed field by field, so that the rest stays readable in the Temporal UI.

AES-256-GCM; the associated data binds a sealed value to its server and field, so that it can't be moved to another.
Sealed at the edge, opened only in the activity that uses it; workflow code never opens one, so that a replay
needs no keys. The first key seals, all keys open. A rotation adds the new key at the end first, for all to open with,
then puts it in front; a retired key is kept for the longest open run, and for servers whose user data it sealed.
"""

import base64
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import BaseModel, ConfigDict

from infra.domain.errors import KilonovaError, Unavailable
from infra.settings import SealSettings


class Sealed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    key_id: str
    nonce: str
    ciphertext: str


class CannotOpen(KilonovaError):
    code = 500


class Sealer:
    """Seals and opens with the keys of the settings.

    Raises:
        ValueError: there is no key, or one is not 32 bytes in base64.
    """

    def __init__(self, settings: SealSettings) -> None:
        self._keys: dict[str, AESGCM] = {}
        for key_id, value in settings.keys.items():
            raw = base64.b64decode(value.get_secret_value(), validate=True)
            if len(raw) != 32:
                raise ValueError(
                    f"The seal key {key_id} is not 32 bytes in base64: make one with `openssl rand -base64 32`."
                )
            self._keys[key_id] = AESGCM(raw)
        if not self._keys:
            raise ValueError(
                "There is no seal key: set seal.keys in kilonova.toml (`openssl rand -base64 32` makes one)."
            )

    def seal(self, value: str, *, server_id: str, field: str) -> Sealed:
        key_id, key = next(iter(self._keys.items()))
        nonce = os.urandom(12)
        ciphertext = key.encrypt(nonce, value.encode(), _binding(server_id, field))
        return Sealed(
            key_id=key_id, nonce=base64.b64encode(nonce).decode(), ciphertext=base64.b64encode(ciphertext).decode()
        )

    def open(self, sealed: Sealed, *, server_id: str, field: str) -> str:
        """
        Raises:
            Unavailable: the key is not here. It is tried again: another process may have it, or this one soon.
            CannotOpen: the value belongs to something else, or was changed.
        """
        key = self._keys.get(sealed.key_id)
        if key is None:
            raise Unavailable(
                f"The seal key {sealed.key_id} is not in this program's settings: put it into [seal.keys]."
            )
        try:
            nonce, ciphertext = base64.b64decode(sealed.nonce), base64.b64decode(sealed.ciphertext)
            return key.decrypt(nonce, ciphertext, _binding(server_id, field)).decode()
        except InvalidTag:
            raise CannotOpen("A sealed value does not belong to this server and field.") from None

    def open_if_any(self, sealed: Sealed | None, *, server_id: str, field: str) -> str | None:
        """As ``open``; None where there is nothing sealed."""
        return None if sealed is None else self.open(sealed, server_id=server_id, field=field)


def _binding(server_id: str, field: str) -> bytes:
    return f"{server_id}\0{field}".encode()
