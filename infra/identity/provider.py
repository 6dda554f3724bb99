"""The door to identity. Keycloak stands behind it (``tokens.py``, ``keycloak.py``), and a fake."""

from collections.abc import Sequence
from typing import Protocol

from infra.domain.identity import Identity, Project, User


class TokenVerifier(Protocol):
    async def verify(self, token: str, *, allow_expired: bool = False) -> Identity:
        """Check a token: signature by the realm's keys (algorithm pinned), issuer, audience, expiry, revocation.

        ``allow_expired`` accepts a token whose only fault is its age; the caller has checked that a valid
        service token came with it.

        Raises:
            Unauthorized: the token is not valid; the message doesn't say why.
            Unavailable: Keycloak does not answer and the token can't be judged without it.
        """
        ...


class ServiceTokens(Protocol):
    """Gives a worker its own token (client credentials), renewed before it expires."""

    async def token(self) -> str: ...


class IdentityProvider(TokenVerifier, Protocol):
    """What the Keystone facade asks; every user, project and role lives in Keycloak."""

    async def password_token(
        self, user: str, password: str, *, by_id: bool = False, project: str | None = None, system: bool = False
    ) -> str:
        """Sign in. ``project`` is a project's id or name. Unauthorized if anything does not fit."""
        ...

    async def rescope(self, token: str, *, project: str | None = None, system: bool = False) -> str:
        """Exchange a token for one of another scope (standard token exchange)."""
        ...

    async def revoke(self, token: str) -> None:
        """End a token and what was exchanged from it; other tokens of the user stay."""
        ...

    async def user(self, user_id: str) -> User: ...

    async def users(self, name: str | None = None) -> list[User]: ...

    async def project(self, project_id: str) -> Project: ...

    async def projects(self, name: str | None = None) -> list[Project]: ...

    async def user_projects(self, user_id: str) -> list[Project]: ...

    async def create_project(
        self, name: str, description: str = "", enabled: bool = True, tags: Sequence[str] = ()
    ) -> Project: ...

    async def update_project(
        self,
        project_id: str,
        *,
        name: str | None = None,
        description: str | None = None,
        enabled: bool | None = None,
        tags: Sequence[str] | None = None,
    ) -> Project: ...

    async def delete_project(self, project_id: str) -> None: ...

    async def create_user(
        self, name: str, password: str | None, email: str | None = None, enabled: bool = True, description: str = ""
    ) -> User: ...

    async def update_user(
        self,
        user_id: str,
        *,
        name: str | None = None,
        password: str | None = None,
        email: str | None = None,
        enabled: bool | None = None,
        description: str | None = None,
    ) -> User: ...

    async def delete_user(self, user_id: str) -> None: ...

    async def roles_of(self, user_id: str, project_id: str | None) -> list[str]:
        """Roles assigned (not implied) on a project, or on the system where ``project_id`` is None."""
        ...

    async def grant(self, user_id: str, project_id: str | None, role: str) -> None:
        """Granted already is success. NotFound for an unknown user, project or role."""
        ...

    async def revoke_role(self, user_id: str, project_id: str | None, role: str) -> None:
        """NotFound if it is not granted."""
        ...

    async def close(self) -> None: ...

    async def assignments(
        self, *, user_id: str | None = None, project_id: str | None = None
    ) -> list[tuple[str, str | None, str]]:
        """(user id, project id or None for the system, role), as assigned."""
        ...
