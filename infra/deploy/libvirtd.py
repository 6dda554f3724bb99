"""A libvirtd of one's own: its state under one folder, in a mount namespace of its own, without systemd.

The developer stack and the tests run their guests under it, so that a libvirtd which serves something else on the
same machine is neither used nor changed. Needs root, and the Debian packages ``libvirt-daemon-system`` and
``qemu-system-x86``. A real installation uses the distribution's libvirtd.
"""

import sys
import uuid
from pathlib import Path

# What libvirtd has compiled in, and the folder below ours that stands in for it.
_BINDS = {
    "etc": "/etc/libvirt",
    "run": "/run/libvirt",
    "lib": "/var/lib/libvirt",
    "cache": "/var/cache/libvirt",
    "log": "/var/log/libvirt",
}
# A unix socket's address holds 108 bytes, the closing zero among them (unix(7)).
_SOCKET_PATH_BYTES = 107

_LIBVIRTD_CONF = """\
host_uuid = "{host_uuid}"
unix_sock_dir = "{run}"
unix_sock_rw_perms = "0770"
auth_unix_ro = "none"
auth_unix_rw = "none"
# One worker a concurrent boot, and room beside them for destroys and reports.
min_workers = 10
max_workers = 40
prio_workers = 10
max_client_requests = 40
log_level = 3
log_outputs = "3:stderr"
"""

# No log daemon, no device namespace and no cgroups: each needs systemd's help or costs time at every start.
_QEMU_CONF = """\
user = "{user}"
group = "{user}"
dynamic_ownership = {ownership}
remember_owner = 0
security_driver = "none"
stdio_handler = "file"
namespaces = [ ]
cgroup_controllers = [ ]
max_queued = 0
keepalive_interval = 5
keepalive_count = 5
"""

_START = """\
set -e
directory=$1
shift
while [ "$1" != -- ]; do
  mkdir -p "$2"
  mount --bind "$directory/$1" "$2"
  shift 2
done
shift
exec "$@" libvirtd --config "$directory/etc/libvirtd.conf" --pid-file "$directory/libvirtd.pid"
"""


def socket(directory: Path) -> Path:
    """The socket that the libvirtd of ``directory`` listens on."""
    return directory.absolute() / "run" / "libvirt-sock"


def uri(directory: Path) -> str:
    """The libvirt connection URI of the libvirtd of ``directory``."""
    return f"qemu+unix:///system?socket={socket(directory)}"


def prepare(directory: Path, qemu_user: str = "root") -> None:
    """Write the configuration of a libvirtd below ``directory``; done again, it keeps domains and the host's id.

    ``qemu_user`` is the user and group that QEMU runs as. As root, QEMU has no capabilities and files keep their owner.

    Raises:
        ValueError: the path is too long for a unix socket, or holds a character that libvirt's files can't quote.
    """
    directory = directory.absolute()
    if len(str(socket(directory)).encode()) > _SOCKET_PATH_BYTES:
        raise ValueError(f"'{directory}' is too long for libvirtd's socket: choose a shorter state folder")
    if not str(directory).isprintable() or any(mark in str(directory) for mark in "\"'\\?#%&"):
        raise ValueError(f"'{directory}' holds characters that libvirt's configuration can't: choose a plainer one")
    for name in _BINDS:
        (directory / name).mkdir(parents=True, exist_ok=True)
    identity = directory / "host_uuid"
    if not identity.exists():
        identity.write_text(str(uuid.uuid4()))
    values = {"host_uuid": identity.read_text().strip(), "run": directory / "run"}
    (directory / "etc" / "libvirtd.conf").write_text(_LIBVIRTD_CONF.format(**values))
    ownership = 0 if qemu_user == "root" else 1
    (directory / "etc" / "qemu.conf").write_text(_QEMU_CONF.format(user=qemu_user, ownership=ownership))


def command(directory: Path) -> list[str]:
    """The command that runs the libvirtd of ``directory`` in the foreground, logging to standard error.

    Killing it leaves the guests running; started again it finds them. Its own process id, which is not that of
    this command, stands in ``libvirtd.pid``.
    """
    binds = [part for name, target in _BINDS.items() for part in (name, target)]
    unshare = ["unshare", "--mount", "--propagation", "slave", "--"]
    parent = [sys.executable, "-I", "-S", str(Path(__file__).with_name("reaper.py"))]
    return [*unshare, "sh", "-c", _START, "libvirtd", str(directory.absolute()), *binds, "--", *parent]
