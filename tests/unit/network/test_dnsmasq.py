"""A DHCP server that does not start: whether it may the next time."""

import pytest

from infra.domain.errors import HostRejected
from infra.network.linux import dnsmasq


@pytest.mark.parametrize(("script", "soft"), [("kill -9 $$", True), ("echo no such option >&2; exit 1", False)])
def test_only_a_server_that_was_killed_is_started_again(
    monkeypatch: pytest.MonkeyPatch, script: str, soft: bool
) -> None:
    monkeypatch.setattr(dnsmasq, "_EXECUTABLE", "sh")
    with pytest.raises(HostRejected) as refused:
        dnsmasq.start(["-c", script])
    assert refused.value.soft is soft
