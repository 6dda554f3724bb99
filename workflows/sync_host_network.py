"""A host told that its networking changed: it reads what should be there, and converges to it.

Started by the API after a change, and told again while it runs; whatever comes while a try is under way becomes one
more. A host that does not answer fails nobody: it reads everything when it is back, before it takes work.
"""

from temporalio import workflow
from temporalio.common import Priority
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.upkeep import SyncedNetwork, SyncNetwork, UpkeepActivities
    from infra.temporal import attributes
    from infra.temporal.history import History
    from workflows import failures, policies
    from workflows.saga import Saga
    from workflows.verb import Stoppable


class SyncParams(History):
    host: str


class Synced(History):
    change: int = 0
    """The latest change that the host has read in this run; 0: none."""
    silence: str = ""
    """Why it did not answer at last."""


@workflow.defn(name="SyncHostNetwork")
class SyncHostNetwork(Stoppable):
    @workflow.init
    def __init__(self, params: SyncParams) -> None:
        super().__init__()
        self.params = params
        self.saga = Saga(f"network of {params.host}", None, Priority(priority_key=policies.VERB_PRIORITY))
        self.is_changed = True

    @workflow.signal
    def changed(self) -> None:
        """Something was changed, perhaps after the host has read."""
        self.is_changed = True

    @workflow.run
    async def run(self, params: SyncParams) -> Synced:
        workflow.upsert_search_attributes([attributes.HOST.value_set(params.host)])
        result: Synced = await self.shielded(self.converge())
        if self.is_changed:
            workflow.continue_as_new(params)
        return result

    async def converge(self) -> Synced:
        result = Synced()
        while self.is_changed and not workflow.info().is_continue_as_new_suggested():
            self.is_changed = False
            result = await self.sync()
        return result

    async def sync(self) -> Synced:
        host = self.params.host
        try:
            synced: SyncedNetwork = await self.saga.run(
                UpkeepActivities.sync_network, SyncNetwork(host=host), policies.HOST_SYNC, host=host
            )
        except ActivityError as error:
            return Synced(silence=failures.cause_of(error).message)
        return Synced(change=synced.change)
