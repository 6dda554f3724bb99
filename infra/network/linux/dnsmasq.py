"""The DHCP server process of a network: found by its pid file and its command line, so that it outlives the worker."""

import os
import select
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from infra.domain.errors import HostRejected

_NAME = "dnsmasq"
_EXECUTABLE = shutil.which(_NAME) or f"/usr/sbin/{_NAME}"
_STOP_MS = 2000
_START_SECONDS = 10


def unprivileged_user(directory: Path) -> str:
    """Whom the server runs as: ``nobody``, or ``root`` where others can't reach the directory it rereads."""
    for parent in (directory, *directory.parents):
        if not parent.stat().st_mode & 0o001:
            return "root"
    return "nobody"


def find(directory: Path) -> int | None:
    """Process id of the server that serves ``directory``; None when it does not run."""
    try:
        pid = int((directory / "pid").read_text())
    except (FileNotFoundError, ValueError):
        return None
    return pid if _serves(pid, directory) else None


def scan() -> list[tuple[int, Path]]:
    """Every DHCP server on the machine that has a pid file option, with the directory of that file."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            for argument in command_line(int(entry)):
                if argument.startswith("--pid-file="):
                    found.append((int(entry), Path(argument.removeprefix("--pid-file=")).parent))
    return found


def command_line(pid: int) -> list[str]:
    """Arguments of a dnsmasq process without its name; empty for any other process and for one that is gone."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return words[1:] if words and Path(words[0]).name == _NAME else []


def runs(pid: int, arguments: Sequence[str], namespace: int | None) -> bool:
    """Whether the process runs with exactly these arguments in the namespace of this inode number."""
    try:
        where = os.stat(f"/proc/{pid}/ns/net").st_ino
    except FileNotFoundError:
        return False
    return where == namespace and command_line(pid) == list(arguments)


def start(arguments: Sequence[str]) -> None:
    """Start the server in the calling thread's namespace; it answers when this returns.

    Raises:
        HostRejected: it did not start; the message is its own. Soft where it was killed.
    """
    try:
        done = subprocess.run(
            [_EXECUTABLE, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_START_SECONDS,
            start_new_session=True,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostRejected("The DHCP server could not be started on this host.") from error
    if done.returncode < 0:
        raise HostRejected("The DHCP server was killed in its start on this host.", soft=True)
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip()[:200]
        raise HostRejected(f"The DHCP server did not start on this host: {reason}")


def reload(directory: Path) -> None:
    """Have the server read its hosts and options again, before it answers the next request."""
    _signal(find(directory), directory, signal.SIGHUP)


def stop(directory: Path, pid: int | None = None) -> None:
    """End the server of ``directory`` and wait until it is gone; "not there" is success.

    Raises:
        HostRejected: it does not end.
    """
    candidates = [pid] if pid is not None else [found for found, where in scan() if where == directory]
    for candidate in candidates:
        handle = _open(candidate, directory)
        if handle is None:
            continue
        try:
            # It keeps nothing that needs a tidy end: leases are made anew from the hosts file.
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            waiting = select.poll()
            waiting.register(handle, select.POLLIN)
            if not waiting.poll(_STOP_MS):
                raise HostRejected("The DHCP server of a network does not end.", soft=True)
        except ProcessLookupError:
            pass
        finally:
            os.close(handle)


def _serves(pid: int, directory: Path) -> bool:
    return f"--pid-file={directory / 'pid'}" in command_line(pid)


def _open(pid: int, directory: Path) -> int | None:
    """A handle on the process, checked to be the one meant after it was opened, so that no other can be hit."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    if _serves(pid, directory):
        return handle
    os.close(handle)
    return None


def _signal(pid: int | None, directory: Path, number: signal.Signals) -> None:
    handle = _open(pid, directory) if pid is not None else None
    if handle is None:
        return
    try:
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)
