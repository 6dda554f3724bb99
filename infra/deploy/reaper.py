"""Runs one command and buries at once what it leaves behind: ``python reaper.py COMMAND [ARGUMENT...]``.

A hypervisor daemon takes a guest for alive until its ended process has been collected by its parent. Guests are
daemons, so that is process 1, which is slow at it (or never does it) on a machine without systemd. This process
stands in as the parent of all orphans below it (PR_SET_CHILD_SUBREAPER, prctl(2)). Ends as the command ends.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _start(command: list[str]) -> int:
    """Start the command, which is not to outlive this process; returns its process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        os.execvp(command[0], command)  # noqa: S606 (no shell is meant)
    except OSError as error:
        print(f"reaper: can't run '{command[0]}': {error}", file=sys.stderr, flush=True)
    os._exit(127)


def main(command: list[str]) -> int:
    """Returns the command's exit status, or 128 and its signal's number as shells do."""
    if not command:
        print("usage: reaper.py COMMAND [ARGUMENT...]", file=sys.stderr)
        return 2
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    child = _start(command)
    for number in _FORWARDED:
        signal.signal(number, lambda received, _frame: os.kill(child, received))
    while True:
        ended, status = os.wait()
        if ended == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
