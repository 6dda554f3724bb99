"""How a worker calls the image, network, volume and compute services: their REST APIs, with two tokens.

The user's token says for whom, the service token (``X-Service-Token``) says that a worker asks: with it an expired
user token is still accepted, since a boot may outlive it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx

from infra.domain.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    KilonovaError,
    NotFound,
    TooLarge,
    Unauthorized,
    Unavailable,
)
from infra.identity.provider import ServiceTokens

T = TypeVar("T")

_ERRORS: dict[int, Callable[[str], KilonovaError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
}
_TIMEOUT = httpx.Timeout(20.0, connect=5.0)
# The service looks through the data when all of it has come.
_UPLOAD_TIMEOUT = httpx.Timeout(20.0, connect=5.0, read=300.0)
# Below the server's keep-alive (75 s), so that a connection is never used while the server closes it.
_LIMITS = httpx.Limits(max_connections=64, max_keepalive_connections=32, keepalive_expiry=30.0)


class RestClient:
    """One pool of connections to the services of ``base_url``.

    Args:
        base_url: where the services are, without a trailing slash: ``http://host:8774``.
        tokens: the worker's own tokens.
    """

    def __init__(self, base_url: str, tokens: ServiceTokens, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._tokens = tokens
        self._http = httpx.AsyncClient(base_url=base_url, timeout=_TIMEOUT, limits=_LIMITS, transport=transport)
        self._base_url = base_url

    async def request(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        key: str | None = None,
        json: Any = None,
    ) -> Any:
        """Send one request and return the answer's JSON, or None where it is empty.

        Args:
            token: the user's token; None sends the worker's as the request's own.
            key: ``Idempotency-Key``, where a repeat must find the effect of the first.

        Raises:
            Unavailable: no answer, or 5xx; the same request may be sent again.
            KilonovaError: what the service answered, by its code.
        """
        service = await self._tokens.token()
        headers = {"X-Auth-Token": token or service}
        if token is not None:
            headers["X-Service-Token"] = service
        if key is not None:
            headers["Idempotency-Key"] = key
        try:
            answer = await self._http.request(method, path, headers=headers, json=json)
        except httpx.HTTPError as error:
            raise Unavailable(f"{method} {path}: no answer from the service ({type(error).__name__}).") from error
        if answer.is_success:
            return answer.json() if answer.content else None
        raise _error(method, path, answer)

    @contextmanager
    def stream(self, path: str, *, token: str, service_token: str, offset: int = 0) -> Iterator[Iterator[bytes]]:
        """Download from ``offset`` on, for a thread: blocks. Raises as ``request`` does."""
        headers = {"X-Auth-Token": token, "X-Service-Token": service_token}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        try:
            with httpx.stream("GET", self._base_url + path, headers=headers, timeout=_TIMEOUT) as answer:
                if not answer.is_success:
                    answer.read()
                    raise _error("GET", path, answer)
                yield answer.iter_bytes(1 << 20)
        except httpx.HTTPError as error:
            raise Unavailable(f"GET {path}: the download broke off ({type(error).__name__}).") from error

    def upload(self, path: str, chunks: Iterator[bytes], size: int, *, token: str | None, service_token: str) -> None:
        """PUT ``size`` bytes of data, for a thread: blocks until the service has kept them. Raises as ``request`` does,
        and what ``chunks`` raises."""
        headers = {"X-Auth-Token": token or service_token, "Content-Type": "application/octet-stream"}
        headers["Content-Length"] = str(size)
        if token is not None:
            headers["X-Service-Token"] = service_token
        try:
            answer = httpx.put(self._base_url + path, content=chunks, headers=headers, timeout=_UPLOAD_TIMEOUT)
        except httpx.HTTPError as error:
            raise Unavailable(f"PUT {path}: the upload broke off ({type(error).__name__}).") from error
        if not answer.is_success:
            raise _error("PUT", path, answer)

    def blocking(self, call: Coroutine[Any, Any, T]) -> T:
        """Wait for a call from a thread; the calls themselves always run on the loop that made this client."""
        return asyncio.run_coroutine_threadsafe(call, self._loop).result(60)

    async def service_token(self) -> str:
        return await self._tokens.token()

    async def close(self) -> None:
        await self._http.aclose()


def _error(method: str, path: str, answer: httpx.Response) -> KilonovaError:
    message = _message(answer) or f"{method} {path} was answered with {answer.status_code}."
    make = _ERRORS.get(answer.status_code)
    return make(message) if make else Unavailable(message)


def _message(answer: httpx.Response) -> str | None:
    """The fault's text, in whichever form the service has."""
    try:
        body = answer.json()
        fault = next(iter(body.values()))
        return str(fault["message"])
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration):
        return None
