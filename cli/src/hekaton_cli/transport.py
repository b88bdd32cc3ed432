"""HTTP to the portal: token, timeouts, retries that are safe, errors as types."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx

from hekaton_cli.errors import AuthError, PlatformError, Unreachable, from_answer

Record = dict[str, Any]
TIMEOUT = httpx.Timeout(30.0, connect=5.0)
UPLOAD = httpx.Timeout(300.0, connect=5.0)
STREAM = httpx.Timeout(45.0, connect=5.0)  # the portal says something at least every 15 s
RETRIED = frozenset({502, 503, 504})
PAUSES_S = (0.2, 0.8)
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Event(NamedTuple):
    name: str
    data: Any


class Transport:
    """One portal and one token. Thread-safe as httpx.Client is.

    Reads, and creates with their Idempotency-Key, are tried three times; other writes once.
    """

    def __init__(self, server: str, token: str = "", *, insecure: bool = False) -> None:
        self.server = server.rstrip("/")
        parts = urlsplit(self.server)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise PlatformError(
                f"`{server}` is not the address of a portal.",
                hint="It looks like https://portal.example.com or http://127.0.0.1:8000.",
            )
        if token and parts.scheme == "http" and parts.hostname not in LOOPBACK and not insecure:
            raise AuthError(
                f"{self.server} is not encrypted; your token would be readable on the way.",
                hint="Use https://, or set HEKATON_INSECURE=1 if you know the network.",
                code="insecure",
            )
        headers = {"Accept": "application/json", "User-Agent": "hekaton-cli"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self.token = token
        self.http = httpx.Client(
            base_url=f"{self.server}/api/v1/", headers=headers, timeout=TIMEOUT
        )

    def close(self) -> None:
        self.http.close()

    def get(self, path: str, **query: Any) -> Record:
        return self._record(self.request("GET", path, params=_given(query)))

    def text(self, path: str, **query: Any) -> str:
        headers = {"Accept": "text/plain"}
        return self.request("GET", path, params=_given(query), headers=headers).text

    def pages(self, path: str, **query: Any) -> Iterator[Record]:
        """Every item of a list, a page at a time."""
        page = self.get(path, **query)
        while True:
            yield from page.get("results", ())
            following = page.get("next")
            if not following:
                return
            page = self._record(self.request("GET", following))

    def post(self, path: str, body: object = None) -> Record:
        """Create or act, once: the same key goes with every try."""
        return self._record(self.request("POST", path, json=body if body is not None else {}))

    def put(self, path: str, body: object, version: int | None = None) -> Record:
        return self._record(self.request("PUT", path, json=body, headers=_match(version)))

    def patch(self, path: str, body: object, version: int | None = None) -> Record:
        return self._record(self.request("PATCH", path, json=body, headers=_match(version)))

    def delete(self, path: str) -> None:
        self.request("DELETE", path)

    def upload(self, path: str, fields: Mapping[str, str], files: list[tuple[str, Any]]) -> Record:
        """A multipart create. Files are streamed and read once, so it is tried once."""
        return self._record(
            self.request("POST", path, data=dict(fields), files=files, timeout=UPLOAD, tries=1)
        )

    def answer(self, method: str, url: str, **options: Any) -> httpx.Response:
        """Ask something outside the API (an endpoint) without the token; any status is fine."""
        try:
            with httpx.Client(timeout=TIMEOUT) as http:
                return http.request(method, url, **options)
        except httpx.HTTPError as error:
            raise Unreachable(
                f"{url} cannot be reached: {error}.",
                hint="`hekaton status` shows whether the gateway runs.",
            ) from error

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        tries: int = 3,
        **options: Any,
    ) -> httpx.Response:
        """One answer below 400.

        Raises:
            HekatonError: any other answer, or none.
        """
        sent = dict(headers or {})
        if method == "POST":
            sent.setdefault("Idempotency-Key", uuid.uuid4().hex)
        elif method != "GET":
            tries = 1
        for pause in (*PAUSES_S[: tries - 1], None):
            try:
                response = self.http.request(method, path, headers=sent, **options)
            except httpx.TransportError as error:
                if pause is None:
                    raise self._unreachable(error) from error
            else:
                if response.status_code not in RETRIED or pause is None:
                    return self._checked(response)
            time.sleep(pause)
        raise AssertionError("unreachable")

    @contextmanager
    def events(self, path: str, **query: Any) -> Iterator[Iterator[Event]]:
        """Server-sent events with their JSON data; ends when the portal ends it.

        Raises:
            HekatonError: it cannot be opened, or breaks.
        """
        headers = {"Accept": "text/event-stream"}
        try:
            with self.http.stream(
                "GET", path, params=_given(query), headers=headers, timeout=STREAM
            ) as response:
                if response.status_code >= 400:
                    response.read()
                    self._checked(response)
                yield _events(response.iter_lines())
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def _checked(self, response: httpx.Response) -> httpx.Response:
        if response.status_code < 400:
            return response
        try:
            body = response.json()
        except ValueError:
            body = None
        raise from_answer(response.status_code, body, self.server)

    def _record(self, response: httpx.Response) -> Record:
        if response.status_code == 204 or not response.content:
            return {}
        try:
            found = response.json()
        except ValueError:
            found = None
        if not isinstance(found, dict | list):
            raise PlatformError(
                f"{self.server} did not answer as a portal does.",
                hint="Is this the right address? `hekaton status` shows what is used.",
            )
        return found if isinstance(found, dict) else {"results": found, "next": None}

    def _unreachable(self, error: Exception) -> Unreachable:
        words = "it does not answer in time" if isinstance(error, httpx.TimeoutException) else error
        return Unreachable(
            f"{self.server} cannot be reached: {words}.",
            hint="Is the portal running (`make up`)? Another one: `hekaton login SERVER`.",
        )


def _events(lines: Iterator[str]) -> Iterator[Event]:
    """Parsed by the rules of the HTML standard, section 9.2.6; what is not JSON is skipped."""
    name, data = "message", list[str]()
    for line in lines:
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif line.startswith("event:"):
            name = line[6:].strip()
        elif not line:
            if data:
                with suppress(ValueError):
                    yield Event(name, json.loads("\n".join(data)))
            name, data = "message", []


def _given(query: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value not in (None, "")}


def _match(version: int | None) -> dict[str, str]:
    return {} if version is None else {"If-Match": f'"{version}"'}
