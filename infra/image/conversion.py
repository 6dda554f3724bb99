"""``qemu-img`` on files that were checked before or that we made: it may take long, and ends when it is told to."""

import subprocess
from collections.abc import Callable

from infra.domain.errors import Unavailable

Heartbeat = Callable[[], None]

POLL_SECONDS = 0.2


def run(arguments: list[str], heartbeat: Heartbeat | None = None) -> bytes:
    """Run ``qemu-img`` and return what it wrote; a heartbeat that raises ends it.

    Raises:
        Unavailable: it failed; it may succeed another time (no room on the disk).
    """
    process = subprocess.Popen(
        ["qemu-img", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
    )
    try:
        while True:
            try:
                output, errors = process.communicate(timeout=POLL_SECONDS if heartbeat else None)
                break
            except subprocess.TimeoutExpired:
                assert heartbeat is not None
                heartbeat()
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    if process.returncode != 0:
        reason = "there is no room" if b"No space left" in errors else f"qemu-img {arguments[0]} failed"
        raise Unavailable(f"The disk's data can't be worked on: {reason}.")
    return output
