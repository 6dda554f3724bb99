"""How results are scored and told. Tempest itself runs by ``make tempest`` only."""

from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.tempest import leftovers, page
from tests.tempest.run import Outcome, score

_FLAVOR = "tempest.api.compute.flavors.test_flavors.FlavorsV2TestJSON.test_get_flavor"
_ROUTER = "tempest.api.network.test_routers.RoutersTest.test_add_multiple_router_interfaces"


def test_a_test_without_a_result_has_not_passed() -> None:
    assert score([_FLAVOR], {}) == [Outcome(_FLAVOR, "not run", "no result")]


def test_a_test_whose_class_failed_has_the_reason_of_the_class() -> None:
    broken = {"setUpClass (tempest.api.compute.flavors.test_flavors.FlavorsV2TestJSON)": ("fail", "no such image")}
    assert score([_FLAVOR], broken) == [Outcome(_FLAVOR, "not run", "setUpClass: no such image")]


def test_results_of_other_tests_count_for_nothing() -> None:
    results = {_FLAVOR: ("success", ""), _ROUTER: ("fail", "404")}
    assert score([_FLAVOR], results) == [Outcome(_FLAVOR, "success", "")]


def test_a_run_replaces_its_own_section_and_keeps_the_others(tmp_path: Path) -> None:
    file = tmp_path / "conformance.md"
    page.write(2, [Outcome(_FLAVOR, "success", "")], file)
    page.write(1, [Outcome(_FLAVOR, "fail", "first")], file)
    page.write(1, [Outcome(_FLAVOR, "fail", "second"), Outcome(_ROUTER, "skip", "")], file)
    text = file.read_text()
    assert text.index("## Tier 1") < text.index("## Tier 2")
    assert text.count("## Tier") == 2
    assert "first" not in text
    assert "| `api.compute.flavors.test_flavors.FlavorsV2TestJSON.test_get_flavor` | fail | second |" in text
    assert "**0 of 2 tests pass**" in text
    assert "**1 of 1 tests pass**" in text
    page.write(1, [Outcome(_FLAVOR, "fail", "second"), Outcome(_ROUTER, "skip", "")], file)
    assert file.read_text() == text


def test_the_page_has_no_ids_that_change_with_every_run(tmp_path: Path) -> None:
    file = tmp_path / "conformance.md"
    reason = "Server 91a13d76-bb85-4a97-9159-3c7863395534 | is\nin ERROR"
    page.write(1, [Outcome(_FLAVOR, "fail", reason)], file)
    assert r"| fail | Server … \| is in ERROR |" in file.read_text()


class _Cloud:
    """Answers every list with nothing but what it was given."""

    def __init__(self, **lists: list[dict[str, Any]]) -> None:
        self._lists = lists

    def get(self, path: str, **parameters: str) -> Any:
        return defaultdict[str, list[dict[str, Any]]](list, self._lists)


def test_what_the_tests_projects_still_have_is_found(monkeypatch: Any) -> None:
    monkeypatch.setattr(leftovers, "_SECONDS", 0)
    mine, other = {"project_id": "p1"}, {"project_id": "p2"}
    cloud = _Cloud(
        servers=[{"id": "s", "name": "lost", "tenant_id": "p1"}],
        ports=[{"id": "a", "name": "", **mine}, {"id": "b", "name": "", **other}],
        security_groups=[{"id": "g", "name": "default", **mine}],
    )
    found = leftovers.wait(cloud, {"tp1": "p1"})  # type: ignore[arg-type]
    assert found == ["server s (lost) of tp1", "port a () of tp1"]
