"""Answers about a host's networking that overtake one another: the later one counts, however it comes."""

from infra.domain.host_network import HostNetwork, Rule, SecuredPort
from infra.network.knowledge import Knowledge

TCP = Rule(direction="ingress", ethertype="IPv4", protocol=6, group="clients")
UDP = Rule(direction="ingress", ethertype="IPv4", protocol=17)


def said(change: int, *ports: str, rules: tuple[Rule, ...] = (TCP,), members: tuple[str, ...] = ()) -> HostNetwork:
    known = tuple(SecuredPort(id=port, groups=("web",)) for port in ports)
    return HostNetwork(change=change, ports=known, rules={"web": rules}, members={"clients": members})


def test_a_whole_that_was_read_before_a_part_does_not_take_it_away() -> None:
    known = Knowledge()
    known.add(said(5, "new", rules=(TCP, UDP), members=("10.0.0.5",)))
    known.replace(said(4, "old"))
    assert {port.id for port in known.view().ports} == {"new", "old"}
    assert known.view().rules == {"web": (TCP, UDP)}
    assert known.view().members == {"clients": ("10.0.0.5",)}
    known.replace(said(5, "old"))
    assert {port.id for port in known.view().ports} == {"old"}
    assert known.view().rules == {"web": (TCP,)}


def test_what_no_port_needs_any_more_is_forgotten() -> None:
    known = Knowledge()
    known.replace(said(1, "a", members=("10.0.0.5",)))
    known.replace(HostNetwork(change=2))
    assert known.view() == HostNetwork()


def test_a_port_that_is_plugged_keeps_its_rules_until_it_is_unplugged() -> None:
    """A server that is being deleted has no row of its port any more, and must not be opened or shut by that."""
    known = Knowledge()
    known.replace(said(1, "a"))
    known.replace(HostNetwork(change=2), keep={"a"})
    assert known.port("a") == SecuredPort(id="a", groups=("web",))
    assert known.view().rules == {"web": (TCP,)}
    known.replace(HostNetwork(change=3))
    assert known.port("a") is None
