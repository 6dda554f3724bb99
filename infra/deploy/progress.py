"""Shows the steps of a set-up as they run: a line each when done, with the time it took."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class Steps:
    """The terminal's side of a set-up. On a terminal, running steps turn; elsewhere only finished ones are printed."""

    def __init__(self, console: Console) -> None:
        self.console = console
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console, transient=True)

    def __enter__(self) -> "Steps":
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show ``title`` while the body runs, and how it ended."""
        task = self._progress.add_task(title, total=None)
        began = time.monotonic()
        mark = "[red]✗[/]"
        try:
            yield
            mark = "[green]✓[/]"
        finally:
            self._progress.remove_task(task)
            self.console.print(f"{mark} {title} [dim]{time.monotonic() - began:.1f} s[/]", highlight=False)

    def together(self, steps: dict[str, Callable[[], object]]) -> None:
        """Do steps that don't need each other side by side; the first failure is raised when all have ended."""

        def one(title: str) -> None:
            with self.step(title):
                steps[title]()

        with ThreadPoolExecutor(len(steps)) as pool:
            for future in [pool.submit(one, title) for title in steps]:
                future.result()
