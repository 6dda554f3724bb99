"""A lower CPU weight for guests than for the control plane."""

import logging
import os
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

_log = logging.getLogger(__name__)
_DEFAULT_RUN = Path("/run/libvirt")


def lower(uri: str, domain_name: str, nice: int) -> None:
    """Give a running domain's QEMU the niceness ``nice`` (0 to 19), in its scheduling group too; 0 leaves it alone.

    Best effort: where this process may not, the guest runs on at its own weight and the log says so. By pid file,
    because cgroups, which libvirt would use, want systemd.
    """
    if nice == 0:
        return
    try:
        pid = int(_pid_file(uri, domain_name).read_text())
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.setpriority(os.PRIO_PROCESS, int(thread.name), nice)
        # With autogroups a niceness counts only among the processes of one session (sched(7)).
        group = Path(f"/proc/{pid}/autogroup")
        if group.exists():
            group.write_text(str(nice))
    except (OSError, ValueError) as error:
        _log.warning("QEMU of %s keeps its CPU weight: %s", domain_name, error)


def _pid_file(uri: str, domain_name: str) -> Path:
    """Where libvirtd keeps the pid of a domain's QEMU: beside its socket."""
    sockets = parse_qs(urlsplit(uri).query).get("socket")
    run = Path(sockets[0]).parent if sockets else _DEFAULT_RUN
    return run / "qemu" / f"{domain_name}.pid"
