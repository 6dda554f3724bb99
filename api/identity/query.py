"""Query parameters as Keystone reads them."""

from collections.abc import Mapping

_FALSE = ("0", "false", "no", "off")


def flag(query: Mapping[str, str], name: str) -> bool | None:
    """None where it is not given; a name alone means true."""
    value = query.get(name)
    return None if value is None else value.lower() not in _FALSE
