"""The one connection of a process to its libvirtd: opened when needed, opened again when the daemon was restarted."""

import logging
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout

import libvirt

from infra.compute.libvirt.errors import translate
from infra.domain.errors import HostRejected

_log = logging.getLogger(__name__)
# A daemon that answers no keep-alive for 20 s ends every call that waits for it.
_KEEPALIVE_SECONDS = 5
_KEEPALIVE_COUNT = 4
_OPEN_SECONDS = 10.0

_loop_lock = threading.Lock()
_loop: threading.Thread | None = None


def _run_events() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError:
            _log.exception("libvirt's event loop failed and goes on")


def _start_event_loop() -> None:
    """Keep-alives are sent and read by an event loop, one a process, which must stand before the first connection."""
    global _loop
    with _loop_lock:
        if _loop is None:
            # Errors come as exceptions; libvirt would print each of them as well.
            libvirt.registerErrorHandler(lambda _context, _error: None, None)
            libvirt.virEventRegisterDefaultImpl()
            _loop = threading.Thread(target=_run_events, name="libvirt-events", daemon=True)
            _loop.start()


class Connection:
    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._lock = threading.Lock()
        self._opening: Future[libvirt.virConnect] | None = None

    def get(self) -> libvirt.virConnect:
        """The open connection.

        Raises:
            HostRejected: soft, the daemon can't be reached or did not answer in time.
        """
        with self._lock:
            opening = self._opening
            if opening is None or (opening.done() and not _alive(opening)):
                opening = self._opening = self._open()
        try:
            return opening.result(_OPEN_SECONDS)
        except FutureTimeout as error:
            raise HostRejected(f"libvirtd did not answer within {_OPEN_SECONDS:.0f} s", soft=True) from error
        except libvirt.libvirtError as error:
            raise translate(error, "be reached") from error

    def _open(self) -> Future[libvirt.virConnect]:
        """Open in a thread: a daemon that stands still would hold the caller for ever. Waiters share the attempt."""
        _start_event_loop()
        opening: Future[libvirt.virConnect] = Future()

        def work() -> None:
            try:
                connection = libvirt.open(self.uri)
                connection.setKeepAlive(_KEEPALIVE_SECONDS, _KEEPALIVE_COUNT)
                opening.set_result(connection)
            except BaseException as error:
                opening.set_exception(error)

        threading.Thread(target=work, name="libvirt-open", daemon=True).start()
        return opening

    def close(self) -> None:
        """Close the connection; the next ``get`` opens another."""
        with self._lock:
            opening, self._opening = self._opening, None
        if opening is not None and opening.done() and _alive(opening):
            opening.result().close()


def _alive(opened: Future[libvirt.virConnect]) -> bool:
    try:
        return opened.exception() is None and bool(opened.result().isAlive())
    except libvirt.libvirtError:
        return False
