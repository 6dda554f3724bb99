import pytest

from infra.db import flavors
from infra.db.engine import Database
from infra.domain.errors import BadRequest, Conflict, NotFound
from infra.domain.flavor import Flavor


def small(**changes: object) -> Flavor:
    return Flavor.model_validate(
        {"id": "1", "name": "m1.small", "vcpus": 1, "ram_mb": 512, "disk_gb": 1, "extra_specs": {}} | changes
    )


def test_a_flavor_comes_back_as_it_was_made(database: Database) -> None:
    flavor = small(ephemeral_gb=2, swap_mb=64, rxtx_factor=2.0, description="tiny", extra_specs={"hw:cpu_cores": "1"})
    database.write_now(flavors.create, flavor)
    assert database.read_now(flavors.get, "1") == flavor


@pytest.mark.parametrize("changes", [{"id": "2"}, {"name": "other"}])
def test_ids_and_names_are_unique(database: Database, changes: dict[str, str]) -> None:
    database.write_now(flavors.create, small())
    with pytest.raises(Conflict):
        database.write_now(flavors.create, small(**changes))
    assert len(database.read_now(flavors.list_flavors)) == 1


def test_a_private_flavor_is_there_for_projects_with_access_only(database: Database) -> None:
    database.write_now(flavors.create, small(is_public=False))
    database.write_now(flavors.add_access, "1", "mine")
    assert database.read_now(flavors.get, "1", project_id="mine", any_project=False).id == "1"
    with pytest.raises(NotFound):
        database.read_now(flavors.get, "1", project_id="other", any_project=False)
    assert [f.id for f in database.read_now(flavors.list_flavors, project_id="mine")] == ["1"]
    assert database.read_now(flavors.list_flavors, project_id="other") == []
    assert database.read_now(flavors.access, "1") == ["mine"]
    database.write_now(flavors.remove_access, "1", "mine")
    assert database.read_now(flavors.list_flavors, project_id="mine") == []


def test_access_is_given_once_and_to_private_flavors_only(database: Database) -> None:
    database.write_now(flavors.create, small())
    database.write_now(flavors.create, small(id="2", name="private", is_public=False))
    database.write_now(flavors.add_access, "2", "p")
    for flavor_id in ("1", "2"):
        with pytest.raises(Conflict):
            database.write_now(flavors.add_access, flavor_id, "p")
    with pytest.raises(NotFound):
        database.read_now(flavors.access, "1")
    with pytest.raises(NotFound):
        database.write_now(flavors.remove_access, "2", "q")


def test_deleting_a_flavor_takes_its_access_list_with_it(database: Database) -> None:
    database.write_now(flavors.create, small(is_public=False))
    database.write_now(flavors.add_access, "1", "p")
    database.write_now(flavors.delete, "1")
    database.write_now(flavors.create, small(is_public=False))
    assert database.read_now(flavors.access, "1") == []
    with pytest.raises(NotFound):
        database.write_now(flavors.delete, "2")


def test_lists_are_filtered_sorted_and_paged(database: Database) -> None:
    for number, ram in ((1, 512), (2, 2048), (3, 1024)):
        database.write_now(flavors.create, small(id=str(number), name=f"f{number}", ram_mb=ram, disk_gb=number))

    def ids(**how: object) -> list[str]:
        return [f.id for f in database.read_now(flavors.list_flavors, **how)]  # type: ignore[arg-type]

    assert ids() == ["1", "2", "3"]
    assert ids(min_ram=1024) == ["2", "3"]
    assert ids(min_disk=3) == ["3"]
    assert ids(sort_key="memory_mb", descending=True) == ["2", "3", "1"]
    assert ids(limit=1, marker="1") == ["2"]
    assert ids(is_public=False) == []
    with pytest.raises(BadRequest):
        ids(marker="9")


def test_extra_specs_are_merged_and_removed_one_by_one(database: Database) -> None:
    database.write_now(flavors.create, small(extra_specs={"a": "1"}))
    database.write_now(flavors.set_extra_specs, "1", {"a": "2", "b": "3"})
    database.write_now(flavors.delete_extra_spec, "1", "b")
    assert database.read_now(flavors.get, "1").extra_specs == {"a": "2"}
    with pytest.raises(NotFound):
        database.write_now(flavors.delete_extra_spec, "1", "b")
    assert database.write_now(flavors.set_description, "1", "d").description == "d"
