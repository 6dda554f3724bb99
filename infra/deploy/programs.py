"""The programs of a stack, in the order in which they start: what runs each, and how one sees that it answers."""

import hashlib
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from infra.deploy import config, hypervisor, keycloak, libvirtd, realm, shell, temporal
from infra.settings import Settings
from infra.temporal import queues


def _nothing() -> None:
    pass


def _running(pid: int) -> bool:
    return True


@dataclass(frozen=True)
class Program:
    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    prepare: Callable[[], None] = _nothing
    """Done before each start: installs, writes configuration, upgrades."""
    ready: Callable[[int], bool] = _running
    """Whether the process of that pid answers; asked while it runs."""
    patience: float = 90
    """Seconds until it has to answer."""
    port: int | None = None
    """TCP port on loopback that it listens on."""
    stop_seconds: int = 10
    """How long it may take to stop before it is killed."""
    group: bool = True
    """Whether stopping it stops its child processes too."""


def programs(settings: Settings) -> list[Program]:
    """All programs of the stack that ``settings`` describe; each needs those before it."""
    return [_temporal(settings), _keycloak(settings), _libvirtd(settings), *_own(settings)]


def _temporal(settings: Settings) -> Program:
    return Program(
        name="temporal",
        command=temporal.command(settings),
        ready=lambda pid: temporal.answers(settings),
        port=settings.deploy.temporal_port,
    )


def _keycloak(settings: Settings) -> Program:
    def prepare() -> None:
        keycloak.install(settings)
        keycloak.write_realm(settings, realm.realm(settings))

    return Program(
        name="keycloak",
        command=keycloak.command(settings),
        environment=keycloak.environment(settings),
        prepare=prepare,
        ready=lambda pid: keycloak.answers(settings),
        patience=300,
        port=settings.deploy.keycloak_port,
        stop_seconds=20,
    )


def _libvirtd(settings: Settings) -> Program:
    directory = config.libvirt_directory(settings)
    return Program(
        name="libvirtd",
        command=libvirtd.command(directory),
        prepare=lambda: hypervisor.prepare(settings),
        ready=lambda pid: shell.succeeds(["virsh", "-c", libvirtd.uri(directory), "list"]),
        # QEMU processes are its children, and outlive it.
        group=False,
    )


def _own(settings: Settings) -> list[Program]:
    # Changed code is a changed program: supervisord restarts what differs.
    environment = {"STACK_CODE": _fingerprint()}

    def module(*arguments: str) -> list[str]:
        return [sys.executable, "-m", *arguments]

    def upgrade() -> None:
        mend = "Its log says which migration failed; a developer stack can be made anew with `make clean`."
        log = config.log_directory(settings) / "setup.log"
        shell.run(module("infra.db", "upgrade"), mend=mend, log=log, cwd=config.ROOT)

    api = Program(
        name="api",
        command=module("api"),
        environment=environment,
        prepare=upgrade,
        ready=lambda pid: _answers(f"http://{settings.api.host}:{settings.api.port}/"),
        port=settings.api.port,
    )
    control = Program(
        name="control-worker",
        command=module("workers", "control"),
        environment=environment,
        ready=lambda pid: temporal.polls(settings, queues.CONTROL, pid),
        stop_seconds=45,
    )
    compute = Program(
        name="compute-worker",
        command=module("workers", "compute", "--host", settings.host.name, "--driver", "libvirt"),
        environment=environment,
        # It proves the hypervisor, enrols, and pays its debts before it polls.
        ready=lambda pid: temporal.polls(settings, queues.host_queue(settings.host.name, queues.Lane.URGENT), pid),
        patience=180,
        stop_seconds=45,
        # It starts the networks' DHCP servers, which serve guests that outlive it.
        group=False,
    )
    return [api, control, compute]


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for room in ("api", "workflows", "activities", "workers", "infra"):
        for file in sorted((config.ROOT / room).rglob("*.py")):
            if file.is_relative_to(config.ROOT / "infra" / "deploy"):
                continue
            digest.update(f"{file}:{file.stat().st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code < 500
    except httpx.HTTPError:
        return False


def taken(port: int) -> bool:
    """Whether some process listens on this TCP port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
