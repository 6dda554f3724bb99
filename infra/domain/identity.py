"""Who is asking: users, projects, roles and what a token says, as the Identity Service (Keystone v3) describes them."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

DOMAIN_ID = "default"
DOMAIN_NAME = "Default"

ROLES = ("admin", "manager", "member", "reader", "service")
IMPLIED: dict[str, tuple[str, ...]] = {
    "admin": ("manager", "member", "reader"),
    "manager": ("member", "reader"),
    "member": ("reader",),
    "reader": (),
    "service": (),
}


class Project(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    description: str = ""
    enabled: bool = True
    tags: tuple[str, ...] = ()


class User(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    email: str | None = None
    enabled: bool = True
    description: str = ""


class Identity(BaseModel):
    """What a verified token says. Holds no secret: the token itself stays with whoever carries it."""

    model_config = ConfigDict(frozen=True)

    token_id: str
    """The token's ``jti``."""
    user_id: str
    user_name: str
    project_id: str | None = None
    project_name: str | None = None
    system: bool = False
    roles: frozenset[str] = Field(default_factory=frozenset)
    """With the roles they imply: admin is manager is member is reader."""
    issued_at: datetime
    expires_at: datetime
    methods: tuple[str, ...] = ("password",)

    def has(self, role: str) -> bool:
        return role in self.roles
