"""Step 6: the host takes the request. The only question with a short limit: is anybody there?"""

from activities.base import step
from activities.models import Attempt
from infra.compute.attempts import Attempts
from infra.compute.driver import Driver
from infra.temporal.history import History


class AcceptServer(History):
    attempt: Attempt


class HostActivities:
    def __init__(self, driver: Driver, attempts: Attempts) -> None:
        self._driver = driver
        self._attempts = attempts

    @step("host.accept", because="it changes nothing: the undos of what follows close the attempt")
    def accept(self, params: AcceptServer) -> None:
        """Raises HostRejected if the hypervisor does not answer, Fenced if the attempt is closed here."""
        self._attempts.check(params.attempt.server_id, params.attempt.number)
        self._driver.state(params.attempt.server_id)
