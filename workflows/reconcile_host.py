"""A host made what it should be: what should not be there is removed, what the rows have wrong is put right, and what
nobody can put right is reported.

Started every few minutes for each host, and on demand. What is under way is left alone, so it may run at any time.
"""

from temporalio import workflow
from temporalio.common import Priority
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.drift import DriftActivities, SettledHost, SettleHost
    from activities.upkeep import TidiedHost, TidyHost, UpkeepActivities
    from infra.temporal import attributes
    from infra.temporal.history import History
    from workflows import failures, policies
    from workflows.saga import Saga
    from workflows.verb import Stoppable


class ReconcileParams(History):
    host: str


class Reconciled(History):
    host: str
    mended: tuple[str, ...] = ()
    reported: tuple[str, ...] = ()


@workflow.defn(name="ReconcileHost")
class ReconcileHost(Stoppable):
    @workflow.init
    def __init__(self, params: ReconcileParams) -> None:
        super().__init__()
        self.params = params
        self.saga = Saga(f"reconcile {params.host}", None, Priority(priority_key=policies.VERB_PRIORITY))
        self.result: Reconciled | None = None

    @workflow.update(name="run")
    async def wait(self) -> Reconciled:
        """Answers when the host was compared, with what was found."""
        await workflow.wait_condition(lambda: self.result is not None)
        assert self.result is not None
        return self.result

    @workflow.run
    async def run(self, params: ReconcileParams) -> Reconciled:
        workflow.upsert_search_attributes([attributes.HOST.value_set(params.host)])
        result: Reconciled = await self.shielded(self.compare())
        self.result = result
        await workflow.wait_condition(workflow.all_handlers_finished)
        return result

    async def compare(self) -> Reconciled:
        host = self.params.host
        mended: tuple[str, ...] = ()
        settle = SettleHost(host=host, asked_at=workflow.now())
        try:
            tidied: TidiedHost = await self.saga.run(
                UpkeepActivities.tidy, TidyHost(host=host), policies.HOST_TIDY, host=host
            )
            settle = settle.model_copy(update={"guests": tidied.guests})
            mended = tidied.done
        except ActivityError as error:
            silence = f"Host {host} could not be looked at: {failures.cause_of(error).message}"
            settle = settle.model_copy(update={"answered": False, "silence": silence})
        settled: SettledHost = await self.saga.persist(DriftActivities.settle, settle, policies.UNDO_RECORD)
        return Reconciled(host=host, mended=(*mended, *settled.mended), reported=settled.reported)
