"""Step 3: the token is checked with authority, as the first thing a run does."""

from activities.base import step
from activities.models import Requester
from infra.domain.errors import Forbidden, Unauthorized
from infra.identity.provider import TokenVerifier
from infra.temporal.history import History
from infra.temporal.sealed import Sealer


class Caller(History):
    user_id: str
    project_id: str
    roles: tuple[str, ...] = ()


class IdentityActivities:
    def __init__(self, verifier: TokenVerifier, sealer: Sealer) -> None:
        self._verifier = verifier
        self._sealer = sealer

    @step("identity.validate_token", because="it changes nothing")
    async def validate_token(self, params: Requester) -> Caller:
        """Raises Unauthorized for a token that is not valid, Forbidden where the role or the project is not there."""
        token = self._sealer.open(params.token, server_id=params.token_server_id, field="token")
        identity = await self._verifier.verify(token)
        if identity.project_id != params.project_id or identity.user_id != params.user_id:
            raise Unauthorized("The request you have made requires authentication.")
        if not identity.has("member"):
            raise Forbidden("You are not authorized to perform the requested action.")
        return Caller(user_id=identity.user_id, project_id=params.project_id, roles=tuple(sorted(identity.roles)))
