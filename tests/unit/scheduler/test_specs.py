"""Operators of flavor extra specs, with the examples of the administration guide."""

from typing import Any

import numpy as np
import pytest

from infra.scheduler.specs import Spec, values


@pytest.mark.parametrize(
    ("value", "requirement", "matches"),
    [
        (5, ">= 5", True),
        (24, ">=24", True),
        (4, ">= 5", False),
        (5, "<= 5", True),
        (6, "<= 5", False),
        (48, "= 48", True),
        (64, "= 48", True),
        (47, "= 48", False),
        (2, "== 2.0", True),
        (3, "== 2", False),
        (3, "!= 2", True),
        (2, "!= 2", False),
        ("10", ">= 9", True),
        ("2.1.0", "s== 2.1.0", True),
        ("2.1", "s== 2.1.0", False),
        ("2.1", "s!= 2.1.0", True),
        ("b", "s> a", True),
        ("a", "s> a", False),
        ("a", "s>= a", True),
        ("a", "s< b", True),
        ("b", "s<= a", False),
        ("gcc 12", "<in> gcc", True),
        ("clang", "<in> gcc", False),
        (["aes", "mmx", "sse"], "<all-in> aes mmx", True),
        (["aes"], "<all-in> aes mmx", False),
        ("aes,mmx", "<all-in> aes mmx", True),
        ("gpu", "<or> fpu <or> gpu", True),
        ("tpu", "<or> fpu <or> gpu", False),
        (["tpu", "gpu"], "<or> fpu <or> gpu", True),
        ("QEMU", "QEMU", True),
        ("qemu", "QEMU", False),
        (4, "4", True),
        ("", "", True),
        (None, "", False),
        (None, "!= 2", False),
        ("many", ">= 5", False),
        (5, ">= many", False),
        (5, "= ", False),
        ({"a": 1}, ">= 5", False),
    ],
)
def test_a_value_matches(value: Any, requirement: str, matches: bool) -> None:
    assert Spec.parse(requirement).matches(value) is matches


@pytest.mark.parametrize(
    "requirement", [">= 5", "<= 5", "= 5", "== 5", "!= 5", "5", "s== 5", "s> 5", "<in> 5", "<or> 5 <or> 15", ">= x"]
)
def test_a_column_matches_as_its_values_do(requirement: str) -> None:
    column = np.array([0, 5, 5, 15, 50, 7], np.int64)
    spec = Spec.parse(requirement)
    assert spec.matches_column(column).tolist() == [spec.matches(value) for value in column.tolist()]


def test_values_of_metadata_are_separated_by_commas() -> None:
    assert values("a, b,c ") == {"a", "b", "c"}
    assert values(None) == frozenset()
