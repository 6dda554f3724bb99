"""The REST door: one process, one port, a sub-application for each service under its own path prefix.

Each service is a FastAPI application of its own, because each speaks another dialect of errors. ``Door`` gives every
request its id, squeezes double slashes and drops trailing ones (clients send all forms and follow no redirect).
"""

import re
import uuid
from collections.abc import Callable, Mapping

from fastapi import FastAPI
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.compute.routes import build as compute
from api.deps import Services
from api.identity.routes import build as identity
from api.image.routes import build as image
from api.metrics import build as metrics
from api.network.routes import build as network
from api.placement.routes import build as placement
from api.volume.routes import build as volume

BUILDERS: Mapping[str, Callable[[Services], FastAPI]] = {
    "identity": identity,
    "compute": compute,
    "image": image,
    "network": network,
    "volume": volume,
    "placement": placement,
}


class Door:
    """Dispatches on the first path segment."""

    def __init__(self, services: Services) -> None:
        self.apps: dict[str, ASGIApp] = {name: build(services) for name, build in BUILDERS.items()}
        self.metrics = metrics(services)
        self.services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request_id = f"req-{uuid.uuid4()}"
        service, path = _split(scope["path"])
        headers = [(b"x-openstack-request-id", request_id.encode()), (b"x-compute-request-id", request_id.encode())]

        async def tagged(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *headers]
            await send(message)

        app = self.metrics if service == "metrics" else self.apps.get(service)
        if app is None:
            app = JSONResponse({name: f"{self.services.settings.api_url}/{name}" for name in self.apps}, 300)
            if service:
                app = JSONResponse({"error": {"code": 404, "message": "There is no such service."}}, 404)
        elif "\0" in path or b"%00" in scope["query_string"]:
            # PostgreSQL has no NUL in any text, and no name here holds one.
            app = JSONResponse({"badRequest": {"code": 400, "message": "The URL holds a NUL character."}}, 400)
        # Starlette takes root_path off the front of the path.
        full = f"/{service}{path}"
        inner = {**scope, "path": full, "raw_path": full.encode(), "root_path": f"/{service}", "request_id": request_id}
        inner["trailing_slash"] = scope["path"].endswith("/")
        await app(inner, receive, tagged)


def _split(path: str) -> tuple[str, str]:
    squeezed = re.sub(r"/{2,}", "/", path)
    service, _, rest = squeezed.lstrip("/").partition("/")
    return service, "/" + rest.rstrip("/")
