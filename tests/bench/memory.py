"""Memory of the stack's processes: proportional set size, which counts shared pages once."""

from pathlib import Path

from infra.deploy.stack import Stack


def by_program(stack: Stack) -> dict[str, float]:
    """MiB by program, its child processes included; guests are not of any program."""
    return {status.name: sum(_pss(pid) for pid in _tree(status.pid)) / 1024 for status in stack.status() if status.pid}


def _tree(pid: int) -> list[int]:
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            if "qemu-system" not in Path(f"/proc/{child}/cmdline").read_text():
                found += _tree(int(child))
    return found


def _pss(pid: int) -> int:
    """KiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0
