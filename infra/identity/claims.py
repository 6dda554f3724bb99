"""What Keycloak's claims mean: the scope that a token was asked with, and the roles that it gives there.

The realm (``infra/deploy/realm.py``) writes the claims; the same reading holds for an access token's payload and
for an introspection answer (RFC 7662), which has the roles as they are at that moment.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from infra.domain.errors import NotFound, Unauthorized
from infra.domain.identity import IMPLIED, ROLES, Identity

REFUSED = "The request you have made requires authentication."
BASE_SCOPE = "kilonova"
"""A scope that adds nothing to what every token has: Keycloak refuses a request that names none."""
_UUID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def public_id(keycloak_id: str) -> str:
    """An id as Keystone writes it: 32 hexadecimal digits, from Keycloak's UUID."""
    return UUID(keycloak_id).hex


def keycloak_id(given: str, what: str) -> str:
    """The other way; both forms are taken, as an OpenID Connect client knows the one with hyphens.

    Raises:
        NotFound: no ``what`` can have such an id. Nothing else may reach a path of Keycloak's.
    """
    if _UUID.fullmatch(given) is None:
        raise NotFound(f"Could not find {what}: {given[:64]}.")
    return str(UUID(given))


@dataclass(frozen=True)
class Scope:
    """Where a token is good. Neither a project nor the system: unscoped."""

    project_id: str | None = None
    system: bool = False
    roles: frozenset[str] = frozenset()


def scope_of(claims: Mapping[str, Any], client: str) -> Scope:
    """Read the scope and the roles in it, without those they imply.

    Raises:
        Unauthorized: scoped to several places at once, or to one where the user has no role (any more).
    """
    asked = str(claims.get("scope", "")).split()
    in_project = any(part.partition(":")[0] == "organization" for part in asked)
    in_system = "system" in asked
    if in_project and in_system:
        raise Unauthorized(REFUSED)
    if in_project:
        organizations = claims.get("organization")
        if not isinstance(organizations, dict) or len(organizations) != 1:
            raise Unauthorized(REFUSED)
        (organization,) = organizations.values()
        granted = organization.get("resource_access", {}).get(client, {}).get("roles", ())
        return Scope(public_id(organization["id"]), False, _held(granted))
    if in_system:
        return Scope(None, True, _held(claims.get("system", {}).get("roles", ())))
    return Scope()


def _held(granted: Iterable[str]) -> frozenset[str]:
    roles = frozenset(granted) & frozenset(ROLES)
    if not roles:
        raise Unauthorized(REFUSED)
    return roles


def with_implied(roles: Iterable[str]) -> frozenset[str]:
    held = frozenset(roles)
    return held.union(*(IMPLIED.get(role, ()) for role in held))


def user_name(claims: Mapping[str, Any]) -> str:
    """The name as it was spelled when it was given; Keycloak's own is in lower case."""
    return spelling(str(claims.get("preferred_username", "")), claims.get("name"))


def spelling(name: str, spelled: Any) -> str:
    return spelled if isinstance(spelled, str) and spelled.lower() == name.lower() else name


def _methods(token_id: str) -> tuple[str, ...]:
    """How the token was come by. The first letters of Keycloak's token ids name session, token and grant."""
    exchanged = token_id.partition(":")[0].endswith("te")
    return ("password", "token") if exchanged else ("password",)


def identity_of(claims: Mapping[str, Any], scope: Scope, project_name: str | None) -> Identity:
    return Identity(
        token_id=claims["jti"],
        user_id=public_id(claims["sub"]),
        user_name=user_name(claims),
        project_id=scope.project_id,
        project_name=project_name,
        system=scope.system,
        roles=with_implied(scope.roles),
        issued_at=datetime.fromtimestamp(claims["iat"], UTC),
        expires_at=datetime.fromtimestamp(claims["exp"], UTC),
        methods=_methods(claims["jti"]),
    )
