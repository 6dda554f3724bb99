"""The stack's own REST APIs as the set-up uses them: signed in as one user, refusals told as sentences."""

from typing import Any

import httpx

from infra.deploy import config
from infra.deploy.clients import CLOUDS
from infra.deploy.problems import SetupError
from infra.settings import Settings


class Cloud:
    """One of the users of ``clouds.yaml``, signed in.

    Raises:
        SetupError: from every call, when the API does not answer or refuses.
    """

    def __init__(self, settings: Settings, cloud: str) -> None:
        self._mend = f"See {config.log_directory(settings) / 'api.log'}."
        self._client = httpx.Client(base_url=settings.api_url, timeout=120)
        user, project = CLOUDS[cloud]
        domain = {"name": "Default"}
        password = settings.deploy.passwords[user].get_secret_value()
        auth = {
            "identity": {
                "methods": ["password"],
                "password": {"user": {"name": user, "password": password, "domain": domain}},
            },
            "scope": {"project": {"name": project, "domain": domain}},
        }
        reply = self._send("POST", "/identity/v3/auth/tokens", json={"auth": auth})
        self._client.headers["X-Auth-Token"] = reply.headers["X-Subject-Token"]

    def get(self, path: str, **parameters: str) -> Any:
        return self._send("GET", path, params=parameters).json()

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self._send("POST", path, json=body).json()

    def put(self, path: str, body: dict[str, Any]) -> Any:
        return self._send("PUT", path, json=body).json()

    def delete(self, path: str) -> None:
        self._send("DELETE", path)

    def put_bytes(self, path: str, content: Any) -> None:
        self._send("PUT", path, content=content, headers={"Content-Type": "application/octet-stream"})

    def _send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            reply = self._client.request(method, path, **arguments)
        except httpx.HTTPError as error:
            raise SetupError(f"{method} {path} got no answer: {error}.", self._mend) from error
        if reply.is_error:
            raise SetupError(f"{method} {path} was refused with {reply.status_code}: {reply.text[:300]}.", self._mend)
        return reply
