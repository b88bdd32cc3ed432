"""The only client of a node's interface. Synchronous, thread-safe, with timeouts."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from node.documents import (
    AttemptDocument,
    AttemptObservation,
    EndpointDocument,
    EndpointObservation,
    ScaleDecision,
    from_json,
    to_json,
)

TIMEOUT = httpx.Timeout(10.0, connect=2.0)
TRIES = 3


class NodeError(Exception):
    """The node refused: the message is its own."""


class NodeUnreachable(NodeError):
    """Nobody listens on the socket, or it does not answer in time. What runs there goes on."""


class NodeConflict(NodeError):
    """409: an older generation, or not gone yet."""


class NodeClient:
    def __init__(self, socket: str | Path) -> None:
        self.socket = str(socket)
        self._local = threading.local()

    def info(self) -> dict[str, Any]:
        found = self._request("GET", "/v1/node")
        assert found is not None
        return found

    def put_attempt(self, document: AttemptDocument) -> AttemptObservation:
        """Create or adopt; never starts the same uid twice."""
        found = self._request("PUT", f"/v1/attempts/{document.uid}", to_json(document))
        return from_json(AttemptObservation, found or {})

    def attempt(self, uid: str) -> AttemptObservation | None:
        """None: the node has never heard of it."""
        found = self._request("GET", f"/v1/attempts/{uid}")
        return from_json(AttemptObservation, found) if found is not None else None

    def cancel_attempt(self, uid: str, grace_s: float | None = None) -> None:
        self._request("POST", f"/v1/attempts/{uid}/cancel", {"grace_s": grace_s})

    def delete_attempt(self, uid: str) -> None:
        self._request("DELETE", f"/v1/attempts/{uid}")

    def put_endpoint(self, document: EndpointDocument) -> EndpointObservation:
        found = self._request("PUT", f"/v1/endpoints/{document.uid}", to_json(document))
        return from_json(EndpointObservation, found or {})

    def endpoint(self, uid: str) -> EndpointObservation | None:
        found = self._request("GET", f"/v1/endpoints/{uid}")
        return from_json(EndpointObservation, found) if found is not None else None

    def decisions(self, uid: str, after: float = 0.0) -> dict[str, list[ScaleDecision]]:
        """Recent scale decisions by revision uid."""
        found = self._request("GET", f"/v1/endpoints/{uid}/decisions?after={after}") or {}
        return {
            revision: [from_json(ScaleDecision, one) for one in many]
            for revision, many in found.items()
        }

    def delete_endpoint(self, uid: str) -> None:
        self._request("DELETE", f"/v1/endpoints/{uid}")

    def endpoints(self) -> list[str]:
        return list((self._request("GET", "/v1/endpoints") or {}).get("endpoints", []))

    def events(
        self, after: int | None = None, epoch: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """Follow the node's events until the connection ends; yields {} as a sign of life.

        Raises:
            NodeUnreachable: it cannot be connected to, or the stream broke.
        """
        params: dict[str, str] = {}
        if after is not None:
            params["after"] = str(after)
        if epoch is not None:
            params["epoch"] = epoch
        transport = httpx.HTTPTransport(uds=self.socket)
        timeout = httpx.Timeout(30.0, connect=2.0)
        try:
            with (
                httpx.Client(transport=transport, timeout=timeout) as client,
                client.stream("GET", "http://node/v1/events", params=params) as response,
            ):
                for line in response.iter_lines():
                    yield json.loads(line)
        except httpx.HTTPError as error:
            raise NodeUnreachable(f"The node's events ended: {error}") from error

    # --------------------------------------------------------------------------------------

    def _client(self) -> httpx.Client:
        client: httpx.Client | None = getattr(self._local, "client", None)
        if client is None:
            client = httpx.Client(
                transport=httpx.HTTPTransport(uds=self.socket),
                timeout=TIMEOUT,
                base_url="http://node",
            )
            self._local.client = client
        return client

    def _request(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any] | None:
        for attempt in range(1, TRIES + 1):
            try:
                response = self._client().request(method, path, json=body)
                break
            except httpx.HTTPError as error:
                if attempt == TRIES:
                    raise NodeUnreachable(
                        f"The node does not answer on {self.socket}: {error or 'timed out'}"
                    ) from error
                time.sleep(0.02 * attempt)
        if response.status_code == 404:
            return None
        if response.status_code == 409:
            raise NodeConflict(_message(response))
        if response.status_code >= 400:
            raise NodeError(_message(response))
        return dict(response.json()) if response.content else None


def _message(response: httpx.Response) -> str:
    try:
        return str(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        return f"the node answered {response.status_code}"
