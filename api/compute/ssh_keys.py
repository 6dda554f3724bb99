"""SSH keys: reading those that users bring, and making new ones."""

import base64
import binascii
import hashlib

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_public_key,
)

from infra.domain.errors import BadRequest

MAX_LENGTH = 16384
_RSA_BITS = 2048


def read(text: str) -> tuple[str, str]:
    """A public key in OpenSSH's form, on one line, and its fingerprint.

    Raises:
        BadRequest: it is no such key. More than one line would smuggle further keys into ``authorized_keys``.
    """
    key = text.strip()
    if len(key) > MAX_LENGTH or any(ord(character) < 32 or ord(character) == 127 for character in key):
        raise BadRequest("Keypair data is invalid: the public key must be one line.")
    try:
        load_ssh_public_key(key.encode())
        return key, fingerprint(key)
    except (ValueError, IndexError, binascii.Error, UnsupportedAlgorithm):
        raise BadRequest("Keypair data is invalid: failed to generate fingerprint") from None


def generate() -> tuple[str, str, str]:
    """(private key in PEM, public key, fingerprint); RSA, which every SSH client and guest understands."""
    made = rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS)
    private = made.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    public = made.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() + " Generated-by-Nova"
    return private, public, fingerprint(public)


def fingerprint(public_key: str) -> str:
    """MD5 of the key as pairs of hex digits, the form that the compute API shows; it protects nothing."""
    data = base64.b64decode(public_key.split()[1], validate=True)
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))
