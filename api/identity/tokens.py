"""Sign-in, and what is asked of tokens. Source: Identity API v3, "Authentication and token management"."""

from typing import Annotated, Any

from fastapi import FastAPI, Header, Query, Request, Response
from fastapi.responses import JSONResponse

from api.auth import MAX_TOKEN_BYTES, Context, ContextDep, token_of
from api.deps import Services, ServicesDep
from api.identity import views
from api.identity.catalog import catalog
from api.identity.policy import reads_everything, require
from api.identity.schemas import Auth, AuthBody, PasswordUser, ScopeRef
from infra.domain.errors import Forbidden, NotFound, Unauthorized
from infra.domain.identity import Identity

_REFUSED = "The request you have made requires authentication."
_METHODS = ("password", "token")

SubjectToken = Annotated[str | None, Header(alias="x-subject-token")]


def add_to(app: FastAPI) -> None:
    _sign_in(app)
    _token(app)
    _mine(app)


def _sign_in(app: FastAPI) -> None:
    @app.post("/v3/auth/tokens")
    async def create(body: AuthBody, request: Request, services: ServicesDep) -> Response:
        token = await _authenticated(services, body.auth)
        return await _issued(services, token, "nocatalog" in request.query_params)

    @app.api_route("/v3/OS-FEDERATION/identity_providers/{provider}/protocols/{protocol}/auth", methods=["GET", "POST"])
    async def federated(request: Request, services: ServicesDep) -> Response:
        """An OpenID Connect login: the access token is Keycloak's already, so there is nothing to map."""
        token = token_of(request)
        if token is None:
            raise Unauthorized(_REFUSED)
        return await _issued(services, await services.identity.rescope(token), False)


async def _issued(services: Services, token: str, without_catalog: bool) -> Response:
    identity = await services.identity.verify(token)
    body = views.token(services.settings, identity, with_catalog=not without_catalog)
    return JSONResponse(body, 201, {"X-Subject-Token": token, "Vary": "X-Auth-Token"})


async def _authenticated(services: Services, auth: Auth) -> str:
    given = auth.identity
    if any(method not in _METHODS for method in given.methods):
        raise Unauthorized("Attempted to authenticate with an unsupported method.")
    project, system = _scope(auth.scope)
    if "token" in given.methods and given.token is not None:
        token = await services.identity.rescope(given.token.id.get_secret_value(), project=project, system=system)
        if "password" in given.methods and given.password is not None:
            await _same_user(services, token, given.password.user)
    elif given.methods == ["password"] and given.password is not None:
        token = await _by_password(services, given.password.user, project, system)
    else:
        raise Unauthorized(_REFUSED)
    await _confirm(services, token, auth.scope)
    return token


async def _by_password(services: Services, user: PasswordUser, project: str | None, system: bool) -> str:
    if not user.in_our_domain():
        raise Unauthorized(_REFUSED)
    return await services.identity.password_token(
        user.id or user.name or "",
        user.password.get_secret_value(),
        by_id=user.id is not None,
        project=project,
        system=system,
    )


async def _same_user(services: Services, token: str, user: PasswordUser) -> None:
    other = await services.identity.verify(await _by_password(services, user, None, False))
    if other.user_id != (await services.identity.verify(token)).user_id:
        raise Unauthorized(_REFUSED)


def _scope(scope: ScopeRef | str | None) -> tuple[str | None, bool]:
    """(project's id or name, system?)"""
    if scope is None or isinstance(scope, str):
        return None, False
    if scope.trust is not None or scope.domain is not None:
        # There are no trusts, and nobody can have a role on the domain.
        raise Unauthorized(_REFUSED)
    if scope.project is None:
        return None, scope.system is not None
    if not scope.project.in_our_domain():
        raise Unauthorized(_REFUSED)
    return scope.project.id or scope.project.name, False


async def _confirm(services: Services, token: str, scope: ScopeRef | str | None) -> None:
    """A project may be named like another's id: what was given as an id has to be one."""
    if isinstance(scope, ScopeRef) and scope.project is not None and scope.project.id is not None:
        identity = await services.identity.verify(token)
        if identity.project_id != scope.project.id.replace("-", "").lower():
            raise Unauthorized(_REFUSED)


def _token(app: FastAPI) -> None:
    @app.api_route("/v3/auth/tokens", methods=["GET", "HEAD"])
    async def show(
        context: ContextDep,
        services: ServicesDep,
        request: Request,
        x_subject_token: SubjectToken = None,
        allow_expired: Annotated[bool, Query()] = False,
    ) -> Response:
        identity = await _subject(services, context, x_subject_token, allow_expired)
        require(identity.user_id == context.user_id or reads_everything(context))
        body = views.token(services.settings, identity, with_catalog="nocatalog" not in request.query_params)
        return JSONResponse(body, 200, {"X-Subject-Token": x_subject_token or "", "Vary": "X-Auth-Token"})

    @app.delete("/v3/auth/tokens")
    async def revoke(context: ContextDep, services: ServicesDep, x_subject_token: SubjectToken = None) -> Response:
        identity = await _subject(services, context, x_subject_token, False)
        require(identity.user_id == context.user_id or context.is_admin)
        await services.identity.revoke(x_subject_token or "")
        return Response(status_code=204, headers={"Vary": "X-Auth-Token"})


async def _subject(services: Services, context: Context, token: str | None, allow_expired: bool) -> Identity:
    """The token asked about. NotFound if it is not valid: it is not the caller who is refused."""
    if allow_expired and not context.is_service:
        raise Forbidden("Only services may ask about expired tokens.")
    try:
        if not token or len(token) > MAX_TOKEN_BYTES:
            raise Unauthorized(_REFUSED)
        return await services.identity.verify(token, allow_expired=allow_expired)
    except Unauthorized as error:
        raise NotFound("Could not find token.") from error


def _mine(app: FastAPI) -> None:
    @app.api_route("/v3/auth/catalog", methods=["GET", "HEAD"])
    async def show_catalog(context: ContextDep, services: ServicesDep) -> dict[str, Any]:
        if not context.identity.roles:
            raise Forbidden("An unscoped token has no catalog.")
        return views.collection(services.settings, "catalog", "/auth/catalog", catalog(services.settings))

    @app.api_route("/v3/auth/projects", methods=["GET", "HEAD"])
    @app.api_route("/v3/OS-FEDERATION/projects", methods=["GET", "HEAD"])
    async def projects(context: ContextDep, services: ServicesDep) -> dict[str, Any]:
        found = [item for item in await services.identity.user_projects(context.user_id) if item.enabled]
        settings = services.settings
        return views.collection(
            settings, "projects", "/auth/projects", [views.project(settings, item) for item in found]
        )

    @app.api_route("/v3/auth/domains", methods=["GET", "HEAD"])
    async def domains(context: ContextDep, services: ServicesDep) -> dict[str, Any]:
        """None: roles are given on projects and the system only."""
        return views.collection(services.settings, "domains", "/auth/domains", [])

    @app.api_route("/v3/auth/system", methods=["GET", "HEAD"])
    async def system(context: ContextDep, services: ServicesDep) -> dict[str, Any]:
        roles = await services.identity.roles_of(context.user_id, None)
        return views.collection(services.settings, "system", "/auth/system", [{"all": True}] if roles else [])
