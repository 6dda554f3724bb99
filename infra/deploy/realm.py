"""The Keycloak realm of an installation, as a realm file that Keycloak imports on its first start.

Projects are organizations, and a role on a project is membership of a group of that organization (Keycloak
guides, "Managing organizations"). A token says what it is good for by the scopes it was asked with:

* ``organization:<alias>``: that project, with the roles of the user's groups in it;
* ``system``: the system, with the roles given to the user directly. Keycloak refuses the scope to users without any;
* neither: unscoped, without roles.
"""

import json

from infra.domain.identity import ROLES
from infra.identity.claims import BASE_SCOPE
from infra.settings import Settings

TOKEN_SECONDS = 3600
_LOGIN_SECONDS = 10 * 3600
_OPTIONAL_SCOPES = ["organization", "system", "profile", "email"]
_ADMINISTRATION = ["manage-organizations", "manage-users", "query-groups", "query-users", "view-clients", "view-users"]


def realm(settings: Settings) -> dict[str, object]:
    """The realm named in ``settings.keycloak``. Holds the clients' secrets."""
    client = settings.keycloak.client_id
    return {
        "realm": settings.keycloak.realm,
        "enabled": True,
        "organizationsEnabled": True,
        "defaultSignatureAlgorithm": "RS256",
        "sslRequired": "external",
        "registrationAllowed": False,
        "loginWithEmailAllowed": False,
        "duplicateEmailsAllowed": True,
        "editUsernameAllowed": True,
        **_lifespans(),
        **_brute_force(),
        "roles": {"client": {client: [{"name": name} for name in ROLES]}},
        "clientScopes": _scopes(client),
        "clientScopeMappings": {
            client: [{"clientScope": "system", "roles": list(ROLES)}],
            "realm-management": [{"client": client, "roles": _ADMINISTRATION}],
        },
        "defaultDefaultClientScopes": ["basic", BASE_SCOPE],
        "defaultOptionalClientScopes": _OPTIONAL_SCOPES,
        "clients": _clients(settings),
        "users": _service_accounts(settings),
        "components": {"org.keycloak.userprofile.UserProfileProvider": [_user_profile()]},
    }


def _lifespans() -> dict[str, object]:
    return {
        "accessTokenLifespan": TOKEN_SECONDS,
        # Introspection calls a token inactive when its session has idled out.
        "ssoSessionIdleTimeout": _LOGIN_SECONDS,
        "ssoSessionMaxLifespan": _LOGIN_SECONDS,
    }


def _brute_force() -> dict[str, object]:
    return {
        "bruteForceProtected": True,
        "permanentLockout": False,
        "failureFactor": 20,
        "waitIncrementSeconds": 30,
        "maxFailureWaitSeconds": 300,
        # Clients run side by side fail at the same moment without anybody guessing passwords.
        "quickLoginCheckMilliSeconds": 0,
    }


def _scopes(client: str) -> list[dict[str, object]]:
    return [
        _scope("basic", _mapper("sub", "oidc-sub-mapper")),
        _scope(
            BASE_SCOPE,
            _mapper("audience", "oidc-audience-mapper", **{"included.client.audience": client}),
            _mapper("user name", "oidc-usermodel-attribute-mapper", **_claim("preferred_username", "username")),
            _mapper("spelled name", "oidc-usermodel-attribute-mapper", **_claim("name", "spelled")),
        ),
        _organization_scope(),
        # OpenID Connect clients ask for these two by habit, and Keycloak refuses scopes that it doesn't know.
        _scope("profile"),
        _scope("email", _mapper("email", "oidc-usermodel-attribute-mapper", **_claim("email", "email"))),
        _scope(
            "system",
            _mapper(
                "roles",
                "oidc-usermodel-client-role-mapper",
                **{
                    "usermodel.clientRoleMapping.clientId": client,
                    "claim.name": "system.roles",
                    "jsonType.label": "String",
                    "multivalued": "true",
                },
            ),
        ),
    ]


def _organization_scope() -> dict[str, object]:
    return _scope(
        "organization",
        _mapper(
            "organization",
            "oidc-organization-membership-mapper",
            **{
                "addOrganizationId": "true",
                "claim.name": "organization",
                "jsonType.label": "JSON",
                # Without it Keycloak writes the alias alone, whatever else is asked for.
                "multivalued": "true",
            },
        ),
        # Adds to the claim of the mapper before; with a claim name of its own it would replace it.
        _mapper("roles", "oidc-organization-group-membership-mapper", addGroupRoleMappings="true"),
    )


def _scope(name: str, *mappers: dict[str, object]) -> dict[str, object]:
    return {
        "name": name,
        "protocol": "openid-connect",
        "attributes": {"include.in.token.scope": "true", "display.on.consent.screen": "false"},
        "protocolMappers": list(mappers),
    }


def _mapper(name: str, kind: str, **config: str) -> dict[str, object]:
    everywhere = {"access.token.claim": "true", "introspection.token.claim": "true", "id.token.claim": "false"}
    return {
        "name": name,
        "protocol": "openid-connect",
        "protocolMapper": kind,
        "config": everywhere | config,
    }


def _claim(name: str, attribute: str) -> dict[str, str]:
    return {"claim.name": name, "user.attribute": attribute, "jsonType.label": "String"}


def _clients(settings: Settings) -> list[dict[str, object]]:
    common: dict[str, object] = {
        "protocol": "openid-connect",
        "publicClient": False,
        "standardFlowEnabled": False,
        "serviceAccountsEnabled": True,
        "fullScopeAllowed": False,
    }
    keycloak = settings.keycloak
    api = common | {
        "clientId": keycloak.client_id,
        "secret": keycloak.client_secret.get_secret_value(),
        "directAccessGrantsEnabled": True,
        "defaultClientScopes": ["basic", BASE_SCOPE],
        "optionalClientScopes": _OPTIONAL_SCOPES,
        "attributes": {
            "standard.token.exchange.enabled": "true",
            "use.refresh.tokens": "false",
            "client.session.max.lifespan": str(TOKEN_SECONDS),
        },
    }
    worker = common | {
        "clientId": keycloak.worker_client_id,
        "secret": keycloak.worker_client_secret.get_secret_value(),
        "directAccessGrantsEnabled": False,
        "defaultClientScopes": ["basic", BASE_SCOPE, "system"],
        "optionalClientScopes": [],
    }
    return [api, worker]


def _service_accounts(settings: Settings) -> list[dict[str, object]]:
    def account(client: str, roles: dict[str, list[str]]) -> dict[str, object]:
        name = f"service-account-{client}"
        return {"username": name, "enabled": True, "serviceAccountClientId": client, "clientRoles": roles}

    keycloak = settings.keycloak
    return [
        account(keycloak.client_id, {"realm-management": _ADMINISTRATION}),
        account(keycloak.worker_client_id, {keycloak.client_id: ["service"]}),
    ]


def _user_profile() -> dict[str, object]:
    administrators = {"view": ["admin", "user"], "edit": ["admin"]}
    both = {"view": ["admin", "user"], "edit": ["admin", "user"]}
    length = {"length": {"max": 255}}
    attributes: list[dict[str, object]] = [
        {"name": "username", "permissions": administrators, "validations": {"length": {"min": 1, "max": 255}}},
        {"name": "email", "permissions": both, "validations": {"email": {}, **length}},
        {"name": "firstName", "permissions": both, "validations": length},
        {"name": "lastName", "permissions": both, "validations": length},
        # Keycloak keeps user names in lower case.
        {"name": "spelled", "permissions": administrators, "validations": length},
        {"name": "description", "permissions": administrators, "validations": length},
    ]
    return {
        "providerId": "declarative-user-profile",
        "config": {"kc.user.profile.config": [json.dumps({"attributes": attributes})]},
    }
