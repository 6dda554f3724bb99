"""The repair of an interface whose attach or detach has no run any more: the guest lets go of it, and its port is
deleted, or free. What was attached before its run was lost stays so."""

from temporalio import workflow
from temporalio.common import Priority

with workflow.unsafe.imports_passed_through():
    from activities.interfaces import InterfaceActivities, TakeInterface, TakenInterface
    from workflows import policies
    from workflows.detach_interface import give_back, release
    from workflows.saga import Saga
    from workflows.verb import Outcome, Stoppable


@workflow.defn(name="RepairInterface")
class RepairInterface(Stoppable):
    @workflow.init
    def __init__(self, params: TakeInterface) -> None:
        super().__init__()
        self.params = params
        self.saga = Saga(f"port {params.port_id}", params.server_id, Priority(priority_key=policies.VERB_PRIORITY))

    @workflow.run
    async def run(self, params: TakeInterface) -> Outcome:
        outcome: Outcome = await self.shielded(self.repair())
        return outcome

    async def repair(self) -> Outcome:
        taken: TakenInterface = await self.saga.persist(InterfaceActivities.take, self.params, policies.RECORD)
        if taken.held is None:
            return Outcome(state="done")
        # Also of a detach: a guest that was asked to let go may do so at any time.
        await release(self.saga, taken.held, persist=True)
        await give_back(self.saga, taken.held, self.params.op)
        return Outcome(state="repaired", message=self.params.why)
