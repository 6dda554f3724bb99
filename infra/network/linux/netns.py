"""Network namespaces. Work in one is done by a thread that ends there, so that no other thread ever changes place."""

import ctypes
import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from pyroute2 import netns

_T = TypeVar("_T")
_CLONE_NEWNET = 0x40000000
_DIRECTORY = Path(netns.NETNS_RUN_DIR)
_MOUNTS = threading.Lock()

_libc = ctypes.CDLL(None, use_errno=True)


def path(name: str) -> Path:
    return _DIRECTORY / name


def exists(name: str) -> bool:
    """Whether a namespace is mounted there: a file left without its mount is none."""
    return inode(name) is not None


def inode(name: str) -> int | None:
    """The namespace's inode number, which tells it from an earlier one of the same name; None where none is."""
    try:
        there = os.stat(_DIRECTORY / name)
    except FileNotFoundError:
        return None
    mine = os.stat("/proc/thread-self/ns/net")
    return there.st_ino if there.st_dev == mine.st_dev else None


def names() -> list[str]:
    return sorted(netns.listnetns())


def run_in(name: str, work: Callable[[], _T]) -> _T:
    """Result of ``work``, done inside the namespace, which is made where it does not exist."""

    def enter() -> _T:
        if exists(name):
            netns.setns(str(path(name)), flags=0)
        else:
            _make(name)
        return work()

    return _in_thread(enter)


def listen_in(name: str, address: str, port: int) -> socket.socket:
    """A TCP socket that listens inside an existing namespace; usable from any thread.

    Raises:
        OSError: there is no such namespace, or the address is not there or taken.
    """

    def make() -> socket.socket:
        netns.setns(str(path(name)), flags=0)
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
            listener.listen(128)
        except BaseException:
            listener.close()
            raise
        return listener

    return _in_thread(make)


def remove(name: str) -> None:
    """Forget the namespace; it ends when the last process and socket in it do. "Not there" is success."""
    try:
        netns.remove(name)
    except FileNotFoundError:
        return


def _make(name: str) -> None:
    with _MOUNTS:
        # What a crash between file and mount left behind would refuse the new one.
        path(name).unlink(missing_ok=True)
        if _libc.unshare(_CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "can't make a network namespace")
        netns.attach(name, "thread-self")


def _in_thread(work: Callable[[], _T]) -> _T:
    future: Future[_T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    thread = threading.Thread(target=run, name="netns", daemon=True)
    thread.start()
    thread.join()
    return future.result()
