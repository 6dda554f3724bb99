"""stop, start, reboot, pause, unpause, suspend, resume: one effect on the host, and the row before and after it."""

from temporalio import workflow
from temporalio.common import Priority

with workflow.unsafe.imports_passed_through():
    from activities.hypervisor import HypervisorActivities, PowerGuest
    from activities.models import Attempt
    from activities.records import BeginVerb, BegunVerb, EndVerb, RecordsActivities
    from infra.temporal.history import History
    from workflows import failures, policies
    from workflows.saga import Saga
    from workflows.verb import Deletable, Outcome


class PowerParams(History):
    server_id: str
    name: str = ""
    begin: BeginVerb


@workflow.defn(name="PowerServer")
class PowerServer(Deletable):
    @workflow.init
    def __init__(self, params: PowerParams) -> None:
        super().__init__(params.server_id)
        self.params = params
        self.begun: BegunVerb | None = None
        self.saga = Saga(
            f"{params.begin.verb} {params.name}", params.begin.server_id, Priority(priority_key=policies.VERB_PRIORITY)
        )

    @workflow.update(name="admission")
    async def admission(self) -> None:
        """Answers when the verb holds the server; fails with the refusal's code otherwise."""
        await self.admitted()

    @workflow.run
    async def run(self, params: PowerParams) -> Outcome:
        error = await self.guard(self.forward(), None)
        await self.shielded(self.finish(error))
        outcome = await self.close(error, Outcome(state="done"))
        self.hand_over()
        return outcome

    async def forward(self) -> None:
        begun: BegunVerb = await self.saga.run(RecordsActivities.begin_verb, self.params.begin, policies.ADMISSION)
        self.answer = self.begun = begun
        attempt = Attempt(server_id=self.server_id, number=begun.attempt, host=begun.host)
        power = PowerGuest(attempt=attempt, verb=self.params.begin.verb, vm_state=begun.vm_state)
        await self.saga.step(HypervisorActivities.power, power, policies.HOST_SPAWN, host=begun.host)

    async def finish(self, error: BaseException | None) -> None:
        """Let go of the server: in its new state, or as it was, with the reason noted at the action.

        Also where the verb may have taken the server and the reply was lost, or is still on its way.
        """
        end = EndVerb(server_id=self.server_id, op=self.params.begin.op)
        if error is None and self.begun is not None:
            end = end.model_copy(update={"vm_state": self.begun.target, "power_state": self.begun.power_state})
        elif error is not None and (self.begun is not None or failures.is_unsure(error)):
            end = end.model_copy(update={"message": self.stop_reason or failures.cause_of(error).message})
        else:
            return
        await self.saga.persist(RecordsActivities.end_verb, end, policies.RECORD)
