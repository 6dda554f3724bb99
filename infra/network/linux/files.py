"""Files that a network's DHCP server reads, written whole or not at all."""

import os
import tempfile
from pathlib import Path


def read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def replace(path: Path, text: str) -> bool:
    """Write the file whole, readable by the DHCP server's user; False when it holds just that already."""
    if path.exists() and path.read_text() == text:
        return False
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
    with os.fdopen(handle, "w") as file:
        file.write(text)
        os.fchmod(file.fileno(), 0o644)
    os.replace(temporary, path)
    return True
