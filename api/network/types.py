"""Values as the Networking API v2.0 takes them: booleans and numbers also as strings, text without controls."""

import ipaddress
import json
import re
import unicodedata
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

MAX_NAME = 255
_MAX_PROFILE_BYTES = 4095
_TRUE, _FALSE = {"true", "1"}, {"false", "0"}
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def boolean(value: Any) -> bool:
    """Raises ValueError for anything that Neutron doesn't take as a boolean."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | str):
        text = str(value).lower()
        if text in _TRUE | _FALSE:
            return text in _TRUE
    raise ValueError("it cannot be converted to boolean")


def whole_number(value: Any) -> int:
    """Raises ValueError for anything but an integer, or a string that holds one."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,10}", value):
        return int(value)
    raise ValueError("it is not an integer")


def printable(text: str) -> str:
    """Raises ValueError for control characters, line and paragraph separators and halves of surrogate pairs."""
    if any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in text):
        raise ValueError("control characters are not allowed")
    return text


def ip_address(text: str) -> str:
    """An address in normal form."""
    if "%" in text:
        raise ValueError("it is not a valid IP address")
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError("it is not a valid IP address") from None


def ip_or_cidr(text: str) -> str:
    """An address, or a network without host bits, in normal form."""
    if "/" not in text:
        return ip_address(text)
    try:
        if "%" in text:
            raise ValueError
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise ValueError("it is not a valid IP address or CIDR") from None


def mac_address(text: str) -> str:
    """A unicast address in lower case with colons."""
    normal = text.lower().replace("-", ":")
    if not _MAC.fullmatch(normal) or int(normal[:2], 16) & 1 or normal == "00:00:00:00:00:00":
        raise ValueError("it is not a valid MAC address")
    return normal


def profile(value: dict[str, Any] | None) -> dict[str, Any]:
    """A JSON object that any database can store."""
    try:
        text = json.dumps(value or {}, allow_nan=False)
    except (ValueError, RecursionError):
        raise ValueError("it is not a valid JSON object") from None
    if len(text) > _MAX_PROFILE_BYTES or re.search(r"\\u0000|\\ud[89a-f]", text):
        raise ValueError(f"it is longer than {_MAX_PROFILE_BYTES} bytes or has characters that are not allowed")
    return value or {}


Bool = Annotated[bool, BeforeValidator(boolean)]
Int = Annotated[int, BeforeValidator(whole_number)]
Text = Annotated[str, StringConstraints(max_length=MAX_NAME), AfterValidator(printable)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(printable)]
IpAddress = Annotated[str, StringConstraints(max_length=64), AfterValidator(ip_address)]
IpOrCidr = Annotated[str, StringConstraints(max_length=64), AfterValidator(ip_or_cidr)]
Mac = Annotated[str, StringConstraints(max_length=17), AfterValidator(mac_address)]
Profile = Annotated[dict[str, Any], BeforeValidator(profile), Field(default_factory=dict)]
