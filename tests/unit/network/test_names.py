"""Names of devices and guests: fit for the kernel, for paths and for DNS, whatever goes in."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.network import names

NETWORK = "3f2b8c1d-9e4a-4b6f-8d2c-7a5e1f0b9c8d"


def test_devices_are_named_by_prefix_kind_and_start_of_the_id() -> None:
    assert names.bridge("kn", NETWORK) == "knb3f2b8c1d9e4a"
    assert names.tunnel("kn", NETWORK) == "knx3f2b8c1d9e4a"
    assert names.veth("kn", NETWORK) == "knv3f2b8c1d9e4a"
    assert names.tap("kn", NETWORK) == "knt3f2b8c1d9e4a"
    assert names.namespace("kn", NETWORK) == f"kn-{NETWORK}"


@pytest.mark.parametrize("prefix", ["k", "kn", "knx", "k1"])
def test_devices_fit_the_kernel(prefix: str) -> None:
    assert all(len(kind(names.check_prefix(prefix), NETWORK)) <= 15 for kind in (names.bridge, names.tap))


@pytest.mark.parametrize("prefix", ["", "long", "K", "1a", "a/", "é", "a\n"])
def test_other_prefixes_are_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        names.check_prefix(prefix)


@pytest.mark.parametrize("value", ["", "short", "../../../etc", "a" * 65, f"{NETWORK}\n", "-" * 36, "ü" * 36])
def test_other_ids_are_refused(value: str) -> None:
    for kind in (names.bridge, names.tap, names.namespace):
        with pytest.raises(ValueError, match="not an id"):
            kind("kn", value)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("web", "web"),
        ("My Server_1", "my-server-1"),
        ("--x--", "x"),
        ("a.b", "a-b"),
        ("ÄÖÜ", "host"),
        ("", "host"),
        ("a" * 62 + "-b", "a" * 62),
        ("x\ndhcp-option=3", "x-dhcp-option-3"),
    ],
)
def test_host_names(name: str, label: str) -> None:
    assert names.hostname(name, "host") == label


@given(st.text())
def test_every_text_becomes_one_label(text: str) -> None:
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", names.hostname(text, "host"))
