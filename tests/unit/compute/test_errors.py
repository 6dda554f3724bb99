"""What libvirt's errors mean for a request."""

from pathlib import Path

import libvirt
import pytest

from infra.compute.libvirt.errors import translate
from infra.compute.libvirt.probe import boot_sector, device_problem
from infra.domain.errors import BuildAborted, HostRejected, NotFound


def error(code: int, domain: int = libvirt.VIR_FROM_QEMU, message: str = "of\nlibvirt") -> libvirt.libvirtError:
    made = libvirt.libvirtError(message)
    made.err = (code, domain, message, 2, None, None, None, -1, -1)
    return made


@pytest.mark.parametrize(
    ("code", "domain", "soft"),
    [
        (libvirt.VIR_ERR_OPERATION_TIMEOUT, libvirt.VIR_FROM_QEMU, True),
        (libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_FROM_RPC, True),
        (libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_FROM_RPC, True),
        (libvirt.VIR_ERR_NO_CONNECT, libvirt.VIR_FROM_NONE, True),
        (libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_FROM_QEMU, False),
        (libvirt.VIR_ERR_NO_MEMORY, libvirt.VIR_FROM_QEMU, False),
        (libvirt.VIR_ERR_CONFIG_UNSUPPORTED, libvirt.VIR_FROM_QEMU, False),
    ],
)
def test_a_host_that_is_busy_is_told_from_one_that_can_not(code: int, domain: int, soft: bool) -> None:
    found = translate(error(code, domain), "start the server")
    assert isinstance(found, HostRejected)
    assert found.soft is soft
    assert "start the server" in found.message
    assert "\n" not in found.message


@pytest.mark.parametrize("code", [libvirt.VIR_ERR_XML_ERROR, libvirt.VIR_ERR_INVALID_ARG])
def test_a_bad_definition_is_bad_everywhere(code: int) -> None:
    assert isinstance(translate(error(code), "define"), BuildAborted)


def test_a_domain_that_is_not_there_is_not_found() -> None:
    assert isinstance(translate(error(libvirt.VIR_ERR_NO_DOMAIN), "start"), NotFound)


def test_a_long_message_is_cut() -> None:
    assert len(translate(error(libvirt.VIR_ERR_NO_MEMORY, message="x" * 10000), "start").message) < 400


def test_the_boot_sector_is_one() -> None:
    sector = boot_sector()
    assert len(sector) == 512
    assert sector.endswith(b"\x55\xaa")


def test_a_kvm_device_that_qemu_may_not_open_is_named(tmp_path: Path) -> None:
    device = tmp_path / "kvm"
    assert device_problem(device) is None
    device.touch(mode=0o600)
    device.chmod(0o600)
    assert "chgrp kvm" in (device_problem(device) or "")
    device.chmod(0o666)
    assert device_problem(device) is None
