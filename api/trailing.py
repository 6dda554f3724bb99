"""Paths that end in a slash below a version are things without an id: there are none.

Glance and Cinder answer 404 for ``/v2/images/``, where a client left the id of an image empty; to take it for the list
of all images would make a DELETE of nothing look like something else.
"""

from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from api.faults import Style


class NoEmptyId:
    def __init__(self, app: ASGIApp, style: Style) -> None:
        self.app = app
        self.style = style

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # /image/v2/images has three slashes; /image/v2/ is a version document.
        if scope["type"] == "http" and scope.get("trailing_slash") and scope["path"].count("/") > 2:
            body = self.style(404, "The resource could not be found.", "HTTPNotFound")
            await JSONResponse(body, 404)(scope, receive, send)
            return
        await self.app(scope, receive, send)
