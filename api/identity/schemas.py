"""Request bodies of the Identity API v3, as its reference describes them."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator

from infra.domain.identity import DOMAIN_ID, DOMAIN_NAME

PASSWORD_CHARACTERS = 4096


def _printable(value: str) -> str:
    if not value.strip():
        raise ValueError("It may not be blank.")
    if not value.isprintable():
        raise ValueError("It may not contain control characters.")
    return value


ProjectName = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_printable)]
UserName = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_printable)]
Description = Annotated[str, StringConstraints(max_length=255)]
Password = Annotated[SecretStr, Field(min_length=1, max_length=PASSWORD_CHARACTERS)]
Email = Annotated[str, StringConstraints(max_length=255, pattern=r"^[^@\s]+@[^@\s]+$")]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^,/]+$"), AfterValidator(_printable)]


def _unique(tags: list[str]) -> list[str]:
    if len(set(tags)) != len(tags):
        raise ValueError("Tags must be unique.")
    return tags


Tags = Annotated[list[Tag], Field(max_length=80), AfterValidator(_unique)]


class _Loose(BaseModel):
    """Clients put more into a sign-in than the reference names; what is not used is not looked at."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class DomainRef(_Loose):
    id: str | None = None
    name: str | None = None

    def is_ours(self) -> bool:
        """Whether it names the one domain there is."""
        return self.id == DOMAIN_ID if self.id is not None else self.name == DOMAIN_NAME


class _Named(_Loose):
    id: str | None = None
    name: str | None = None
    domain: DomainRef | None = None

    @model_validator(mode="after")
    def _says_which(self) -> "_Named":
        if self.id is None and (self.name is None or self.domain is None):
            raise ValueError("Give the id, or the name and its domain.")
        return self

    def in_our_domain(self) -> bool:
        return self.domain is None or self.domain.is_ours()


class PasswordUser(_Named):
    password: Annotated[SecretStr, Field(max_length=PASSWORD_CHARACTERS)]


class PasswordMethod(_Loose):
    user: PasswordUser


class TokenMethod(_Loose):
    id: SecretStr


class Methods(_Loose):
    methods: Annotated[list[str], Field(min_length=1)]
    password: PasswordMethod | None = None
    token: TokenMethod | None = None


class SystemScope(_Loose):
    all: Literal[True]


class ScopeRef(_Loose):
    project: _Named | None = None
    system: SystemScope | None = None
    domain: DomainRef | None = None
    trust: Any = Field(None, alias="OS-TRUST:trust")

    @model_validator(mode="after")
    def _one(self) -> "ScopeRef":
        if sum(given is not None for given in (self.project, self.system, self.domain, self.trust)) > 1:
            raise ValueError("Give one scope only.")
        return self


class Auth(_Loose):
    identity: Methods
    scope: ScopeRef | Literal["unscoped"] | None = None


class AuthBody(_Loose):
    auth: Auth


class ProjectCreate(_Strict):
    name: ProjectName
    description: Description | None = None
    enabled: bool = True
    domain_id: str | None = None
    parent_id: str | None = None
    is_domain: Literal[False] = False
    tags: Tags = []
    options: dict[str, None] = {}


class ProjectCreateBody(_Strict):
    project: ProjectCreate


class ProjectUpdate(_Strict):
    name: ProjectName | None = None
    description: Description | None = None
    enabled: bool | None = None
    domain_id: str | None = None
    is_domain: Literal[False] = False
    tags: Tags | None = None
    options: dict[str, None] = {}


class ProjectUpdateBody(_Strict):
    project: ProjectUpdate


class TagsBody(_Strict):
    tags: Tags


class UserCreate(_Strict):
    name: UserName
    password: Password | None = None
    email: Email | None = None
    description: Description | None = None
    enabled: bool = True
    domain_id: str | None = None
    default_project_id: None = None
    options: dict[str, None] = {}


class UserCreateBody(_Strict):
    user: UserCreate


class UserUpdate(_Strict):
    name: UserName | None = None
    password: Password | None = None
    email: Email | None = None
    description: Description | None = None
    enabled: bool | None = None
    domain_id: str | None = None
    default_project_id: None = None
    options: dict[str, None] = {}


class UserUpdateBody(_Strict):
    user: UserUpdate


class PasswordChange(_Strict):
    password: Password
    original_password: Annotated[SecretStr, Field(max_length=PASSWORD_CHARACTERS)]


class PasswordChangeBody(_Strict):
    user: PasswordChange
