"""Everything that servers leave on a machine and in the stores while they live, as one comparable value."""

import asyncio
import json
import re
import subprocess
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

from infra.deploy import config, libvirtd
from infra.settings import Settings
from infra.temporal.client import connect

Traces = dict[str, Any]

# A host keeps these on purpose: images for the next boot, fences against late work, what it knows of itself.
_KEPT = ("accelerator.json", "attempts/", "fake/", "images/data/", "images/locks/", "network/locks/", "worker.lock")
_TABLES = (
    "claims",
    "ports",
    "port_addresses",
    "port_security_groups",
    "volume_attachments",
    "server_user_data",
    "debts",
)


def look(settings: Settings) -> Traces:
    prefix = settings.host.interface_prefix
    links = json.loads(_run("ip", "-json", "link", "show"))
    return {
        "domains": sorted(_virsh(settings, "list", "--all", "--name").split()),
        "processes": sorted(processes(settings).values()),
        "devices": sorted(link["ifname"] for link in links if link["ifname"].startswith(prefix)),
        "tables": sorted(set(re.findall(rf"table \S+ ({prefix}-\S+)", _run("nft", "list", "tables")))),
        "namespaces": sorted(name for name in _namespaces() if name.startswith(f"{prefix}-")),
        "files": _files(settings.host_directory.parent),
        "volumes": sorted(path.name for path in settings.volume_directory.rglob("*.qcow2")),
        "rows": _rows(settings),
        "servers": _column(settings, "SELECT id FROM servers WHERE deleted_at IS NULL"),
        "volume states": _column(settings, "SELECT status FROM volumes WHERE status <> 'deleted'"),
        "open runs": asyncio.run(_open_runs(settings)),
    }


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def _virsh(settings: Settings, *arguments: str) -> str:
    return _run("virsh", "-c", libvirtd.uri(config.libvirt_directory(settings)), *arguments)


def _namespaces() -> list[str]:
    return [line.split()[0] for line in _run("ip", "netns", "list").splitlines() if line]


def processes(settings: Settings) -> dict[int, str]:
    """The guests' and networks' processes of this stack: their names by their ids."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        name = Path(command[0].decode(errors="replace")).name
        ours = any(_mine(settings, argument) for argument in command)
        if ours and (name.startswith("qemu") or name == "dnsmasq"):
            found[int(process.name)] = name
    return found


def _mine(settings: Settings, argument: bytes) -> bool:
    return any(str(folder).encode() in argument for folder in (settings.state, settings.host_directory))


def _files(hosts: Path) -> list[str]:
    found = []
    for host in sorted(hosts.iterdir()) if hosts.exists() else []:
        for path in host.rglob("*"):
            name = str(path.relative_to(host))
            # An image's folder of references may stay, empty.
            if path.is_file() and not name.startswith(_KEPT):
                found.append(f"{host.name}/{name}")
    return sorted(found)


def _rows(settings: Settings) -> dict[str, int]:
    return {table: _column(settings, f"SELECT count(*) FROM {table}")[0] for table in _TABLES}


def _column(settings: Settings, query: str) -> list[Any]:
    engine = create_engine(settings.database_url)
    try:
        with engine.connect() as connection:
            return sorted(connection.execute(text(query)).scalars())
    finally:
        engine.dispose()


async def _open_runs(settings: Settings) -> list[str]:
    """But for those that bring hosts up to date: they come by themselves."""
    client = await connect(settings.temporal)
    query = "ExecutionStatus = 'Running' AND WorkflowType NOT IN ('ReconcileHost', 'SyncHostNetwork')"
    return sorted([run.id async for run in client.list_workflows(query)])
