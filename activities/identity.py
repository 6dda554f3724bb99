"""Step 3: the token is checked with authority, as the first thing a run does."""

from activities.base import step
from activities.models import Requester
from infra.db import admission
from infra.db.engine import Database
from infra.domain.errors import Forbidden, Unauthorized
from infra.identity.provider import TokenVerifier
from infra.temporal.history import History
from infra.temporal.sealed import Sealer


class Caller(History):
    user_id: str
    project_id: str
    roles: tuple[str, ...] = ()


class IdentityActivities:
    def __init__(self, verifier: TokenVerifier, sealer: Sealer, db: Database) -> None:
        self._verifier = verifier
        self._sealer = sealer
        self._db = db

    @step("identity.validate_token", because="it changes nothing")
    async def validate_token(self, params: Requester) -> Caller:
        """Raises Unauthorized for a token that is not valid, Forbidden where the role or the project is not there."""
        caller = Caller(user_id=params.user_id, project_id=params.project_id)
        # Where everything was killed in mid-admission this comes again, and the request may have been answered from
        # its row meanwhile: an identity service that is not back yet must not take the server away.
        if await self._db.read(admission.is_admitted, params.token_server_id, params.request_id):
            return caller
        token = self._sealer.open(params.token, server_id=params.token_server_id, field="token")
        identity = await self._verifier.verify(token)
        if identity.project_id != params.project_id or identity.user_id != params.user_id:
            raise Unauthorized("The request you have made requires authentication.")
        if not identity.has("member"):
            raise Forbidden("You are not authorized to perform the requested action.")
        return caller.model_copy(update={"roles": tuple(sorted(identity.roles))})
