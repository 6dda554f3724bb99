"""Makes this machine able to run guests: the private libvirtd's files, who QEMU runs as, and who may open /dev/kvm."""

import grp
import os
import pwd
import stat
from pathlib import Path

from infra.deploy import config, libvirtd
from infra.deploy.problems import SetupError
from infra.settings import Settings

_QEMU_USER = "libvirt-qemu"
_KVM = Path("/dev/kvm")


def prepare(settings: Settings) -> None:
    """Write the private libvirtd's configuration and mend the rights on /dev/kvm.

    Raises:
        SetupError: not root, or the state folder's path can't be used by libvirt.
    """
    if os.geteuid() != 0:
        raise SetupError("libvirtd, bridges and namespaces need root.", "Run it as root, or with sudo.")
    user = qemu_user(settings)
    try:
        libvirtd.prepare(config.libvirt_directory(settings), user)
    except ValueError as error:
        raise SetupError(f"{error}.", "Set KILONOVA_STATE_DIR.") from error
    if user != "root":
        mend_kvm()


def qemu_user(settings: Settings) -> str:
    """``libvirt-qemu`` where that user can reach the state folder, else ``root``."""
    try:
        pwd.getpwnam(_QEMU_USER)
    except KeyError:
        return "root"
    state = settings.state
    reachable = all(folder.stat().st_mode & stat.S_IXOTH for folder in (state, *state.parents))
    return _QEMU_USER if reachable else "root"


def mend_kvm() -> None:
    """Give /dev/kvm to the group ``kvm``, as Debian's udev rule does where udev runs.

    libvirtd asks QEMU for its abilities anew at each start of a guest, which takes over a minute, while /dev/kvm exists
    and QEMU's user can't open it.
    """
    if not _KVM.exists():
        return
    group = grp.getgrnam("kvm").gr_gid
    now = _KVM.stat()
    if now.st_gid != group or not now.st_mode & stat.S_IWGRP:
        os.chown(_KVM, -1, group)
        _KVM.chmod(stat.S_IMODE(now.st_mode) | stat.S_IRGRP | stat.S_IWGRP)
