"""stop, start, reboot, pause, unpause, suspend, resume: one effect on the host, and the row before and after it.

A start or hard reboot of a guest that its host has no more, since somebody undefined it, makes it anew on its disk.
"""

from typing import Any

from temporalio import workflow
from temporalio.common import Priority
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.conductor import ConductorActivities, GetInstance, GuestRecord, ImageUse
    from activities.hypervisor import HypervisorActivities, PowerGuest, SpawnGuest
    from activities.images import FindImage, ImageActivities
    from activities.models import Attempt, VolumeRef
    from activities.networks import AllocatedPort, PlugActivities, PlugPort
    from activities.records import BeginVerb, BegunVerb, EndVerb, RecordsActivities
    from activities.volumes import ConnectActivities, VolumeActivities
    from infra.domain.server import Verb, VmState
    from infra.temporal.history import History
    from workflows import failures, policies
    from workflows.saga import Saga, side_by_side
    from workflows.verb import Holding, Outcome


class PowerParams(History):
    server_id: str
    name: str = ""
    begin: BeginVerb


@workflow.defn(name="PowerServer")
class PowerServer(Holding):
    @workflow.init
    def __init__(self, params: PowerParams) -> None:
        super().__init__(params.server_id)
        self.params = params
        self.begun: BegunVerb | None = None
        self.saga = Saga(
            f"{params.begin.verb} {params.name}", params.begin.server_id, Priority(priority_key=policies.VERB_PRIORITY)
        )

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
        try:
            await self.saga.step(HypervisorActivities.power, power, policies.HOST_SPAWN, host=begun.host)
        except ActivityError as error:
            if not self.lacks_guest(error) or not workflow.patched("rebuild-guest"):
                raise
            await self.rebuild(attempt)
            await self.saga.step(HypervisorActivities.power, power, policies.HOST_SPAWN, host=begun.host)

    def lacks_guest(self, error: ActivityError) -> bool:
        """Whether a verb that may begin from nothing found nothing."""
        starts = self.params.begin.verb in (Verb.START, Verb.REBOOT_HARD)
        return starts and not self.saga.stopped and failures.cause_of(error).kind == "NotFound"

    async def rebuild(self, attempt: Attempt) -> None:
        """The guest as its row describes it, off. Where it fails nothing is taken back: what is plugged is the
        server's."""
        get = GetInstance(attempt=attempt, op=self.params.begin.op)
        record: GuestRecord = await self.saga.step(ConductorActivities.get_guest, get, policies.RECORD)
        images, nics, volumes = await side_by_side(
            side_by_side(*(self.find_image(attempt, record, image) for image in record.images)),
            side_by_side(*(self.plug(attempt, record.instance.hostname, port) for port in record.devices.ports)),
            side_by_side(*(self.connect(attempt, volume) for volume in record.devices.volumes)),
        )
        guest = SpawnGuest(
            attempt=attempt, instance=record.instance, images=tuple(images), nics=tuple(nics), volumes=tuple(volumes)
        )
        await self.saga.step(HypervisorActivities.rebuild, guest, policies.HOST_SPAWN, host=attempt.host)

    async def find_image(self, attempt: Attempt, record: GuestRecord, image: ImageUse) -> Any:
        root = image.image_id == record.instance.image_id
        find = FindImage(attempt=attempt, image_id=image.image_id, disk_format=image.disk_format, root=root)
        return await self.saga.step(ImageActivities.find, find, policies.HOST_CALL, host=attempt.host)

    async def plug(self, attempt: Attempt, hostname: str, port: AllocatedPort) -> Any:
        plug = PlugPort(attempt=attempt, hostname=hostname, port_id=port.port_id, nic=port.nic)
        return await self.saga.run(PlugActivities.plug, plug, policies.HOST_CALL, host=attempt.host)

    async def connect(self, attempt: Attempt, volume: VolumeRef) -> Any:
        found = await self.saga.step(VolumeActivities.find, volume, policies.SERVICE_CALL)
        return await self.saga.step(ConnectActivities.connect, found, policies.HOST_CALL, host=attempt.host)

    async def finish(self, error: BaseException | None) -> None:
        """Let go of the server: in its new state, or as it was, with the reason noted at the action.

        Also where the verb may have taken the server and the reply was lost, or is still on its way.
        """
        end = EndVerb(server_id=self.server_id, op=self.params.begin.op)
        if error is None and self.begun is not None:
            end = end.model_copy(update={"vm_state": self.begun.target, "power_state": self.begun.power_state})
        elif error is not None and (self.begun is not None or failures.is_unsure(error)):
            cause = failures.cause_of(error)
            lost = VmState.ERROR if cause.kind == "DiskLost" else None
            end = end.model_copy(update={"message": self.stop_reason or cause.message, "vm_state": lost})
        else:
            return
        await self.saga.persist(RecordsActivities.end_verb, end, policies.RECORD)
