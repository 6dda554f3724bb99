"""Which accelerator works here, proven by booting a guest: one that opens is not one that runs.

The probe guest is a boot sector that enters 64-bit mode, counts, writes a word to the serial port and stops.
"""

import logging
import stat
import tempfile
import time
import uuid
from pathlib import Path
from typing import Literal, NamedTuple

import libvirt
from pydantic import BaseModel, ValidationError

from infra.compute.driver import Disk, Guest
from infra.compute.libvirt import domain_xml
from infra.compute.libvirt.connection import Connection
from infra.compute.libvirt.errors import is_unreachable, translate
from infra.domain.errors import HostRejected

_log = logging.getLogger(__name__)
_WORD = b"kilonova-probe"
_KVM_SECONDS = 10.0
# Translation is slow, and the first domain of a new libvirtd waits until it has examined QEMU.
_TCG_SECONDS = 60.0
_POLL_SECONDS = 0.05
_MEMORY_MB = 32
# SeaBIOS leaves out disks that are much smaller.
_DISK_BYTES = 1024**2


Wanted = Literal["auto", "kvm", "tcg"]


class Accelerator(NamedTuple):
    kind: Literal["kvm", "tcg"]
    reason: str
    """Why this one, in one sentence."""


class _Verdict(BaseModel):
    circumstances: str
    kind: Literal["kvm", "tcg"]
    reason: str


def boot_sector() -> bytes:
    """512 bytes that a BIOS boots: enter 64-bit mode with paging, count, write the word to the first serial port.

    A first sign of life proves nothing: a KVM that only runs prepared (paravirtual) kernels carries out all others
    one emulated instruction at a time. Counting to 67 million takes a processor 0.03 s, TCG 0.3 s, and it minutes.
    """
    code = bytes.fromhex(
        # 16-bit code at 0x7c00: no interrupts, all segments 0, stack below the code.
        "fa 31c0 8ed8 8ec0 8ed0 bc007c"
        # Page tables at 0x1000, 0x2000 and 0x3000: cleared, then the first 2 MiB mapped to themselves.
        "bf0010 b90018 fc f3ab c70600100320 c70600200330 c70600308300"
        # CR4.PAE, CR3 = 0x1000, EFER.LME.
        "66b820000000 0f22e0 66b800100000 0f22d8 66b9800000c0 0f32 0d0001 0f30"
        # The segment table at 0x7c78, then CR0.PG and CR0.PE, and a far jump to the 64-bit code at 0x7c5a.
        "660f0116887c 66b811000080 0f22c0 ea5a7c0800"
        # 64-bit code: count down from 0x4000000.
        "b900000004 ffc9 75fc"
        # The characters of the word (0x7c8e) to port 0x3f8 until a zero, then halt for good.
        "be8e7c0000 baf8030000 ac 84c0 7403 ee ebf8 f4 ebfd"
        # Segments: none, 64-bit code; then the table's size and address.
        "0000000000000000 00000000009a2000 0f00 787c0000"
    )
    return (code + _WORD + b"\n\0").ljust(510, b"\0") + b"\x55\xaa"


def choose(connection: Connection, wanted: Wanted, directory: Path) -> Accelerator:
    """The accelerator to use; what was found out is kept in ``directory`` until the machine or its QEMU changes.

    Raises:
        HostRejected: libvirtd can't be reached, or no guest boots under what is wanted.
    """
    directory.mkdir(parents=True, exist_ok=True)
    kept, circumstances = directory / "accelerator.json", _circumstances(connection, wanted)
    try:
        verdict = _Verdict.model_validate_json(kept.read_bytes())
        if verdict.circumstances == circumstances:
            return Accelerator(verdict.kind, verdict.reason)
    except (FileNotFoundError, ValidationError):
        _log.info("Finding out which accelerator works here")
    found = _find_out(connection, wanted, directory)
    part = kept.with_suffix(".part")
    part.write_text(_Verdict(circumstances=circumstances, **found._asdict()).model_dump_json())
    part.replace(kept)
    return found


def _circumstances(connection: Connection, wanted: Wanted) -> str:
    """What the verdict depends on: this boot of the machine, QEMU's version, the device, the setting."""
    device = Path("/dev/kvm")
    mode = oct(device.stat().st_mode) if device.exists() else "none"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    try:
        return f"{boot} {connection.get().getVersion()} {mode} {wanted}"
    except libvirt.libvirtError as error:
        raise translate(error, "tell its version") from error


def _find_out(connection: Connection, wanted: Wanted, directory: Path) -> Accelerator:
    problem = device_problem()
    if problem is not None:
        _log.warning("If QEMU does not run as root, each start takes over a minute: %s", problem)
    if wanted == "tcg":
        failure: str | None = "the settings ask for it"
    elif not Path("/dev/kvm").exists():
        failure = "there is no /dev/kvm"
    else:
        failure = _failure(connection, "kvm", directory, _KVM_SECONDS)
        if failure is None:
            return Accelerator("kvm", "A probe guest ran at full speed under KVM.")
        failure = f"under KVM {failure}"
    if wanted == "kvm":
        raise HostRejected(f"KVM was asked for and can't be used: {failure}")
    fallback = _failure(connection, "tcg", directory, _TCG_SECONDS)
    if fallback is not None:
        raise HostRejected(f"No guest runs here under TCG: {fallback}. TCG was tried because {failure}")
    return Accelerator("tcg", f"Guests run under TCG because {failure}.")


def device_problem(device: Path = Path("/dev/kvm")) -> str | None:
    """What makes each start take over a minute: a device that exists and that QEMU's user may not open.

    libvirtd then examines QEMU again before every domain. None when there is no such problem for a QEMU of group kvm.
    """
    try:
        found = device.stat()
    except FileNotFoundError:
        return None
    if stat.S_IMODE(found.st_mode) & 0o006 == 0o006:
        return None
    if device.group() == "kvm" and stat.S_IMODE(found.st_mode) & 0o060 == 0o060:
        return None
    return f"QEMU may not open {device}: run 'chgrp kvm {device} && chmod 660 {device}'"


def _failure(connection: Connection, kind: str, directory: Path, seconds: float) -> str | None:
    """Boot the probe guest; None when it spoke, else what went wrong as part of a sentence."""
    with tempfile.TemporaryDirectory(prefix="probe-", dir=directory) as name:
        # QEMU may run as another user than this process.
        folder = Path(name)
        folder.chmod(0o711)
        disk, log = folder / "disk", folder / "console"
        disk.write_bytes(boot_sector().ljust(_DISK_BYTES, b"\0"))
        disk.chmod(0o644)
        log.touch(mode=0o666)
        log.chmod(0o666)
        try:
            return _boot(connection.get(), _guest(disk, log), kind, seconds)
        except libvirt.libvirtError as error:
            if is_unreachable(error):
                raise translate(error, "boot a probe guest") from error
            return f"libvirt refused a probe guest ({' '.join(error.get_error_message().split())})"


def _guest(disk: Path, log: Path) -> Guest:
    probe = str(uuid.uuid4())
    return Guest(
        server_id=probe,
        attempt=0,
        name="probe",
        domain_name=f"probe-{probe}",
        project_id="",
        user_id="",
        flavor_name="",
        vcpus=1,
        memory_mb=_MEMORY_MB,
        disks=(Disk(path=disk, format="raw", device="vda", serial="probe", read_only=True, boot_index=0),),
        console_log=log,
    )


def _boot(connection: libvirt.virConnect, guest: Guest, kind: str, seconds: float) -> str | None:
    """Transient, so that it goes with its libvirtd at the latest. Raises libvirt's errors."""
    domain = connection.createXML(domain_xml.render(guest, kind), libvirt.VIR_DOMAIN_START_AUTODESTROY)
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if _WORD in guest.console_log.read_bytes():
                return None
            time.sleep(_POLL_SECONDS)
        return f"a probe guest did not get through its first few instructions within {seconds:.0f} s"
    finally:
        domain.destroy()
