"""A guest that is still booting does not let go of a disk: the detach is tried again, not given up."""

import uuid
from pathlib import Path

import pytest
from temporalio.exceptions import ApplicationError

from activities.hypervisor import AttachDisk, HypervisorActivities
from activities.models import Attempt
from activities.volumes import AttachedVolume
from infra.compute.attempts import Attempts
from infra.compute.driver import Disk, Guest
from infra.compute.fake import FakeDriver
from infra.compute.guests import GuestFiles
from infra.domain.errors import HostRejected
from infra.domain.host import Inventory


def test_a_guest_that_holds_on_to_a_disk_is_asked_again(tmp_path: Path) -> None:
    server_id, volume_id = str(uuid.uuid4()), str(uuid.uuid4())
    booting = True

    def fault(call: str, moment: str) -> None:
        if booting and (call, moment) == ("detach_disk", "before"):
            raise HostRejected("The guest did not let go of the disk.", soft=True)

    driver = FakeDriver("h1", Inventory(vcpus=1, memory_mb=1024, disk_gb=10), fault=fault)
    disk = Disk(path=tmp_path / "v", format="qcow2", device="vdb", serial=volume_id[:20])
    driver.define(
        Guest(
            server_id=server_id,
            attempt=1,
            name="web",
            domain_name="kn-web",
            project_id="p",
            user_id="u",
            flavor_name="f",
            vcpus=1,
            memory_mb=128,
            disks=(disk,),
            console_log=tmp_path / "console",
        )
    )
    driver.start(server_id)
    steps = HypervisorActivities(driver, GuestFiles(tmp_path / "i"), Attempts(tmp_path / "a"), None)  # type: ignore[arg-type]
    attempt = Attempt(server_id=server_id, number=1, host="h1")
    volume = AttachedVolume(volume_id=volume_id, attachment_id=str(uuid.uuid4()), path="", format="")
    params = AttachDisk(attempt=attempt, attachment_id=volume.attachment_id, volume=volume)
    with pytest.raises(ApplicationError) as refused:
        steps.detach_disk(params)
    assert not refused.value.non_retryable
    assert driver.free_device(server_id) == "vdc"
    booting = False
    steps.detach_disk(params)
    assert driver.free_device(server_id) == "vdb"
