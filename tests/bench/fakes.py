"""What is measured on a host that only remembers: throughput, and how long one project waits behind another."""

import asyncio
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from infra.deploy.config import ROOT, log_directory
from infra.settings import Settings
from tests.bench.cloud import BenchCloud

FAKE = "bench-fake"
ZONE = "bench-fake"


@asynccontextmanager
async def fake_host(settings: Settings, admin: BenchCloud) -> AsyncIterator[None]:
    """A compute worker with the fake driver, in a zone of its own."""
    log = (log_directory(settings) / f"{FAKE}.log").open("wb")
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workers", "compute", "--host", FAKE, "--driver", "fake"),
        stdout=log,
        stderr=log,
        cwd=ROOT,
        env={**os.environ, "KILONOVA_STATE_DIR": str(settings.state)},
    )
    try:
        await _until_up(settings, admin)
        body = {"aggregate": {"name": ZONE, "availability_zone": ZONE}}
        aggregate = (await admin.call("POST", "/compute/v2.1/os-aggregates", body))["aggregate"]["id"]
        path = f"/compute/v2.1/os-aggregates/{aggregate}"
        await admin.call("POST", f"{path}/action", {"add_host": {"host": FAKE}})
        try:
            yield
        finally:
            await admin.call("POST", f"{path}/action", {"remove_host": {"host": FAKE}})
            await admin.call("DELETE", path)
    finally:
        if worker.returncode is None:
            worker.terminate()
        await worker.wait()
        log.close()


async def _until_up(settings: Settings, admin: BenchCloud) -> None:
    for _ in range(600):
        found = (await admin.call("GET", "/compute/v2.1/os-hypervisors/detail"))["hypervisors"]
        if any(one["hypervisor_hostname"] == FAKE and one["state"] == "up" for one in found):
            return
        await asyncio.sleep(0.1)
    raise RuntimeError(f"Host {FAKE} did not come up; see its log {log_directory(settings)}/{FAKE}.log")


async def at_once(demo: BenchCloud, asked: dict[str, Any], count: int) -> dict[str, float]:
    """So many boots of one project together, then their deletes."""
    asked = {**asked, "availability_zone": ZONE}
    warm, _, _ = await demo.boot("fake-warm", **asked)
    await demo.until_active(warm)
    began = time.perf_counter()
    booted = await asyncio.gather(*(demo.boot(f"fake-{number}", **asked) for number in range(count)))
    ids = [server_id for server_id, _, _ in booted]
    await demo.until_all_active(ids)
    total = time.perf_counter() - began
    gone = await demo.delete(*ids, warm)
    return {
        "boots_per_s": count / total,
        "post_to_202_median_s": statistics.median(answer for _, answer, _ in booted),
        "deletes_per_s": count / gone,
    }


async def behind(demo: BenchCloud, admin: BenchCloud, asked: dict[str, Any], count: int) -> dict[str, float]:
    """One project sends so many boots at once; a second later another one sends one, and then one after the other until
    most of the many are admitted."""
    asked = {**asked, "availability_zone": ZONE}

    async def one(name: str) -> float:
        server_id, _, began = await admin.boot(name, **asked)
        await admin.until_active(server_id)
        total = time.perf_counter() - began
        await admin.delete(server_id)
        return total

    await one("fair-warm")
    alone = [await one(f"fair-alone-{number}") for number in range(5)]
    began = time.perf_counter()
    burst = [asyncio.create_task(demo.boot(f"fair-{number}", **asked)) for number in range(count)]
    await asyncio.sleep(1)
    singles: list[float] = []
    while not singles or sum(boot.done() for boot in burst) < 0.75 * count:
        singles.append(await one(f"fair-single-{len(singles)}"))
    ids = [(await boot)[0] for boot in burst]
    await demo.until_all_active(ids)
    mean = (time.perf_counter() - began) / (count + len(singles))
    for first in range(0, count, 50):
        await demo.delete(*ids[first : first + 50])
    own, single = statistics.median(alone), statistics.median(singles)
    return {
        "alone_s": own,
        "single_s": single,
        "longest_s": max(singles),
        "singles": len(singles),
        "mean_s": mean,
        "later_by_boots": (single - own) / mean,
    }
