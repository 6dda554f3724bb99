"""The cheap reads before a boot is started: what can't work is refused before it costs a history.

Nothing is decided here: the admission transaction repeats it all with authority.
"""

from sqlmodel import Session

from api.auth import Context
from infra.db import boot_requests, quotas
from infra.domain import boot_rules
from infra.domain.boot import ServerSpec
from infra.domain.pci import PciAlias


def precheck(session: Session, spec: ServerSpec, context: Context, aliases: tuple[PciAlias, ...]) -> None:
    """Look up all that a boot request names, and whether the least it asks for fits the project's quota.

    Raises:
        BadRequest: something is not there, may not be seen, or doesn't fit.
        Forbidden: it names a host, and the caller is no administrator.
        Conflict: a port or an address is in use, or it is not clear which network is meant.
        QuotaExceeded: the project has no room for it.
    """
    project = context.project_id
    resolved = look_up(session, spec, context, spec.max_count, aliases)
    quota = quotas.get(session, project)
    boot_rules.check_metadata(quota, spec.metadata)
    boot_rules.check_quota(quota, quotas.usage(session, project), resolved.flavor, spec.min_count)


def look_up(
    session: Session, spec: ServerSpec, context: Context, count: int, aliases: tuple[PciAlias, ...]
) -> boot_requests.Resolved:
    """All that a request for ``count`` servers names, before any of them has an id. Raises as ``precheck`` does."""
    return boot_requests.resolve(
        session,
        boot_requests.Request(
            server_ids=("",) * count,
            reservation_id="",
            request_id=context.request_id,
            project_id=context.project_id,
            user_id=context.user_id,
            is_admin=context.is_admin,
            spec=spec,
            pci_aliases=aliases,
        ),
    )
