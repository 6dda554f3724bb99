"""A boot: from a request to a running machine, or to nothing at all.

``forward`` reads like the request flow of an OpenStack boot: token, conflicts and row, host, then image, network and
volumes side by side, then the guest. ``admission`` answers the API as soon as the request is durable and its row is
there. Whatever fails, or whoever deletes it meanwhile, ``unwind`` takes back what was done.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid5

from temporalio import workflow
from temporalio.common import Priority
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.base import Failure
    from activities.conductor import ConductorActivities, GetInstance
    from activities.hosts import AcceptServer, HostActivities
    from activities.hypervisor import HypervisorActivities, SpawnGuest
    from activities.identity import IdentityActivities
    from activities.models import Admitted, Attempt, Instance, PortRef, Requester, VolumeRef
    from activities.networks import AllocatedPort, AllocatePort, PortActivities
    from activities.records import (
        CreateServers,
        Held,
        Place,
        RecordsActivities,
        SetActive,
        SetError,
        Withdrawn,
        Written,
    )
    from activities.scheduling import ClaimedHost, ClaimHost, HostRef, SchedulingActivities
    from activities.volumes import AttachedVolume, ConnectActivities, MarkAttached, UseVolume, VolumeActivities
    from infra.temporal import attributes
    from infra.temporal.history import History
    from workflows import failures, policies
    from workflows.building import Building, HostRefused
    from workflows.saga import Saga, Stopped, side_by_side
    from workflows.verb import Deletable, Outcome


class BootParams(History):
    requester: Requester
    create: CreateServers
    admitted: Admitted | None = None
    """Set where a reservation admitted several servers at once: this run is one of them."""
    max_attempts: int = 3
    boot_seconds: float = 600.0


@workflow.defn(name="BootServer")
class BootServer(Building, Deletable):
    @workflow.init
    def __init__(self, params: BootParams) -> None:
        server_id = params.create.server_ids[0]
        super().__init__(server_id)
        self.params = params
        self.requester = params.requester
        self.op = params.create.request_id
        self.server = params.admitted
        self.answer = params.admitted
        self.causes: list[str] = []
        self.explanation: dict[str, Any] | None = None
        self.attempt: Attempt | None = None
        priority = Priority(priority_key=policies.BOOT_PRIORITY, fairness_key=params.create.project_id)
        self.saga = Saga(str(params.create.spec.get("name", server_id))[:60], server_id, priority)

    @workflow.update(name="admission")
    async def admission(self) -> Admitted:
        """Answers when the request is durable and its row is there; fails with the refusal's code otherwise."""
        admitted: Admitted = await self.admitted()
        return admitted

    @workflow.run
    async def run(self, params: BootParams) -> Outcome:
        error = await self.guard(self.forward(), timedelta(seconds=params.boot_seconds))
        if error is not None and self.server is not None:
            active = await self.shielded(self.is_active())
            error = None if active else error
            if error is not None:
                await self.shielded(self.give_up(error))
        elif error is not None:
            await self.shielded(self.withdraw(error))
        outcome = await self.close(error, Outcome(state="active", host=self.attempt.host if self.attempt else ""))
        self.hand_over()
        return outcome

    async def forward(self) -> None:
        """The request, step by step. Raises what ended it."""
        server = await self.admit()
        await self.make_volumes(server)
        excluded: list[str] = []
        busy: list[str] = []
        pause = policies.BUSY_PAUSE
        number = 0
        while True:
            number += 1
            mark = self.saga.mark()
            claimed = await self.claim(number, excluded, busy)
            self.attempt = Attempt(server_id=server.server_id, number=number, host=claimed.host)
            try:
                power_state = await self.build(server, self.attempt, claimed)
                break
            except HostRefused as refused:
                soft = refused.cause.soft
                (busy if soft else excluded).append(claimed.host)
                self.note(f"{claimed.host}: {refused.cause.message}")
                if len(excluded) >= self.params.max_attempts:
                    raise ApplicationError(
                        f"Exceeded maximum number of retries. {self.causes[0]}",
                        Failure(code=500, message=self.causes[0], kind="MaxRetriesExceeded"),
                        type="MaxRetriesExceeded",
                    ) from refused
                await self.shielded(self.saga.unwind(self.attempt, mark))
                if soft:
                    busy = list(dict.fromkeys(busy))
                    await workflow.sleep(pause)
                    pause = min(2 * pause, policies.BUSY_PAUSE_LONGEST)
                else:
                    failed = HostRef(host=claimed.host)
                    await self.saga.step(SchedulingActivities.build_failed, failed, policies.UNDO_RECORD)
        await self.become_active(power_state)

    def note(self, cause: str) -> None:
        """One more reason, for the fault's chain of causes."""
        if cause not in self.causes:
            self.causes.append(cause)

    async def admit(self) -> Admitted:
        """Steps 3 and 4; what follows waits for nobody, so the answer leaves right after the row is written."""
        if self.server is not None:
            return self.server
        await self.saga.run(IdentityActivities.validate_token, self.params.requester, policies.ADMISSION)
        created = await self.saga.run(RecordsActivities.create_servers, self.params.create, policies.ADMISSION)
        self.answer = self.server = created.servers[0]
        assert self.server is not None
        return self.server

    async def make_volumes(self, server: Admitted) -> None:
        """Volumes that the boot needs made: once, whichever host gets the server in the end."""
        nowhere = Attempt(server_id=self.server_id, number=0, host="")
        await side_by_side(
            *(
                self.saga.step(
                    VolumeActivities.create,
                    UseVolume(attempt=nowhere, volume=volume, **self.sealed_token()),
                    policies.SERVICE_CALL,
                    undo=policies.REST_UNDO,
                )
                for volume in server.volumes
                if volume.source_type != "volume"
            )
        )

    async def claim(self, number: int, excluded: list[str], busy: list[str]) -> ClaimedHost:
        """Step 5."""
        params = ClaimHost(
            server_id=self.server_id,
            op=self.op,
            attempt=number,
            excluded=tuple(excluded),
            soft_excluded=tuple(busy),
        )
        claimed: ClaimedHost = await self.saga.step(
            SchedulingActivities.claim_host, params, policies.CLAIM, undo=policies.UNDO_RECORD, note=f"attempt {number}"
        )
        self.explanation = claimed.explanation
        return claimed

    async def build(self, server: Admitted, attempt: Attempt, claimed: ClaimedHost) -> int:
        """Steps 6 to 11 on one host; returns the guest's power state.

        Raises:
            HostRefused: another host may do.
        """
        host = attempt.host
        workflow.upsert_search_attributes([attributes.HOST.value_set(host), attributes.PHASE.value_set("building")])
        place = Place(server_id=self.server_id, op=self.op, host=host, attempt=attempt.number, zone=claimed.zone)
        get = GetInstance(attempt=attempt, op=self.op)
        try:
            placed: Written = await self.saga.step(
                RecordsActivities.place, place, policies.RECORD, undo=policies.UNDO_RECORD, always=True
            )
            if not placed.written:
                raise Stopped
            instance: Instance = await self.saga.step(ConductorActivities.get_instance, get, policies.RECORD)
            ports = await self.reach(server, attempt)
            images, nics, volumes = await side_by_side(
                self.fetch_images(attempt, server.images),
                self.plug_ports(attempt, instance.hostname, ports),
                self.connect_volumes(server, attempt),
            )
            spawn = SpawnGuest(
                attempt=attempt, instance=instance, images=tuple(images), nics=tuple(nics), volumes=tuple(volumes)
            )
            spawned = await self.saga.step(
                HypervisorActivities.spawn, spawn, policies.HOST_SPAWN, host=host, undo=policies.HOST_UNDO
            )
            await side_by_side(
                *(
                    self.saga.step(
                        VolumeActivities.complete,
                        MarkAttached(attachment_id=volume.attachment_id, device=spawned.devices[volume.volume_id]),
                        policies.HOST_CALL,
                        host=host,
                    )
                    for volume in volumes
                )
            )
        except ActivityError as error:
            if self.saga.stopped or not failures.is_refusal(error):
                raise
            raise HostRefused(failures.cause_of(error)) from error
        return int(spawned.power_state)

    async def reach(self, server: Admitted, attempt: Attempt) -> list[AllocatedPort]:
        """Step 6, by the first half of step 9: what the host is asked for first also says that it is there. None of it
        leaves anything on the host, so that one that does not answer owes nothing."""
        if not server.ports:
            accept = AcceptServer(attempt=attempt)
            await self.saga.step(HostActivities.accept, accept, policies.ACCEPT, host=attempt.host)
        return await side_by_side(
            *(
                self.saga.step(
                    PortActivities.allocate,
                    AllocatePort(
                        attempt=attempt,
                        port=port_of(port, attempt),
                        security_groups=server.security_groups,
                        **self.sealed_token(),
                    ),
                    policies.ACCEPT,
                    host=attempt.host,
                    undo=policies.REST_UNDO,
                )
                for port in server.ports
            )
        )

    async def connect_volumes(self, server: Admitted, attempt: Attempt) -> list[AttachedVolume]:
        """Step 10."""
        host = attempt.host

        async def connect(volume: VolumeRef) -> AttachedVolume:
            use = UseVolume(attempt=attempt, volume=volume, **self.sealed_token())
            if volume.source_type != "volume":
                await self.saga.step(VolumeActivities.await_available, use, policies.VOLUME_WAIT, host=host)
            attached: AttachedVolume = await self.saga.step(
                VolumeActivities.attach, use, policies.HOST_CALL, host=host, undo=policies.REST_UNDO
            )
            connected: AttachedVolume = await self.saga.step(
                ConnectActivities.connect, attached, policies.HOST_CALL, host=host
            )
            return connected

        return await side_by_side(*(connect(volume) for volume in server.volumes))

    async def become_active(self, power_state: int) -> None:
        """Step 12. From here on the boot only goes forward; a delete that comes now finds that it holds the row."""
        active = SetActive(server_id=self.server_id, op=self.op, power_state=power_state)
        written: Written = await self.shielded(self.saga.persist(RecordsActivities.set_active, active, policies.RECORD))
        if not written.written:
            raise Stopped
        workflow.upsert_search_attributes([attributes.PHASE.value_set("active")])

    async def is_active(self) -> bool:
        """What the row says, before anything is undone: with a workflow task that failed the engine forgets the local
        activities in it, so that the server may be ACTIVE and this run not know. From here on it can't become so."""
        held = Held(server_id=self.server_id, op=self.op)
        begun: Written = await self.saga.persist(RecordsActivities.begin_undo, held, policies.UNDO_RECORD)
        return not begun.written

    async def give_up(self, error: BaseException) -> None:
        """Take everything back; the server says why, unless a delete takes the row as well."""
        await self.saga.unwind(self.attempt)
        if self.delete_request is not None:
            return
        cause = failures.cause_of(error)
        self.note(self.stop_reason or cause.message)
        self.stop_reason = " ".join(self.causes)
        await self.saga.persist(
            RecordsActivities.set_error,
            SetError(
                server_id=self.server_id,
                op=self.op,
                code=cause.code if cause.code >= 400 else 500,
                message=self.causes[0],
                details="\n".join(self.causes),
                explanation=cause.explanation or self.explanation,
            ),
            policies.UNDO_RECORD,
        )
        workflow.upsert_search_attributes([attributes.PHASE.value_set("error")])

    async def withdraw(self, error: BaseException) -> None:
        """The request was not admitted: what a lost or late admission wrote goes, before anybody is answered."""
        if failures.is_unsure(error):
            held = Withdrawn(server_id=self.server_id, op=self.op, project_id=self.params.create.project_id)
            await self.saga.persist(RecordsActivities.withdraw, held, policies.UNDO_RECORD)


def port_of(requested: PortRef, attempt: Attempt) -> PortRef:
    """A port that the boot makes is another one in every attempt: the one before may be left to a host that is away."""
    if not requested.created or attempt.number == 1:
        return requested
    again = uuid5(UUID(requested.port_id), f"attempt/{attempt.number}")
    return requested.model_copy(update={"port_id": str(again)})
