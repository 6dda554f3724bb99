"""The locks and the list of packages that an installation starts from."""

import re
import tomllib

import pytest

from infra.deploy.config import ROOT

LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def _pinned(text: str) -> dict[str, list[str]]:
    """Hashes by requirement."""
    found: dict[str, list[str]] = {}
    for block in re.split(r"\n(?=[A-Za-z0-9])", text.replace("\\\n", "")):
        if match := re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", block):
            found[match[1].lower()] = re.findall(r"--hash=sha256:[0-9a-f]{64}", block)
    return found


def test_there_is_a_lock_for_each_environment() -> None:
    assert [lock.stem for lock in LOCKS] == ["client", "dev", "main", "tempest"]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_requirement_is_pinned_with_hashes(lock: object) -> None:
    text = (ROOT / "requirements" / f"{lock.stem}.txt").read_text()  # type: ignore[attr-defined]
    pinned = _pinned(text)
    assert len(pinned) > 20
    assert all(pinned.values())
    lines = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert all("==" in line for line in lines), "every line that isn't a comment or a hash is name==version"


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_no_lock_names_a_host_or_a_path(lock: object) -> None:
    text = (ROOT / "requirements" / f"{lock.stem}.txt").read_text()  # type: ignore[attr-defined]
    assert not re.search(r"https?://|--index|--find-links|--trusted|(^|\s)/", text)


def test_the_locks_hold_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for lock, wanted in (
        ("main", project["dependencies"]),
        ("dev", project["dependencies"] + project["optional-dependencies"]["dev"]),
    ):
        pinned = _pinned((ROOT / "requirements" / f"{lock}.txt").read_text())
        names = {re.split(r"[\[<>=~!; ]", line)[0].lower() for line in wanted}
        assert names <= set(pinned), "run `make locks`"


def test_the_development_lock_has_the_versions_of_the_main_one() -> None:
    text = {lock.stem: lock.read_text() for lock in LOCKS}
    versions = {name: re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", text[name], re.M) for name in text}
    assert set(versions["main"]) <= set(versions["dev"])


def test_packages_are_names_and_listed_once() -> None:
    lines = (ROOT / "infra" / "deploy" / "packages.txt").read_text().splitlines()
    names = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", name) for name in names)
    assert len(names) == len(set(names))
