"""Who may do what, by Keystone's default rules: administrators everything, readers of the system read everything,
and everybody what is their own."""

from typing import Annotated

from fastapi import Depends

from api.auth import Context, ContextDep
from infra.domain.errors import Forbidden

_REFUSED = "You are not authorized to perform the requested action."


def reads_everything(context: Context) -> bool:
    identity = context.identity
    return identity.has("admin") or context.is_service or (identity.system and identity.has("reader"))


def require(allowed: bool) -> None:
    if not allowed:
        raise Forbidden(_REFUSED)


async def _everything(context: ContextDep) -> Context:
    require(reads_everything(context))
    return context


async def _admin(context: ContextDep) -> Context:
    require(context.is_admin)
    return context


SeesAllDep = Annotated[Context, Depends(_everything)]
AdminDep = Annotated[Context, Depends(_admin)]
