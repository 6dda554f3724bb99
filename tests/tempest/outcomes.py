"""Turns a stream of test results (subunit v2) on standard input into lines of JSON: ``id``, ``status``, ``reason``.

Runs in Tempest's own virtual environment, the only one that has these two libraries, and imports nothing else.
"""

import json
import sys
from typing import Any

import subunit  # type: ignore[import-not-found]
import testtools  # type: ignore[import-not-found]


def _reason(test: dict[str, Any]) -> str:
    """Why it was skipped, or the last line of the last traceback that isn't a log."""
    details = test["details"]
    if "reason" in details:
        return str(details["reason"].as_text()).strip()
    texts = [details[name].as_text() for name in sorted(details) if name.startswith("traceback")]
    lines = [line for line in (texts[0] if texts else "").splitlines() if line and not line.startswith(" ")]
    return lines[-1].strip() if lines else ""


def _print(test: dict[str, Any]) -> None:
    if test["status"] != "exists":
        print(json.dumps({"id": test["id"], "status": test["status"], "reason": _reason(test)}))


result = testtools.StreamToDict(_print)
result.startTestRun()
subunit.ByteStreamToStreamResult(sys.stdin.buffer, non_subunit_name="stdout").run(result)
result.stopTestRun()
