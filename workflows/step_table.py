"""The steps of a run as a table: the Temporal UI shows it as the run's current details."""

from dataclasses import dataclass
from datetime import datetime

from temporalio import workflow

_FIXED = "\u00a0"
_SHOWN = 40


@dataclass
class StepRow:
    """One line of the table."""

    name: str
    where: str
    began: datetime
    note: str
    state: str = "running"
    ended: datetime | None = None

    def line(self) -> str:
        took = f"{(self.ended - self.began).total_seconds() * 1000:.0f} ms" if self.ended else ""
        began = self.began.strftime("%H:%M:%S.%f")[:-3]
        state = f"{self.state} ({self.note})" if self.note else self.state
        return _cells(self.name, self.where, began, took.replace(" ", _FIXED), state)


def _cells(*cells: str) -> str:
    # The UI draws cells without a gap.
    return "".join(f"| {_FIXED}{cell}{_FIXED} " for cell in cells) + "|"


class StepTable:
    def __init__(self) -> None:
        self.rows: list[StepRow] = []

    def begin(self, name: str, host: str | None, note: str) -> StepRow:
        row = StepRow(name, host or "control", workflow.now(), note)
        self.rows.append(row)
        self._show()
        return row

    def end(self, row: StepRow, state: str) -> None:
        if not workflow.in_workflow():
            # The run is only being dropped from this worker's cache.
            return
        row.state, row.ended = state, workflow.now()
        self._show()

    def _show(self) -> None:
        lines = [_cells("step", "where", "started", "took", "state"), "|:--|:--|:--|--:|:--|"]
        lines += [row.line() for row in self.rows[-_SHOWN:]]
        workflow.set_current_details("\n".join(lines))
