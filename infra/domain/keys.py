"""Idempotency keys of what an attempt at a server has at the services: ``<server>/<attempt>/<step>``."""


def port_key(server_id: str, attempt: int, port_id: str, attachment_id: str = "") -> str:
    """With the attachment of an interface that came after the boot: it may leave the same attempt and come again."""
    return f"{server_id}/{attempt}/port/{port_id}" + (f"/{attachment_id}" if attachment_id else "")


def is_of_attachment(port_key: str) -> bool:
    return port_key.count("/") == 4


def snapshot_key(server_id: str, attempt: int, snapshot_id: str) -> str:
    return f"{server_id}/{attempt}/snapshot/{snapshot_id}"


def attachment_key(server_id: str, attempt: int, attachment_id: str) -> str:
    return f"{server_id}/{attempt}/attach/{attachment_id}"
