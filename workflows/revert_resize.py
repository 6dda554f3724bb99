"""A revert: the server is again what it was before its move, and nothing stays of the new side."""

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.moves import MoveActivities, MoveSides, Reverted
    from activities.networks import PlugActivities, PlugPort
    from activities.parking import ParkActivities, ParkGuest
    from workflows import failures, policies
    from workflows.end_move import EndingMove, EndMoveParams
    from workflows.verb import Outcome


@workflow.defn(name="RevertResize")
class RevertResize(EndingMove):
    @workflow.init
    def __init__(self, params: EndMoveParams) -> None:
        super().__init__(params)

    @workflow.run
    async def run(self, params: EndMoveParams) -> Outcome:
        return await self.run_end()

    async def go(self, sides: MoveSides) -> None:
        """The old guest does not run before the new one is surely gone; where that can't be had, the server is in
        ERROR, on its old side, until the new host has paid or an operator says that it is off."""
        why = await self.drop(sides, sides.new)
        if why is None:
            why = await self.bring_back(sides)
        reverted = Reverted(server_id=self.server_id, op=self.op, power_state=1 if sides.ran else 4, message=why)
        await self.saga.persist(MoveActivities.revert, reverted, policies.UNDO_RECORD)

    async def bring_back(self, sides: MoveSides) -> str | None:
        """Returns why the guest is not back."""
        old = sides.new.model_copy(update={"host": sides.kept.host, "keeps": sides.kept.number})
        try:
            for port in sides.ports if sides.kept.host != sides.new.host else ():
                plug = PlugPort(attempt=sides.kept, hostname=sides.hostname, port_id=port.port_id, nic=port.nic)
                await self.saga.run(PlugActivities.plug, plug, policies.HOST_SPAWN, host=old.host)
            back = ParkGuest(attempt=old, start=sides.ran)
            await self.saga.run(ParkActivities.unpark, back, policies.HOST_SPAWN, host=old.host)
        except ActivityError as error:
            return failures.cause_of(error).message
        return None
