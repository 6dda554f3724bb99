"""What all moves of a server share: the next attempt is made beside the one that stays, and either is left whole.

Until ``complete`` the server's row says what it was, so a move that comes to nothing undoes what it did on hosts, and
lets the row go. After it the move only goes forward.
"""

from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import Priority
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.conductor import ConductorActivities, Devices, GetDevices, GetInstance
    from activities.hosts import AcceptServer, HostActivities
    from activities.hypervisor import DestroyGuest, HypervisorActivities, SpawnGuest
    from activities.images import FetchImage, ImageActivities
    from activities.models import Attempt, Instance, Requester, VolumeRef
    from activities.moves import BeginMove, BegunMove, CompleteMove, EndMove, MoveActivities
    from activities.parking import ParkActivities, ParkGuest
    from activities.records import OweCleanup, RecordsActivities, Written
    from activities.scheduling import ClaimedHost, ClaimHost, SchedulingActivities
    from activities.volumes import AttachedVolume, ConnectActivities, VolumeActivities
    from infra.domain.move import MoveKind
    from infra.temporal.history import History
    from workflows import failures, policies
    from workflows.building import Building
    from workflows.saga import Saga, Stopped, side_by_side
    from workflows.verb import Holding, Outcome


class MoveParams(History):
    requester: Requester
    begin: BeginMove
    name: str = ""
    max_attempts: int = 3
    seconds: float = 3600.0
    to_same_host: bool = True
    """Whether a resize may stay where it is."""
    to_host: str | None = None
    """An administrator's choice."""


class Moving(Building, Holding):
    """Base of the moves; subclasses say in ``forward`` how the next attempt is made."""

    def __init__(self, params: MoveParams) -> None:
        super().__init__(params.begin.server_id)
        self.params = params
        self.requester = params.requester
        self.op = params.begin.op
        self.begun: BegunMove | None = None
        self.attempt: Attempt | None = None
        self.source: Attempt | None = None
        """The next attempt on the host of the one that stays, once that gives way."""
        self.parked_mark = 0
        self.spawning = False
        self.lost = False
        """The guest that was to stay could not be brought back."""
        self.saga = Saga(
            f"{params.begin.kind} {params.name}", self.server_id, Priority(priority_key=policies.VERB_PRIORITY)
        )

    async def run_move(self) -> Outcome:
        error = await self.guard(self.forward(), timedelta(seconds=self.params.seconds))
        if error is not None:
            await self.shielded(self.give_up(error))
        outcome = await self.close(error, Outcome(state="done", host=self.attempt.host if self.attempt else ""))
        self.hand_over()
        return outcome

    async def forward(self) -> None:
        raise NotImplementedError

    async def admit(self) -> BegunMove:
        begun: BegunMove = await self.saga.run(MoveActivities.begin, self.params.begin, policies.ADMISSION)
        self.answer = self.begun = begun
        return begun

    async def try_hosts(self, begun: BegunMove, *, at_home: bool = False) -> int:
        """Claim a host and build the next attempt there, again and again as hosts refuse; returns its power state.

        What a host refused is taken back first, so that the guest which stays runs meanwhile.

        Args:
            at_home: the host that the server is on comes first, and others where it has no room; otherwise it is left.
        """
        number, refusals = begun.next_attempt, 0
        excluded: tuple[str, ...] = () if at_home else (begun.host,)
        while True:
            home = begun.host if begun.host not in excluded else None
            try:
                self.attempt = None
                self.attempt = attempt = await self.claim(begun, number, excluded, self.params.to_host or home)
                return await self.build(begun, attempt)
            except ActivityError as error:
                no_room = self.attempt is None and home is not None and failures.cause_of(error).kind == "NoValidHost"
                refused = self.attempt is not None and failures.is_refusal(error)
                if self.saga.stopped or not (refused or no_room):
                    raise
                refusals += refused
                if refusals >= self.params.max_attempts:
                    raise
                excluded = (*excluded, self.attempt.host if self.attempt is not None else begun.host)
                if not await self.shielded(self.take_back()):
                    self.lost = True
                    raise
                number += 1

    async def claim(self, begun: BegunMove, number: int, excluded: tuple[str, ...], host: str | None) -> Attempt:
        params = ClaimHost(
            server_id=self.server_id, op=self.op, attempt=number, excluded=excluded, moving=True, host=host
        )
        claimed: ClaimedHost = await self.saga.step(
            SchedulingActivities.claim_host, params, policies.CLAIM, undo=policies.UNDO_RECORD, note=f"attempt {number}"
        )
        same = claimed.host == begun.host
        return Attempt(server_id=self.server_id, number=number, host=claimed.host, keeps=begun.attempt if same else 0)

    async def build(self, begun: BegunMove, attempt: Attempt) -> int:
        raise NotImplementedError

    async def describe(self, attempt: Attempt) -> tuple[Instance, Devices]:
        """What the next attempt is, once its host has said that it is there."""
        await self.saga.step(HostActivities.accept, AcceptServer(attempt=attempt), policies.ACCEPT, host=attempt.host)
        get = GetInstance(attempt=attempt, op=self.op)
        instance = await self.saga.step(ConductorActivities.get_instance, get, policies.RECORD)
        devices = GetDevices(server_id=self.server_id, op=self.op)
        return instance, await self.saga.step(ConductorActivities.get_devices, devices, policies.RECORD)

    async def park(self, begun: BegunMove, attempt: Attempt) -> None:
        """The guest that stays gives way; its undo has it run again if it ran."""
        self.parked_mark = self.saga.mark()
        self.source = attempt.model_copy(update={"host": begun.host, "keeps": begun.attempt})
        await self.saga.step(
            ParkActivities.park,
            ParkGuest(attempt=self.source, start=begun.ran),
            policies.HOST_SPAWN,
            host=begun.host,
            undo=policies.HOST_UNDO,
        )

    async def take_its_place(self, begun: BegunMove) -> tuple[Attempt, int]:
        """The next attempt on the host and in the room of the one that stays, and its power state."""
        self.attempt = attempt = Attempt(
            server_id=self.server_id, number=begun.next_attempt, host=begun.host, keeps=begun.attempt
        )
        instance, devices = await self.describe(attempt)
        # What takes long, and may not be there, comes before the guest is touched.
        images = await self.fetch_images(attempt, begun.images, shared=begun.old_images)
        await self.park(begun, attempt)
        return attempt, await self.spawn(begun, attempt, instance, devices, images)

    async def find_volumes(self, attempt: Attempt, volumes: tuple[VolumeRef, ...]) -> list[AttachedVolume]:
        """The volumes that the server has, as the next attempt reaches them."""

        async def find(volume: VolumeRef) -> AttachedVolume:
            found: AttachedVolume = await self.saga.step(
                VolumeActivities.find, volume, policies.HOST_CALL, host=attempt.host
            )
            connected: AttachedVolume = await self.saga.step(
                ConnectActivities.connect, found, policies.HOST_CALL, host=attempt.host
            )
            return connected

        return await side_by_side(*(find(volume) for volume in volumes))

    async def spawn(
        self, begun: BegunMove, attempt: Attempt, instance: Instance, devices: Devices, images: list[Any]
    ) -> int:
        """Ports, volumes, and the guest that has them; returns its power state."""
        nics, volumes = await side_by_side(
            self.plug_ports(attempt, instance.hostname, devices.ports), self.find_volumes(attempt, devices.volumes)
        )
        guest = SpawnGuest(
            attempt=attempt,
            instance=instance,
            images=tuple(images),
            nics=tuple(nics),
            volumes=tuple(volumes),
            start=begun.starts,
            rescue=self.params.begin.kind == MoveKind.RESCUE,
        )
        self.spawning = True
        spawned = await self.saga.step(
            HypervisorActivities.spawn, guest, policies.HOST_SPAWN, host=attempt.host, undo=policies.HOST_UNDO
        )
        return int(spawned.power_state)

    async def complete(self, attempt: Attempt, power_state: int) -> None:
        """The server is its new side; a delete that comes before finds that the move is undone."""
        params = CompleteMove(attempt=attempt, op=self.op, power_state=power_state)
        written: Written = await self.shielded(self.saga.persist(MoveActivities.complete, params, policies.UNDO_RECORD))
        if not written.written:
            raise Stopped

    async def drop(self, attempt: Attempt, images: tuple[str, ...] = ()) -> None:
        """Leave nothing of an attempt that is over, nor of images that nothing else of the server uses there; what its
        host can't do in its time it owes."""
        host = attempt.host
        try:
            await self.saga.run(
                HypervisorActivities.remove, DestroyGuest(attempt=attempt), policies.HOST_UNDO, host=host
            )
            for image_id in images:
                release = FetchImage(attempt=attempt, image_id=image_id, **self.sealed_token())
                await self.saga.run(ImageActivities.release, release, policies.HOST_UNDO, host=host)
        except ActivityError as error:
            what = failures.cause_of(error).message
            debt = OweCleanup(host=host, server_id=self.server_id, attempt=attempt.number, what=what)
            await self.saga.persist(RecordsActivities.owe_cleanup, debt, policies.UNDO_RECORD)

    async def take_back(self) -> bool:
        """Undo all that this try did. False: the guest that was to stay is not back."""
        owing: set[str] = set()
        back = True
        if self.source is not None:
            await self.saga.unwind(self.attempt, self.parked_mark + 1, owing)
            if self.spawning and owing - {self.source.host}:
                # What was made elsewhere may run, with the server's volumes and addresses.
                self.saga.discard(self.parked_mark)
            await self.saga.unwind(self.source, self.parked_mark, owing)
            back = not owing or (not self.spawning and self.source.host not in owing)
        await self.saga.unwind(self.attempt, 0, owing)
        self.source, self.spawning = None, False
        return back

    async def give_up(self, error: BaseException) -> None:
        """Take everything back; the action says why."""
        if self.begun is None and not failures.is_unsure(error):
            return
        self.lost |= not await self.take_back()
        message = self.stop_reason or failures.cause_of(error).message
        end = EndMove(server_id=self.server_id, op=self.op, message=message, failed=self.lost)
        await self.saga.persist(MoveActivities.abandon, end, policies.UNDO_RECORD)
