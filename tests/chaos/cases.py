"""The matrix: what is done to the stack, and when. ``docs/reliability.md`` says what each case is."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from tests.chaos import gate, harm, hosts, postgresql
from tests.e2e.world import World


@dataclass(frozen=True)
class Case:
    name: str
    harm: harm.Harm
    moments: tuple[float, ...]
    """Seconds after the first request of a burst of boots."""
    around: Callable[[World], AbstractContextManager[None]] = lambda world: nullcontext()
    """What has to stand before the first burst."""
    kills_guests: bool = False
    on_postgresql: bool = False


_IMAGES = gate.CloseImages(30)
_HOST = hosts.Dies()

CASES = (
    Case("api", harm.kill("api"), (0.1, 2)),
    Case("control worker", harm.kill("control-worker"), (0.1, 2)),
    Case("compute worker", harm.kill("compute-worker"), (0.5, 2.5)),
    Case("temporal", harm.kill("temporal"), (0.1, 2)),
    Case("keycloak", harm.kill("keycloak"), (0.1,)),
    Case("libvirtd", harm.kill("libvirtd"), (1, 2.5)),
    Case("dnsmasq", harm.kill_process("dnsmasq"), (0.5,)),
    Case("qemu", harm.kill_process("qemu"), (0, 20), kills_guests=True),
    Case("everything", harm.stop_everything, (1,)),
    Case("power", harm.cut_power, (5,), kills_guests=True),
    Case("compute worker hangs 40 s", harm.hang("compute-worker", 40), (1,)),
    Case("control worker hangs 20 s", harm.hang("control-worker", 20), (1,)),
    Case("disk full 30 s", harm.fill_disk(30), (1,)),
    Case("no images 30 s", _IMAGES, (0,), around=_IMAGES.around),
    Case("one host of three dies", _HOST, (0.5,), around=_HOST.around),
    Case("postgresql", harm.kill(postgresql.NAME), (0.1, 2), on_postgresql=True),
    Case("api on postgresql", harm.kill("api"), (2,), on_postgresql=True),
)
