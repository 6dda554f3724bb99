"""The cheap reads before a boot is started: what can't work is refused before it costs a history.

Nothing is decided here: the admission transaction repeats it all with authority.
"""

from sqlmodel import Session

from api.auth import Context
from infra.db import boot_requests, quotas
from infra.domain import boot_rules
from infra.domain.boot import ServerSpec


def precheck(session: Session, spec: ServerSpec, context: Context) -> None:
    """Look up all that a boot request names, and whether the least it asks for fits the project's quota.

    Raises:
        BadRequest: something is not there, may not be seen, or doesn't fit.
        Forbidden: it names a host, and the caller is no administrator.
        Conflict: a port or an address is in use, or it is not clear which network is meant.
        QuotaExceeded: the project has no room for it.
    """
    project = context.project_id
    request = boot_requests.Request(
        # The ids are made later; only how many there are matters here.
        server_ids=("",) * spec.max_count,
        reservation_id="",
        request_id=context.request_id,
        project_id=project,
        user_id=context.user_id,
        is_admin=context.is_admin,
        spec=spec,
    )
    resolved = boot_requests.resolve(session, request)
    quota = quotas.get(session, project)
    boot_rules.check_metadata(quota, spec.metadata)
    boot_rules.check_quota(quota, quotas.usage(session, project), resolved.flavor, spec.min_count)
