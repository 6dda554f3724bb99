"""The step table of a run, as the Temporal UI draws it: cells without a gap, broken at any blank that may be."""

from datetime import UTC, datetime, timedelta

from workflows.step_table import StepRow

BEGAN = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


def test_a_time_stays_on_its_line_and_a_long_reason_may_be_broken() -> None:
    row = StepRow("images.fetch", "cpu-1", BEGAN, "attempt 2", "failed: no room", BEGAN + timedelta(milliseconds=21))
    gap = "\u00a0"
    cells = [cell.strip(" ") for cell in row.line().strip("|").split("|")]
    assert cells == [
        f"{gap}images.fetch{gap}",
        f"{gap}cpu-1{gap}",
        f"{gap}03:04:05.678{gap}",
        f"{gap}21{gap}ms{gap}",
        f"{gap}failed: no room (attempt 2){gap}",
    ]
