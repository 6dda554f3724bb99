"""Request groups of ``/allocation_candidates``: ``resources``, ``resources1``, ``required_DISK``, ... (Placement API
reference, "Granular Resource Requests").

A host is one provider without a tree below it, so that all groups of a candidate are served by the same one.
"""

import re
from collections import Counter
from dataclasses import dataclass, replace

from fastapi import Request
from starlette.datastructures import QueryParams

from api.placement import query
from infra.domain.errors import BadRequest
from infra.domain.host import Host

_PARTS = {"resources": 10, "required": 17, "member_of": 21, "in_tree": 31}
"""What a group may ask, and since which version."""
_WHOLE = {"limit": 16, "group_policy": 25, "root_required": 35, "same_subtree": 36}
_GRANULAR, _NAMED, _SUBTREES = 25, 33, 36


@dataclass(frozen=True)
class Candidates:
    """What is asked of candidates: every group must be served."""

    groups: dict[str, query.Query]
    """By suffix; the group without one is ``""``."""
    resources: dict[str, int]
    """Of all groups together: one provider serves them."""
    isolate: bool
    root: query.Query
    limit: int | None

    def selects(self, host: Host, aggregates: frozenset[str]) -> bool:
        numbered = sum(bool(group.resources) for suffix, group in self.groups.items() if suffix)
        if self.isolate and numbered > 1:
            return False
        return all(
            wanted.selects(host, aggregates)
            for wanted in (*self.groups.values(), replace(self.root, resources=self.resources))
        )


def read(request: Request, version: int) -> Candidates:
    """Read the query string.

    Raises:
        BadRequest: a parameter is unknown or has a wrong form, or groups contradict each other.
    """
    parameters = request.query_params
    suffixes: dict[str, None] = {}
    for name in parameters:
        if version < _WHOLE.get(name, version + 1):
            suffixes.setdefault(_suffix(name, version))
    groups = {suffix: _group(parameters, suffix) for suffix in suffixes}
    resources: Counter[str] = Counter()
    for group in groups.values():
        resources.update(group.resources)
    _check(parameters, groups, version)
    root = parameters.get("root_required")
    return Candidates(
        groups=groups,
        resources=dict(resources),
        isolate=parameters.get("group_policy") == "isolate",
        root=query.of(QueryParams({"required": root} if root is not None else {})),
        limit=query.limit(parameters.get("limit")),
    )


def _suffix(name: str, version: int) -> str:
    known = [part for part, first in _PARTS.items() if version >= first]
    pattern = r"|[1-9]\d*" if version >= _GRANULAR else ""
    pattern += r"|_[a-zA-Z0-9_-]{1,63}" if version >= _NAMED else ""
    form = re.fullmatch(rf"({'|'.join(known)})({pattern})", name)
    if form is None:
        allowed = sorted([*known, *(whole for whole, first in _WHOLE.items() if version >= first)])
        raise BadRequest(f"Invalid query string parameters: {name[:60]!r} is not one of {allowed}.")
    return form[2]


def _group(parameters: QueryParams, suffix: str) -> query.Query:
    own = [(part, value) for part in _PARTS for value in parameters.getlist(f"{part}{suffix}")]
    return query.of(QueryParams(own))


def _check(parameters: QueryParams, groups: dict[str, query.Query], version: int) -> None:
    policy = parameters.get("group_policy")
    if policy not in (None, "none", "isolate"):
        raise BadRequest("Invalid query string parameters: 'group_policy' is 'none' or 'isolate'.")
    if not any(group.resources for group in groups.values()):
        raise BadRequest("Invalid query string parameters: 'resources' is a required property")
    without = [suffix for suffix, group in groups.items() if not group.resources]
    if without and version < _SUBTREES:
        raise BadRequest(f"All traits and member_of parameters need resources of their group: {without[0]!r} has none.")
    if policy is None and sum(bool(suffix and group.resources) for suffix, group in groups.items()) > 1:
        raise BadRequest('The "group_policy" parameter is required when specifying more than one "resources{N}".')
    for suffixes in parameters.getlist("same_subtree"):
        unknown = set(suffixes.split(",")) - set(groups)
        if unknown:
            raise BadRequest(f"'same_subtree' names a group that is not asked for: {sorted(unknown)[0][:60]!r}.")
