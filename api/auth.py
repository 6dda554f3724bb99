"""Token to context: who asks, for which project, with which roles.

``X-Auth-Token`` and ``Authorization: Bearer`` are both accepted, so that an OpenID Connect login works too. A worker
sends its own token as ``X-Service-Token`` beside the user's: with it an expired user token is still accepted,
since a boot may outlive it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request

from api.deps import Services, services
from infra.domain.errors import Forbidden, Unauthorized
from infra.domain.identity import Identity

MAX_TOKEN_BYTES = 16384
_REFUSED = "The request you have made requires authentication."


@dataclass(frozen=True)
class Context:
    identity: Identity
    token: str
    request_id: str
    is_service: bool
    """True if a worker's valid service token came with the request, or is the request's own token."""
    idempotency_key: str | None = None

    @property
    def user_id(self) -> str:
        return self.identity.user_id

    @property
    def project_id(self) -> str:
        """The project that the token is scoped to.

        Raises:
            Forbidden: it is scoped to none.
        """
        if self.identity.project_id is None:
            raise Forbidden("The token is not scoped to a project.")
        return self.identity.project_id

    @property
    def is_admin(self) -> bool:
        return self.identity.has("admin")

    def sees(self, project_id: str | None) -> bool:
        """True if this caller may see things of ``project_id``."""
        return self.is_admin or self.is_service or self.identity.project_id == project_id

    def require(self, role: str) -> None:
        if not self.identity.has(role) and not (self.is_service and self.identity.has("service")):
            raise Forbidden("You are not authorized to perform the requested action.")


def token_of(request: Request) -> str | None:
    """The user's token as sent, or None."""
    token = request.headers.get("x-auth-token")
    if token is None:
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        token = value.strip() if scheme.lower() == "bearer" else None
    return token or None


async def authenticate(request: Request, found: Annotated[Services, Depends(services)]) -> Context:
    """Raises Unauthorized if there is no valid token."""
    token = token_of(request)
    if token is None or len(token) > MAX_TOKEN_BYTES:
        raise Unauthorized(_REFUSED)
    by_service = False
    service_token = request.headers.get("x-service-token")
    if service_token and len(service_token) <= MAX_TOKEN_BYTES:
        by_service = (await found.identity.verify(service_token)).has("service")
    identity = await found.identity.verify(token, allow_expired=by_service)
    is_service = by_service or identity.has("service")
    key = request.headers.get("idempotency-key") if is_service else None
    return Context(identity, token, request.scope["request_id"], is_service, key)


ContextDep = Annotated[Context, Depends(authenticate)]


def role(name: str) -> Any:
    """A dependency that yields the context of a caller who has this role (or is a worker)."""

    async def checked(context: ContextDep) -> Context:
        context.require(name)
        return context

    dependency: Callable[..., Awaitable[Context]] = checked
    return Depends(dependency)


ReaderDep = Annotated[Context, role("reader")]
MemberDep = Annotated[Context, role("member")]
AdminDep = Annotated[Context, role("admin")]


async def service_only(context: ContextDep) -> Context:
    """For calls that only workers make."""
    if not context.is_service:
        raise Forbidden("Only Kilonova's own services may do this.")
    return context


ServiceDep = Annotated[Context, Depends(service_only)]
