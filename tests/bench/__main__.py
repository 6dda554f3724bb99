"""``python -m tests.bench``: the headline figures, measured on the running stack, beside their floors in the same run.

Each boot in a row starts when the guest of the one before is gone. Figures are written to ``docs/benchmarks.md`` (the
table and the machine) and to ``<state>/bench.json``.
"""

import argparse
import asyncio
import json
import platform
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from infra import settings as configuration
from infra.deploy import libvirtd, seeds
from infra.deploy.config import ROOT, libvirt_directory
from infra.deploy.stack import Stack
from infra.settings import Settings
from tests.bench import fakes, memory
from tests.bench.cloud import BenchCloud
from tests.bench.floor import Floor

SECTIONS = ("row", "burst", "fake", "fair")
_QUOTA = {"instances": 500, "cores": 1000, "ram": 1000000, "force": True}


class Bench:
    def __init__(self, settings: Settings, demo: BenchCloud, admin: BenchCloud) -> None:
        self._settings = settings
        self._demo = demo
        self._admin = admin
        self.figures: dict[str, Any] = {}

    async def run(self, sections: set[str]) -> None:
        await self._admin.call("PUT", f"/compute/v2.1/os-quota-sets/{self._demo.project_id}", {"quota_set": _QUOTA})
        await self._admin.call("PUT", f"/network/v2.0/quotas/{self._demo.project_id}", {"quota": {"port": -1}})
        self._asked = await self._request()
        self.figures["idle_mib"] = memory.by_program(Stack(self._settings))
        if sections & {"row", "burst"}:
            async with self._floor() as floor:
                if "row" in sections:
                    await self._in_a_row(floor, 10)
                if "burst" in sections:
                    for count in (10, 20):
                        await self._at_once(floor, count)
        if sections & {"fake", "fair"}:
            async with fakes.fake_host(self._settings, self._admin):
                if "fake" in sections:
                    self.figures["fake_100"] = await fakes.at_once(self._demo, self._asked, 100)
                if "fair" in sections:
                    self.figures["fair_200"] = await fakes.behind(self._demo, self._admin, self._asked, 200)

    async def _request(self) -> dict[str, Any]:
        images = (await self._demo.call("GET", f"/image/v2/images?name={seeds.IMAGE}"))["images"]
        networks = (await self._demo.call("GET", f"/network/v2.0/networks?name={seeds.NETWORK}"))["networks"]
        return {"imageRef": images[0]["id"], "flavorRef": "1", "networks": [{"uuid": networks[0]["id"]}]}

    @asynccontextmanager
    async def _floor(self) -> AsyncIterator[Floor]:
        """A server that stays, so that its network does, and whose guest has come to rest."""
        server_id, _, _ = await self._demo.boot("bench-model", **self._asked)
        await self._demo.until_active(server_id)
        uri = libvirtd.uri(libvirt_directory(self._settings))
        floor = Floor(uri, f"kn-{server_id}", self._settings.host_directory)
        try:
            for _ in range(180):
                if await self._is_ready(server_id):
                    break
                await asyncio.sleep(1)
            yield floor
        finally:
            floor.close()
            await self._demo.delete(server_id)

    async def _is_ready(self, server_id: str) -> bool:
        answer = await self._demo.call("POST", f"/compute/v2.1/servers/{server_id}/action", {"os-getConsoleOutput": {}})
        return "kilonova-guest ready" in answer["output"]

    async def _in_a_row(self, floor: Floor, count: int) -> None:
        created, answered, active, deleted = [], [], [], []
        for number in range(count + 1):
            name, seconds = await asyncio.to_thread(floor.create)
            await asyncio.to_thread(floor.destroy, name)
            server_id, answer, began = await self._demo.boot(f"bench-{number}", **self._asked)
            await self._demo.until_active(server_id, not_before=0.8 * seconds)
            total = time.perf_counter() - began
            gone = await self._demo.delete(server_id)
            if number:
                created.append(seconds)
                answered.append(answer)
                active.append(total)
                deleted.append(gone)
        self.figures["row"] = {
            "virsh_create_s": statistics.median(created),
            "post_to_202_s": statistics.median(answered),
            "post_to_active_s": statistics.median(active),
            "delete_s": statistics.median(deleted),
            "ratio_to_virsh": statistics.median(active) / statistics.median(created),
            "runs": {"virsh": created, "202": answered, "active": active},
        }

    async def _at_once(self, floor: Floor, count: int) -> None:
        names, seconds = await asyncio.to_thread(floor.create_at_once, count)
        await asyncio.to_thread(floor.destroy, *names)
        began = time.perf_counter()
        booted = await asyncio.gather(*(self._demo.boot(f"burst-{number}", **self._asked) for number in range(count)))
        ids = [server_id for server_id, _, _ in booted]
        await self._demo.until_all_active(ids)
        total = time.perf_counter() - began
        gone = await self._demo.delete(*ids)
        self.figures[f"burst_{count}"] = {
            "virsh_per_s": count / seconds,
            "boots_per_s": count / total,
            "ratio_to_virsh": seconds / total,
            "post_to_202_median_s": statistics.median(answer for _, answer, _ in booted),
            "deletes_per_s": count / gone,
        }


def rows(figures: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """(figure, measured, floor in the same run, target)."""
    found: list[tuple[str, str, str, str]] = []
    if row := figures.get("row"):
        found += [
            ("POST to 202, median of 10", f"{row['post_to_202_s'] * 1000:.0f} ms", "", "<= 35 ms"),
            (
                "POST to ACTIVE, median of 10, real libvirt with network",
                f"{row['post_to_active_s']:.2f} s = {row['ratio_to_virsh']:.2f} x virsh create",
                f"{row['virsh_create_s']:.2f} s",
                "<= 1.4 x",
            ),
            ("DELETE to gone, median of 10", f"{row['delete_s']:.2f} s", "", ""),
        ]
    for count in (10, 20):
        if burst := figures.get(f"burst_{count}"):
            found.append(
                (
                    f"{count} boots at once, real libvirt with network",
                    f"{burst['boots_per_s']:.2f}/s = {burst['ratio_to_virsh']:.2f} x virsh create",
                    f"{burst['virsh_per_s']:.2f}/s",
                    ">= 0.7 x",
                )
            )
    if fake := figures.get("fake_100"):
        found.append(("100 boots at once, fake hypervisor", f"{fake['boots_per_s']:.1f}/s", "", ">= 20/s"))
        found.append(("100 deletes at once, fake hypervisor", f"{fake['deletes_per_s']:.1f}/s", "", ""))
    if fair := figures.get("fair_200"):
        found.append(
            (
                "one boot behind 200 of another project, fake hypervisor",
                f"{fair['single_s']:.2f} s: later by {fair['later_by_boots']:.1f} boots' time",
                f"{fair['alone_s']:.2f} s alone, {fair['mean_s'] * 1000:.0f} ms a boot in the burst; "
                f"median of {fair['singles']}, the longest {fair['longest_s']:.2f} s",
                "<= 6 boots' time",
            )
        )
    idle = figures["idle_mib"]
    control = sum(mib for name, mib in idle.items() if name != "keycloak")
    parts = ", ".join(f"{name} {mib:.0f}" for name, mib in idle.items())
    found.append(("memory, idle, without Keycloak (PSS)", f"{control:.0f} MiB", parts, "<= 614 MiB"))
    return found


def machine() -> str:
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "unknown",
    )
    cores = Path("/proc/cpuinfo").read_text().count("processor\t")
    memory_gib = int(Path("/proc/meminfo").read_text().split()[1]) / 2**20
    load = Path("/proc/loadavg").read_text().split()[0]
    return f"{cores} cores of {cpu}, {memory_gib:.0f} GiB, Linux {platform.release()}, load {load} at the start"


def write(figures: dict[str, Any], settings: Settings, where: str) -> None:
    (settings.state / "bench.json").write_text(json.dumps({"machine": where, **figures}, indent=2))
    lines = ["| figure | measured | floor in the same run, or parts | target |", "|---|---|---|---|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows(figures)]
    page = ROOT / "docs" / "benchmarks.md"
    head, _, rest = page.read_text().partition("<!-- table -->") if page.exists() else ("# Benchmarks\n\n", "", "")
    _, _, tail = rest.partition("<!-- end -->")
    stamp = time.strftime("%Y-%m-%d")
    table = "\n".join(lines)
    page.write_text(f"{head}<!-- table -->\n\nMeasured {stamp} on {where}.\n\n{table}\n\n<!-- end -->{tail or chr(10)}")


async def measure(settings: Settings, sections: set[str]) -> None:
    where = machine()
    async with BenchCloud(settings, "kilonova") as demo, BenchCloud(settings, "kilonova-admin") as admin:
        bench = Bench(settings, demo, admin)
        await bench.run(sections)
    table = Table("figure", "measured", "floor in the same run, or parts", "target", title=where)
    for row in rows(bench.figures):
        table.add_row(*row)
    Console().print(table)
    if sections == set(SECTIONS):
        write(bench.figures, settings, where)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measures the running stack.")
    parser.add_argument("section", nargs="*", choices=[*SECTIONS, []], help="some of it only")
    chosen = set(parser.parse_args().section) or set(SECTIONS)
    asyncio.run(measure(configuration.load(), chosen))


if __name__ == "__main__":
    main()
