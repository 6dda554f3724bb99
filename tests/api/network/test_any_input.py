"""Whatever a client sends, the answer is one of Neutron's: made, or refused, never a failure of ours."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.network import router_schemas, schemas
from tests.api.network.conftest import Caller

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
LIKELY = st.sampled_from(
    ["", "10.0.0.0/24", "10.0.0.3", "::1", "fe80::/64", "0", "-1", "true", 4, 6, "4", "tcp", "ingress", "IPv4", 65535,
     "fa:16:3e:00:00:01", {"subnet_id": "x"}, [{"ip_address": "10.0.0.3"}], "\x00", "\ud800", 10**30, [], {}]
)  # fmt: skip
KINDS = {
    "network": ("networks", schemas.NetworkCreate),
    "subnet": ("subnets", schemas.SubnetCreate),
    "port": ("ports", schemas.PortCreate),
    "security_group": ("security-groups", schemas.SecurityGroupCreate),
    "security_group_rule": ("security-group-rules", schemas.SecurityGroupRuleCreate),
    "router": ("routers", router_schemas.RouterCreate),
    "floatingip": ("floatingips", router_schemas.FloatingIpCreate),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_any_attributes(kind: str, admin: Caller, http: httpx.AsyncClient) -> None:
    path, schema = KINDS[kind]
    network = (await admin.make("network", **{"router:external": True}))["id"]
    await admin.make("subnet", network_id=network, ip_version=4, cidr="10.0.0.0/24")
    group = (await admin.make("security_group", name="g"))["id"]
    names = [field.alias or name for name, field in schema.model_fields.items()]
    base: dict[str, dict[str, Any]] = {
        "subnet": {"network_id": network, "ip_version": 4, "cidr": "10.1.0.0/24"},
        "port": {"network_id": network},
        "floatingip": {"floating_network_id": network},
        "security_group_rule": {"security_group_id": group, "direction": "ingress"},
    }
    loop = asyncio.get_running_loop()

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(st.dictionaries(st.sampled_from(names), LIKELY | JSON, max_size=4))
    def send(values: dict[str, Any]) -> None:
        content = json.dumps({kind: {**base.get(kind, {}), **values}})
        request = http.post(f"/network/v2.0/{path}", content=content, headers=admin.headers)
        reply = asyncio.run_coroutine_threadsafe(request, loop).result(30)
        assert reply.status_code in (201, 400, 403, 404, 409, 413), (content, reply.text)

    await asyncio.to_thread(send)


async def test_any_query(admin: Caller, http: httpx.AsyncClient) -> None:
    names = ["id", "name", "limit", "marker", "sort_key", "sort_dir", "fields", "page_reverse", "fixed_ips", "tags"]
    names += ["mtu", "tenant_id", "network_id", "revision_number", "shared", "not-tags", "ip_version"]
    values = st.text(max_size=12) | st.sampled_from(
        ["1", "id", "name", "asc", "true", "ip_address=1", "9" * 30, "created_at"]
    )
    loop = asyncio.get_running_loop()
    await admin.make("network")

    @settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(
        st.sampled_from(
            [
                "networks",
                "subnets",
                "ports",
                "security-groups",
                "security-group-rules",
                "agents",
                "routers",
                "floatingips",
            ]
        ),
        st.lists(st.tuples(st.sampled_from(names), values), max_size=4),
    )
    def send(path: str, params: list[tuple[str, str]]) -> None:
        params = [(name, value.encode("utf-8", "replace").decode()) for name, value in params]
        request = http.get(f"/network/v2.0/{path}", params=params, headers=admin.headers)
        reply = asyncio.run_coroutine_threadsafe(request, loop).result(30)
        assert reply.status_code in (200, 400), (path, params, reply.text)

    await asyncio.to_thread(send)
