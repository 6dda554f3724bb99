"""Projects, users and roles of a new stack."""

from typing import Any

from pydantic import SecretStr

from infra.deploy import people
from infra.domain.identity import Project, User

PASSWORDS = {name: SecretStr(f"{name}-secret") for name in ("demo", "reader", "admin")}


class Provider:
    def __init__(self) -> None:
        self.projects_: dict[str, Project] = {}
        self.users_: dict[str, User] = {}
        self.passwords: dict[str, str] = {}
        self.granted: list[tuple[str, str | None, str]] = []

    async def projects(self, name: str) -> list[Project]:
        return [self.projects_[name]] if name in self.projects_ else []

    async def create_project(self, name: str) -> Project:
        return self.projects_.setdefault(name, Project(id=f"p-{name}", name=name))

    async def users(self, name: str) -> list[User]:
        return [self.users_[name]] if name in self.users_ else []

    async def create_user(self, name: str, password: str) -> User:
        assert name not in self.users_
        self.passwords[name] = password
        return self.users_.setdefault(name, User(id=f"u-{name}", name=name))

    async def roles_of(self, user_id: str, project_id: str | None) -> list[str]:
        return [role for user, project, role in self.granted if (user, project) == (user_id, project_id)]

    async def grant(self, user_id: str, project_id: str | None, role: str) -> None:
        self.granted.append((user_id, project_id, role))


async def test_each_user_has_just_the_roles_of_the_plan_however_often_it_runs() -> None:
    provider: Any = Provider()
    await people.ensure(provider, PASSWORDS)
    await people.ensure(provider, PASSWORDS)
    assert sorted(provider.granted, key=str) == sorted(
        [
            ("u-demo", "p-demo", "member"),
            ("u-reader", "p-demo", "reader"),
            ("u-admin", "p-admin", "admin"),
            ("u-admin", "p-demo", "admin"),
            ("u-admin", None, "admin"),
        ],
        key=str,
    )
    assert provider.passwords == {name: f"{name}-secret" for name in PASSWORDS}
    assert set(provider.projects_) == {"demo", "admin", "service"}


async def test_only_users_with_a_password_and_their_projects_are_made() -> None:
    provider: Any = Provider()
    await people.ensure(provider, {"reader": SecretStr("s")})
    assert provider.granted == [("u-reader", "p-demo", "reader")]
    assert set(provider.projects_) == {"demo", "service"}
