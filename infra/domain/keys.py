"""Idempotency keys of what an attempt at a server has at the services: ``<server>/<attempt>/<step>``."""


def port_key(server_id: str, attempt: int, port_id: str) -> str:
    return f"{server_id}/{attempt}/port/{port_id}"


def attachment_key(server_id: str, attempt: int, attachment_id: str) -> str:
    return f"{server_id}/{attempt}/attach/{attachment_id}"
