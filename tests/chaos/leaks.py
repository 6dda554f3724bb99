"""What is left on the machine and in the stores, beyond what was there before, by kind."""

from typing import Any

from tests.e2e.traces import Traces

_DEVICES = {"b": "bridges", "x": "tunnels", "v": "veths", "t": "taps"}


def between(before: Traces, after: Traces, prefix: str) -> dict[str, list[Any]]:
    """What ``after`` has and ``before`` had not, or the other way round; kinds with none of it are left out."""
    kinds = {kind: _differing(before[kind], after[kind]) for kind in before if kind not in ("devices", "rows")}
    for device in _differing(before["devices"], after["devices"]):
        kinds.setdefault(_DEVICES.get(device.lstrip("-")[len(prefix)], "devices"), []).append(device)
    for table, count in after["rows"].items():
        if count != before["rows"][table]:
            kinds[table] = [f"{count - before['rows'][table]:+d}"]
    return {kind: found for kind, found in kinds.items() if found}


def _differing(before: list[Any], after: list[Any]) -> list[Any]:
    new, gone = list(after), []
    for one in before:
        if one in new:
            new.remove(one)
        else:
            gone.append(f"-{one}")
    return [*new, *gone]
