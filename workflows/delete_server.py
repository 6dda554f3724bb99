"""A delete: takes the server from whatever holds it, and leaves nothing of it.

Every attempt is closed on the host first, so that an attach in flight fails and undoes itself; the guest is confirmed
gone before a volume or port is given to somebody else.
"""

from typing import Any

from temporalio import workflow
from temporalio.common import Priority
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.hypervisor import DestroyGuest, HypervisorActivities
    from activities.image_records import ImageRecordActivities, ReserveImage
    from activities.images import FetchImage, ImageActivities
    from activities.models import NO_TOKEN, Attempt, PortRef, VolumeRef
    from activities.networks import AllocatePort, PlugActivities, PlugPort, PortActivities
    from activities.records import Held, OweCleanup, RecordsActivities
    from activities.remains import Remains
    from activities.scheduling import SchedulingActivities, ServerRef
    from activities.volumes import UseVolume, VolumeActivities
    from infra.temporal import attributes
    from workflows import failures, policies
    from workflows.saga import Saga, side_by_side
    from workflows.verb import Deletable, DeleteParams, DeleteRequest, Outcome


class HostGone(Exception):
    """The host did not confirm in its time; it owes the clean-up."""


@workflow.defn(name="DeleteServer")
class DeleteServer(Deletable):
    @workflow.init
    def __init__(self, params: DeleteParams) -> None:
        super().__init__(params.server_id)
        self.params = params
        self.saga = Saga(params.server_id, params.server_id, Priority(priority_key=policies.DELETE_PRIORITY))

    @workflow.run
    async def run(self, params: DeleteParams) -> Outcome:
        try:
            await self.shielded(self.take(params.request))
        except ApplicationError as error:
            await workflow.wait_condition(workflow.all_handlers_finished)
            cause = failures.cause_of(error)
            return Outcome(state="refused", code=cause.code, message=cause.message)
        assert self.remains is not None
        await self.shielded(self.remove(self.remains))
        await workflow.wait_condition(workflow.all_handlers_finished)
        return Outcome(state="deleted")

    async def take(self, request: DeleteRequest) -> None:
        """Tried until the row says it: a delete that may have been written is never given up.

        Raises:
            ApplicationError: there is no such server.
        """
        while True:
            try:
                return await self.take_for_delete(request)
            except ApplicationError as error:
                if not failures.is_unsure(error):
                    raise
                await workflow.sleep(policies.STUCK_PAUSE)

    async def remove(self, remains: Remains) -> None:
        workflow.upsert_search_attributes([attributes.PHASE.value_set("deleting")])
        for other in remains.others:
            try:
                await self.remove_from_host(remains, other)
            except HostGone as gone:
                await self.owe(other, str(gone))
        if remains.host is not None:
            attempt = Attempt(server_id=self.server_id, number=remains.attempt, host=remains.host)
            try:
                await self.remove_from_host(remains, attempt)
                await self.give_back(remains, attempt)
            except HostGone as gone:
                await self.owe(attempt, str(gone))
        elif remains.offloaded:
            await self.give_back(remains, Attempt(server_id=self.server_id, number=remains.attempt, host=""))
        if remains.shelved_image_id:
            await self.withdraw(remains)
        await self.saga.persist(
            SchedulingActivities.release_all, ServerRef(server_id=self.server_id), policies.UNDO_RECORD
        )
        held = Held(server_id=self.server_id, op=self.params.request.request_id)
        await self.saga.persist(RecordsActivities.set_deleted, held, policies.UNDO_RECORD)

    async def remove_from_host(self, remains: Remains, attempt: Attempt) -> None:
        """Guest and disks, then ports and image references. Raises HostGone."""
        destroy = DestroyGuest(attempt=attempt, every_attempt=True)
        await self.on_host(HypervisorActivities.remove, destroy, attempt)
        await side_by_side(
            *(
                self.on_host(
                    PlugActivities.unplug,
                    PlugPort(attempt=attempt, hostname=remains.hostname, port_id=port.port_id, nic={}),
                    attempt,
                )
                for port in remains.ports
            ),
            *(
                self.on_host(
                    ImageActivities.release, FetchImage(attempt=attempt, image_id=image_id, **NO_TOKEN), attempt
                )
                for image_id in remains.images
            ),
        )

    async def give_back(self, remains: Remains, attempt: Attempt) -> None:
        """Ports and volumes, at their services: the guest is gone."""

        async def port(ref: PortRef) -> None:
            params = AllocatePort(attempt=attempt, port=ref, **NO_TOKEN)
            await self.saga.persist(PortActivities.deallocate, params, policies.REST_UNDO)

        async def volume(ref: VolumeRef) -> None:
            params = UseVolume(attempt=attempt, volume=ref, **NO_TOKEN)
            await self.saga.persist(VolumeActivities.detach, params, policies.REST_UNDO)
            if ref.delete_on_termination:
                await self.saga.persist(VolumeActivities.delete, params, policies.REST_UNDO)

        await side_by_side(*(port(ref) for ref in remains.ports), *(volume(ref) for ref in remains.volumes))

    async def withdraw(self, remains: Remains) -> None:
        """The image that the server was saved as when it was shelved."""
        attempt = Attempt(server_id=self.server_id, number=remains.attempt, host=remains.host or "")
        image = ReserveImage(attempt=attempt, image_id=remains.shelved_image_id, fields={})
        await self.saga.persist(ImageRecordActivities.withdraw, image, policies.REST_UNDO)

    async def on_host(self, do: Any, params: Any, attempt: Attempt) -> None:
        try:
            await self.saga.run(do, params, policies.HOST_UNDO, host=attempt.host)
        except ActivityError as error:
            raise HostGone(failures.cause_of(error).message) from error

    async def owe(self, attempt: Attempt, what: str) -> None:
        """The user's view ends; what the guest could still touch waits for its host."""
        debt = OweCleanup(host=attempt.host, server_id=self.server_id, attempt=attempt.number, what=what)
        await self.saga.persist(RecordsActivities.owe_cleanup, debt, policies.UNDO_RECORD)
