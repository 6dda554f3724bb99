"""Which tokens are believed, how often Keycloak is asked, and what is done without it."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import jwt
import pytest

from infra.domain.errors import Unauthorized, Unavailable
from infra.identity import tokens
from infra.identity.claims import Scope
from infra.identity.fake import CLIENT, ISSUER, FakeIdentity, sign, signing_key
from tests.unit.identity.samples import BAD, PROJECT, USER, changed_payload, claims, forged, own_key_in_header


class Realm:
    """An authority that counts what it is asked, and answers with the token's own claims and ``now``."""

    def __init__(self) -> None:
        self.introspections = 0
        self.asked = asyncio.Event()
        self.key_requests = 0
        self.now: dict[str, Any] = {"active": True}
        self.roles = frozenset({"member"})
        self.down = False

    async def keys(self) -> Mapping[str, Any]:
        self.key_requests += 1
        return await FakeIdentity().keys()

    async def introspect(self, token: str) -> Mapping[str, Any]:
        self.introspections += 1
        self.asked.set()
        await asyncio.sleep(0)
        if self.down:
            raise Unavailable("down")
        read: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
        return read | self.now

    async def standing(self, user_id: str, scope: Scope) -> Scope:
        if not self.roles:
            raise Unauthorized("no")
        return Scope(scope.project_id, scope.system, self.roles)

    async def project_name(self, project_id: str) -> str:
        return "the project"


@pytest.fixture
def realm() -> Realm:
    return Realm()


@pytest.fixture
def verifier(realm: Realm) -> tokens.Tokens:
    return tokens.Tokens(realm, issuer=ISSUER, client=CLIENT, remember_seconds=60)


async def test_a_good_token(verifier: tokens.Tokens) -> None:
    identity = await verifier.verify(sign(claims()))
    assert (identity.user_id, identity.project_id) == (USER.hex, PROJECT.hex)
    assert identity.roles == {"member", "reader"}
    assert identity.project_name == "the project"


@pytest.mark.parametrize("kind", BAD)
async def test_bad_tokens(kind: str, verifier: tokens.Tokens) -> None:
    token = BAD[kind]()
    with pytest.raises(Unauthorized) as refused:
        await verifier.verify(token)
    # The message gives nothing away.
    assert refused.value.message == "The request you have made requires authentication."


async def test_an_unscoped_token_is_one_that_asked_for_nothing(verifier: tokens.Tokens) -> None:
    identity = await verifier.verify(sign(claims(scope="kilonova openid profile", organization=None)))
    assert (identity.project_id, identity.system, identity.roles) == (None, False, frozenset())


async def test_claims_without_their_scope_give_nothing(verifier: tokens.Tokens) -> None:
    identity = await verifier.verify(sign(claims(scope="kilonova", system={"roles": ["admin"]})))
    assert identity.roles == frozenset()


async def test_bad_tokens_do_not_reach_keycloak(realm: Realm, verifier: tokens.Tokens) -> None:
    for make in (forged, changed_payload, own_key_in_header):
        for _ in range(3):
            with pytest.raises(Unauthorized):
                await verifier.verify(make())
    for number in range(20):
        strange = jwt.encode(claims(), signing_key(), "RS256", headers={"kid": f"k{number}"})
        with pytest.raises(Unauthorized):
            await verifier.verify(strange)
    assert (realm.key_requests, realm.introspections) == (1, 0)


async def test_keycloak_is_asked_once_for_a_token_used_often(realm: Realm, verifier: tokens.Tokens) -> None:
    token = sign(claims())
    await asyncio.gather(*(verifier.verify(token) for _ in range(50)))
    await verifier.verify(token)
    assert realm.introspections == 1
    verifier.forget()
    await verifier.verify(token)
    assert realm.introspections == 2


async def test_a_caller_that_hangs_up_does_not_fail_the_others(realm: Realm, verifier: tokens.Tokens) -> None:
    token = sign(claims())
    first = asyncio.create_task(verifier.verify(token))
    second = asyncio.create_task(verifier.verify(token))
    await realm.asked.wait()
    first.cancel()
    assert (await second).user_id == USER.hex
    assert realm.introspections == 1


async def test_a_hot_token_costs_little(verifier: tokens.Tokens) -> None:
    token = sign(claims())
    await verifier.verify(token)
    began = time.process_time()
    for _ in range(2000):
        await verifier.verify(token)
    assert (time.process_time() - began) / 2000 < 0.0001


async def test_revoked_tokens_are_refused_and_remembered(realm: Realm, verifier: tokens.Tokens) -> None:
    realm.now = {"active": False}
    token = sign(claims())
    for _ in range(3):
        with pytest.raises(Unauthorized):
            await verifier.verify(token)
    assert realm.introspections == 1


async def test_roles_come_from_the_answer_not_from_the_token(realm: Realm, verifier: tokens.Tokens) -> None:
    realm.now["organization"] = {"p": {"id": str(PROJECT), "resource_access": {CLIENT: {"roles": ["reader"]}}}}
    assert (await verifier.verify(sign(claims()))).roles == {"reader"}


async def test_keycloak_down_is_not_the_callers_fault_and_not_remembered(realm: Realm, verifier: tokens.Tokens) -> None:
    token = sign(claims())
    realm.down = True
    with pytest.raises(Unavailable):
        await verifier.verify(token)
    realm.down = False
    assert await verifier.verify(token)


async def test_what_is_revoked_while_it_is_judged_is_not_remembered(realm: Realm, verifier: tokens.Tokens) -> None:
    token = sign(claims())
    judging = asyncio.create_task(verifier.verify(token))
    await realm.asked.wait()
    verifier.forget()
    await judging
    await verifier.verify(token)
    assert realm.introspections == 2


async def test_a_token_just_issued_is_known(realm: Realm, verifier: tokens.Tokens) -> None:
    token = sign(claims())
    assert await verifier.issued(token, verifier.generation) == await verifier.verify(token)
    assert realm.introspections == 0
    late, generation = sign(claims()), verifier.generation
    verifier.forget()
    await verifier.issued(late, generation)
    await verifier.verify(late)
    assert realm.introspections == 1


class TestExpired:
    """What outlives its token goes on beside a service token, with the roles of now."""

    def token(self, age: int = 10) -> str:
        return sign(claims(exp=int(time.time()) - age))

    async def test_is_accepted_if_asked_for(self, realm: Realm, verifier: tokens.Tokens) -> None:
        token = self.token()
        identity = await verifier.verify(token, allow_expired=True)
        assert (identity.user_id, identity.project_id) == (USER.hex, PROJECT.hex)
        assert realm.introspections == 0
        with pytest.raises(Unauthorized):
            await verifier.verify(token)

    async def test_has_the_roles_of_now(self, realm: Realm, verifier: tokens.Tokens) -> None:
        realm.roles = frozenset({"reader"})
        assert (await verifier.verify(self.token(), allow_expired=True)).roles == {"reader"}
        realm.roles = frozenset()
        with pytest.raises(Unauthorized):
            await verifier.verify(self.token(), allow_expired=True)

    async def test_has_an_end(self, verifier: tokens.Tokens) -> None:
        with pytest.raises(Unauthorized):
            await verifier.verify(self.token(tokens.ALLOWED_AGE_SECONDS + 1), allow_expired=True)

    async def test_must_be_good_otherwise(self, verifier: tokens.Tokens) -> None:
        for bad in ("forged", "another audience", "an id token", "no algorithm", "another realm"):
            with pytest.raises(Unauthorized):
                await verifier.verify(BAD[bad](), allow_expired=True)

    async def test_a_revoked_one_that_has_not_expired_stays_revoked(
        self, realm: Realm, verifier: tokens.Tokens
    ) -> None:
        realm.now = {"active": False}
        with pytest.raises(Unauthorized):
            await verifier.verify(sign(claims()), allow_expired=True)

    async def test_while_it_is_remembered(
        self, realm: Realm, verifier: tokens.Tokens, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token = sign(claims())
        await verifier.verify(token)
        later = time.time() + 61
        monkeypatch.setattr(time, "time", lambda: later)
        with pytest.raises(Unauthorized):
            await verifier.verify(token)
        assert (await verifier.verify(token, allow_expired=True)).user_id == USER.hex
