from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from infra.db import keypairs, quotas
from tests.api.compute.conftest import ALICE, World


def public(key: Any) -> str:
    text: str = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return text


KEYS = {
    "rsa": public(rsa.generate_private_key(public_exponent=65537, key_size=2048)),
    "ecdsa": public(ec.generate_private_key(ec.SECP256R1())),
    "ed25519": public(ed25519.Ed25519PrivateKey.generate()),
}


async def test_a_generated_pair_is_one_and_its_private_half_is_not_kept(world: World) -> None:
    made = (await world.call("POST", "/v2.1/os-keypairs", {"keypair": {"name": "k"}}, status=200)).json()["keypair"]
    assert set(made) == {"name", "public_key", "fingerprint", "user_id", "private_key"}
    private: Any = load_pem_private_key(made["private_key"].encode(), None)
    assert made["public_key"].startswith(public(private))
    shown = (await world.get("/os-keypairs/k"))["keypair"]
    fields = {"name", "public_key", "fingerprint", "user_id", "id", "deleted", "created_at", "updated_at", "deleted_at"}
    assert set(shown) == fields
    assert shown["fingerprint"] == made["fingerprint"]
    assert shown["fingerprint"].count(":") == 15


@pytest.mark.parametrize("kind", KEYS)
async def test_keys_are_imported(lite: World, kind: str) -> None:
    body = {"keypair": {"name": "k", "public_key": f"{KEYS[kind]} alice@example.org\n"}}
    made = (await lite.call("POST", "/v2.1/os-keypairs", body, version="2.2", status=201)).json()["keypair"]
    assert made["type"] == "ssh"
    assert made["public_key"] == f"{KEYS[kind]} alice@example.org"
    assert "private_key" not in made


async def test_certificates_are_made_and_imported(world: World) -> None:
    how: dict[str, Any] = {"version": "2.2"}
    body: dict[str, Any] = {"keypair": {"name": "made", "type": "x509"}}
    made = (await world.call("POST", "/v2.1/os-keypairs", body, status=201, **how)).json()["keypair"]
    certificate = load_pem_x509_certificate(made["public_key"].encode())
    private: Any = load_pem_private_key(made["private_key"].encode(), None)
    assert private.public_key() == certificate.public_key()
    assert made["type"] == "x509"
    assert made["fingerprint"].replace(":", "") == certificate.fingerprint(SHA1()).hex()
    body = {"keypair": {"name": "brought", "type": "x509", "public_key": "words before\n" + made["public_key"]}}
    brought = (await world.call("POST", "/v2.1/os-keypairs", body, status=201, **how)).json()["keypair"]
    assert brought["public_key"] == made["public_key"]
    assert "private_key" not in brought
    shown = (await world.get("/os-keypairs", **how))["keypairs"]
    assert {entry["keypair"]["type"] for entry in shown} == {"x509"}


@pytest.mark.parametrize("text", ["", KEYS["rsa"], "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
async def test_what_is_no_certificate_is_refused(lite: World, text: str) -> None:
    body = {"keypair": {"name": "k", "type": "x509", "public_key": text}}
    await lite.call("POST", "/v2.1/os-keypairs", body, version="2.2", status=400)
    assert lite.db.read_now(keypairs.count, "alice-id") == 0


async def test_codes_and_fields_follow_the_version(world: World) -> None:
    body = {"keypair": {"name": "k", "public_key": KEYS["rsa"]}}
    await world.call("POST", "/v2.1/os-keypairs", body, status=200)
    await world.call("POST", "/v2.1/os-keypairs", body, status=409)
    assert set((await world.get("/os-keypairs"))["keypairs"][0]["keypair"]) == {"name", "public_key", "fingerprint"}
    assert "type" in (await world.get("/os-keypairs", version="2.2"))["keypairs"][0]["keypair"]
    await world.call("DELETE", "/v2.1/os-keypairs/k", status=202)
    await world.call("DELETE", "/v2.1/os-keypairs/k", version="2.2", status=404)
    await world.call("POST", "/v2.1/os-keypairs", {"keypair": {"name": "k"}}, version="2.92", status=400)
    await world.call("GET", "/v2.1/os-keypairs/k", status=404)


@pytest.mark.parametrize(
    "keypair",
    [
        {},
        {"name": ""},
        {"name": None},
        {"name": "a/b"},
        {"name": "../a"},
        {"name": "a\nb"},
        {"name": " a"},
        {"name": "<b>"},
        {"name": "k@example.org"},
        {"name": "x" * 256},
        {"name": "k", "public_key": ""},
        {"name": "k", "public_key": "ssh-rsa JUNK nova@ubuntu"},
        {"name": "k", "public_key": "ssh-rsa"},
        {"name": "k", "public_key": KEYS["rsa"] + "\n" + KEYS["ed25519"]},
        {"name": "k", "public_key": KEYS["rsa"] + " \x1b[2J"},
        {"name": "k", "public_key": KEYS["rsa"].replace("ssh-rsa", "ssh-ed25519")},
        {"name": "k", "public_key": 'command="rm -rf /" ' + KEYS["rsa"]},
        {"name": "k", "public_key": KEYS["rsa"] + " " + "x" * 16384},
        {"name": "k", "type": "ssh"},
        {"name": "k", "user_id": "bob-id"},
        {"name": "k", "unknown": 1},
    ],
)
async def test_bad_keys_are_refused(lite: World, keypair: dict[str, Any]) -> None:
    await lite.call("POST", "/v2.1/os-keypairs", {"keypair": keypair}, status=400)
    assert lite.db.read_now(keypairs.count, "alice-id") == 0


async def test_a_user_sees_own_keys_and_an_administrator_all(world: World) -> None:
    await world.call("POST", "/v2.1/os-keypairs", {"keypair": {"name": "k", "public_key": KEYS["rsa"]}}, status=200)
    await world.call("GET", "/v2.1/os-keypairs/k", by="bob", status=404)
    how: dict[str, Any] = {"version": "2.10"}
    await world.call("GET", "/v2.1/os-keypairs?user_id=alice-id", by="bob", status=403, **how)
    shown = await world.get("/os-keypairs?user_id=alice-id", by="admin", **how)
    assert [entry["keypair"]["name"] for entry in shown["keypairs"]] == ["k"]
    body = {"keypair": {"name": "k2", "public_key": KEYS["ed25519"], "user_id": "alice-id"}}
    await world.call("POST", "/v2.1/os-keypairs", body, by="bob", status=403, **how)
    await world.call("POST", "/v2.1/os-keypairs", body, by="admin", status=201, **how)
    assert (await world.get("/os-keypairs/k2"))["keypair"]["user_id"] == "alice-id"
    await world.call("POST", "/v2.1/os-keypairs", body, by="reader", status=403)


async def test_keys_are_limited_and_paged(world: World) -> None:
    world.db.write_now(quotas.put, ALICE, {"key_pairs": 2})
    for name in ("a", "b"):
        body = {"keypair": {"name": name, "public_key": KEYS["rsa"]}}
        await world.call("POST", "/v2.1/os-keypairs", body, status=200)
    body = {"keypair": {"name": "c", "public_key": KEYS["rsa"]}}
    await world.call("POST", "/v2.1/os-keypairs", body, status=403)
    first = await world.get("/os-keypairs?limit=1", version="2.35")
    assert [entry["keypair"]["name"] for entry in first["keypairs"]] == ["a"]
    path = first["keypairs_links"][0]["href"].split("/compute/v2.1", 1)[1]
    second = await world.get(path, version="2.35")
    assert [entry["keypair"]["name"] for entry in second["keypairs"]] == ["b"]
