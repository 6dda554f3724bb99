"""Tokens, good and bad in every way we know."""

import base64
import hashlib
import hmac
import json
import time
import uuid
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from infra.identity.fake import CLIENT, ISSUER, KEY_ID, sign, signing_key

PROJECT = uuid.uuid4()
USER = uuid.uuid4()


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    organization = {"id": str(PROJECT), "resource_access": {CLIENT: {"roles": ["member"]}}}
    whole = {
        "typ": "Bearer",
        "iss": ISSUER,
        "aud": CLIENT,
        "sub": str(USER),
        "jti": str(uuid.uuid4()),
        "iat": now,
        "exp": now + 60,
        "scope": "kilonova organization:p",
        "organization": {"p": organization},
        "preferred_username": "demo",
    } | changes
    return {name: value for name, value in whole.items() if value is not None}


def _encoded(part: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def _unsigned(algorithm: str) -> str:
    return f"{_encoded({'alg': algorithm, 'kid': KEY_ID, 'typ': 'JWT'})}.{_encoded(claims())}."


def _public_key_as_secret() -> str:
    public = signing_key().public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    signed = f"{_encoded({'alg': 'HS256', 'kid': KEY_ID})}.{_encoded(claims())}"
    mac = hmac.new(pem, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def forged() -> str:
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return jwt.encode(claims(), stranger, "RS256", headers={"kid": KEY_ID})


def own_key_in_header() -> str:
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(stranger.public_key()))
    return jwt.encode(claims(), stranger, "RS256", headers={"kid": "mine", "jwk": key, "jku": "http://127.0.0.1:1/"})


def changed_payload() -> str:
    header, _, signature = sign(claims()).split(".")
    return f"{header}.{_encoded(claims(sub=str(uuid.uuid4())))}.{signature}"


def _nested_header() -> str:
    nested = base64.urlsafe_b64encode(b"[" * 6000).decode()
    return f"{nested}.e30.e30"


BAD = {
    "expired": lambda: sign(claims(exp=int(time.time()) - 1)),
    "forged": forged,
    "own key in the header": own_key_in_header,
    "payload changed": changed_payload,
    "no algorithm": lambda: _unsigned("none"),
    "no signature": lambda: _unsigned("RS256"),
    "the public key as a shared secret": _public_key_as_secret,
    "another algorithm of the same key": lambda: jwt.encode(claims(), signing_key(), "RS512", headers={"kid": KEY_ID}),
    "another realm": lambda: sign(claims(iss="http://127.0.0.1/realms/master")),
    "no issuer": lambda: sign(claims(iss=None)),
    "another audience": lambda: sign(claims(aud="account")),
    "no audience": lambda: sign(claims(aud=None)),
    "an id token": lambda: sign(claims(typ="ID")),
    "a logout token": lambda: sign(claims(typ="Logout")),
    "no kind": lambda: sign(claims(typ=None)),
    "no expiry": lambda: sign(claims(exp=None)),
    "not valid yet": lambda: sign(claims(nbf=int(time.time()) + 60)),
    "truncated": lambda: sign(claims())[:-5],
    "a part missing": lambda: ".".join(sign(claims()).split(".")[:2]),
    "empty": lambda: "",
    "not a token": lambda: "gAAAAABf",
    "not ASCII": lambda: "é.é.é",
    "too long": lambda: sign(claims(filler="x" * 9000)),
    "deeply nested": _nested_header,
    "two projects": lambda: sign(claims(organization={"p": {"id": str(PROJECT)}, "q": {"id": str(PROJECT)}})),
    "project and system": lambda: sign(claims(scope="system organization:p")),
    "no role in the project": lambda: sign(claims(organization={"p": {"id": str(PROJECT), "groups": []}})),
    "project asked for and not given": lambda: sign(claims(organization=None)),
    "system asked for and not given": lambda: sign(claims(scope="system", organization=None)),
    "roles of another client": lambda: sign(
        claims(organization={"p": {"id": str(PROJECT), "resource_access": {"other": {"roles": ["admin"]}}}})
    ),
    "an unknown role": lambda: sign(
        claims(organization={"p": {"id": str(PROJECT), "resource_access": {CLIENT: {"roles": ["root"]}}}})
    ),
}
