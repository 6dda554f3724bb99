"""Several servers by one request: one transaction admits all their rows, then each is a boot of its own."""

from typing import Any

from temporalio import workflow
from temporalio.common import Priority
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.identity import IdentityActivities
    from activities.records import CreatedServers, RecordsActivities, Withdrawn
    from infra.temporal import attributes
    from workflows import failures, policies
    from workflows.boot_server import BootParams
    from workflows.saga import Saga
    from workflows.verb import Admissible, Outcome


@workflow.defn(name="BootServers")
class BootServers(Admissible):
    @workflow.init
    def __init__(self, params: BootParams) -> None:
        super().__init__()
        self.params = params
        priority = Priority(priority_key=policies.BOOT_PRIORITY, fairness_key=params.create.project_id)
        self.saga = Saga(str(params.create.spec.get("name", ""))[:60], None, priority)

    @workflow.update(name="admission")
    async def admission(self) -> Any:
        return await self.admitted()

    @workflow.run
    async def run(self, params: BootParams) -> Outcome:
        # Shielded as a whole: rows that were admitted always get their boot, which a delete can then stop.
        error: BaseException | None = None
        try:
            await self.shielded(self.forward())
        except ActivityError as failed:
            error = failed
            await self.shielded(self.withdraw(failed))
        return await self.close(error, Outcome(state="done"))

    async def forward(self) -> None:
        await self.saga.run(IdentityActivities.validate_token, self.params.requester, policies.ADMISSION)
        created: CreatedServers = await self.saga.run(
            RecordsActivities.create_servers, self.params.create, policies.ADMISSION
        )
        self.answer = created
        for admitted in created.servers:
            create = self.params.create.model_copy(update={"server_ids": (admitted.server_id,)})
            await workflow.start_child_workflow(
                "BootServer",
                self.params.model_copy(update={"create": create, "admitted": admitted}),
                id=f"server/{admitted.server_id}",
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                task_timeout=policies.TASK_TIMEOUT,
                search_attributes=attributes.initial(admitted.server_id, create.project_id, "admitted"),
                static_summary=f"boot {admitted.name}"[:200],
                priority=self.saga.priority,
            )

    async def withdraw(self, error: BaseException) -> None:
        """The request was not admitted: no row of a lost or late admission may stay without a boot."""
        if self.answer is None and failures.is_unsure(error):
            create = self.params.create
            for server_id in create.server_ids:
                held = Withdrawn(server_id=server_id, op=create.request_id, project_id=create.project_id)
                await self.saga.persist(RecordsActivities.withdraw, held, policies.UNDO_RECORD)
