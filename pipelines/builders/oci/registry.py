"""Pushing to and pulling from OCI registries over HTTP.

Source: OCI distribution specification 1.1; token authentication as in
https://distribution.github.io/distribution/spec/auth/token/.
Blobs that are there already are not sent again. Connection errors, 429 and 5xx are tried again;
an upload starts over, since its name is its digest.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx

from pipelines.builders.faults import PlatformFault
from pipelines.builders.oci.layout import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    INDEX,
    MANIFEST,
    Descriptor,
    Layout,
)

ATTEMPTS = 4
BLOCK = 1 << 20
ACCEPT = ", ".join((MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX))
RETRYABLE = frozenset({408, 429, 500, 502, 503, 504})
REFERENCE = re.compile(
    r"(?:(?P<host>[\w.-]+(?::\d+)?)/)?(?P<name>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
    r"(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Reference:
    """`host/name[:tag][@digest]`, with Docker Hub's short forms spelt out."""

    host: str
    name: str
    tag: str = "latest"
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Raises ValueError for what is not a reference."""
        found = REFERENCE.fullmatch(text)
        if found is None:
            raise ValueError(f"not an image reference: {text!r}")
        host, name = found["host"] or "", found["name"]
        if host and "." not in host and ":" not in host and host != "localhost":
            host, name = "", f"{host}/{name}"
            if name != name.lower():
                raise ValueError(f"not an image reference: {text!r}")
        if host in ("", "docker.io"):
            host = "registry-1.docker.io"
            name = name if "/" in name else f"library/{name}"
        return cls(host, name, found["tag"] or "latest", found["digest"] or "")

    @property
    def repository(self) -> str:
        return f"{self.host}/{self.name}"

    @property
    def manifest(self) -> str:
        return self.digest or self.tag


@dataclass(frozen=True)
class Credentials:
    username: str = ""
    password: str = ""


class Registry:
    """One registry host. Use as a context manager. Raises PlatformFault for every failure."""

    def __init__(
        self,
        host: str,
        credentials: Credentials | None = None,
        *,
        plain_http: bool | None = None,
        timeout_s: float = 60.0,
        pause_s: float = 0.5,
    ) -> None:
        """`plain_http` is None: HTTP for loopback hosts, HTTPS for others. `pause_s` is the
        pause before the second attempt; it doubles."""
        self.host = host
        self._credentials = credentials or Credentials()
        self._tokens: dict[str, str] = {}
        self._pause_s = pause_s
        if plain_http is None:
            plain_http = host.split(":")[0] in ("localhost", "127.0.0.1")
        self._client = httpx.Client(
            base_url=f"{'http' if plain_http else 'https'}://{host}",
            timeout=httpx.Timeout(timeout_s, connect=10.0),
            headers={"User-Agent": "hekatoncheir"},
            follow_redirects=False,
        )

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    # Push --------------------------------------------------------------------------------

    def push(self, layout: Layout, digest: str, name: str, *, tag: str = "") -> str:
        """Send an image and return `host/name@digest`. Repeating it sends nothing twice."""
        body = layout.read(digest)
        manifest = layout.read_json(digest)
        for part in [*manifest["layers"], manifest["config"]]:
            self.push_blob(layout, part["digest"], name)
        for target in (digest, *([tag] if tag else [])):
            self.put_manifest(name, target, body, manifest.get("mediaType", MANIFEST))
        return f"{self.host}/{name}@{digest}"

    def put_manifest(
        self, name: str, target: str, body: bytes, media_type: str
    ) -> Mapping[str, str]:
        """Store a manifest under a tag or its digest; returns the answer's headers."""
        answer = self._send(
            "PUT",
            f"/v2/{name}/manifests/{target}",
            scope=_push_scope(name),
            content=lambda: body,
            headers={"Content-Type": media_type},
            accept=(201,),
        )
        return answer.headers

    def push_blob(self, layout: Layout, digest: str, name: str) -> bool:
        """Send one blob; False where the registry had it."""
        scope = _push_scope(name)
        present = self._send(
            "HEAD", f"/v2/{name}/blobs/{digest}", scope=scope, accept=(200, 307, 404)
        )
        if present.status_code != 404:
            return False
        path = layout.blob(digest)
        size = str(path.stat().st_size)

        def upload() -> httpx.Response:
            begun = self._send("POST", f"/v2/{name}/blobs/uploads/", scope=scope, accept=(202,))
            location = urljoin(str(begun.url), begun.headers["Location"])
            joint = "&" if "?" in location else "?"
            return self._once(
                "PUT",
                f"{location}{joint}digest={digest}",
                scope=scope,
                content=_chunks(path),
                headers={"Content-Type": "application/octet-stream", "Content-Length": size},
            )

        self._retried(upload, accept=(201,), what=f"upload {digest[:19]}")
        return True

    # Pull --------------------------------------------------------------------------------

    def manifest(self, reference: Reference) -> tuple[dict[str, Any], bytes, str]:
        """The manifest or index of a reference: parsed, as bytes, and its digest."""
        answer = self._send(
            "GET",
            f"/v2/{reference.name}/manifests/{reference.manifest}",
            scope=_pull_scope(reference.name),
            headers={"Accept": ACCEPT},
            accept=(200,),
        )
        digest = f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
        if reference.digest and digest != reference.digest:
            raise PlatformFault(
                "RegistryCorrupt", f"{self.host} answered {reference.name} with another content."
            )
        loaded: dict[str, Any] = answer.json()
        return loaded, answer.content, digest

    def pull_blob(self, layout: Layout, part: Descriptor, name: str) -> None:
        """Fetch a blob into the layout, unless it is there; its digest is checked."""
        if layout.has(part.digest):
            return

        def download() -> httpx.Response:
            with layout.new_blob() as target:
                answer = self._once(
                    "GET",
                    f"/v2/{name}/blobs/{part.digest}",
                    scope=_pull_scope(name),
                    into=_Sink(target, part.digest),
                )
                if answer.status_code == 200:
                    layout.adopt(target, part.digest)
                return answer

        self._retried(download, accept=(200,), what=f"download {part.digest[:19]}")

    # Wire --------------------------------------------------------------------------------

    def _send(
        self,
        method: str,
        url: str,
        *,
        scope: str,
        accept: tuple[int, ...],
        content: Callable[[], bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        return self._retried(
            lambda: self._once(
                method,
                url,
                scope=scope,
                content=content() if content else None,
                headers=headers,
            ),
            accept=accept,
            what=f"{method} {url}",
        )

    def _retried(
        self, call: Callable[[], httpx.Response], *, accept: tuple[int, ...], what: str
    ) -> httpx.Response:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = call()
            except (httpx.TransportError, _Torn) as error:
                if attempt == ATTEMPTS:
                    raise PlatformFault(
                        "RegistryUnreachable",
                        f"The registry {self.host} cannot be reached ({what}): {error}",
                    ) from error
            else:
                if answer.status_code in accept:
                    return answer
                if answer.status_code not in RETRYABLE or attempt == ATTEMPTS:
                    raise self._refused(answer, what)
            time.sleep(self._pause_s * 2 ** (attempt - 1))
        raise AssertionError("unreachable")

    def _once(
        self,
        method: str,
        url: str,
        *,
        scope: str,
        content: bytes | Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        into: _Sink | None = None,
    ) -> httpx.Response:
        """One request. A token is fetched when the registry asks for one; the body, which can
        be read only once, is sent after that (`push_blob` has asked before)."""
        sent = dict(headers or {})
        if scope in self._tokens:
            sent["Authorization"] = self._tokens[scope]
        answer = self._transfer(method, url, content, sent, into)
        if answer.status_code == 401 and not isinstance(content, Iterator):
            self._tokens[scope] = self._authorization(answer, scope)
            sent["Authorization"] = self._tokens[scope]
            answer = self._transfer(method, url, content, sent, into)
        return answer

    def _transfer(
        self,
        method: str,
        url: str,
        content: bytes | Iterator[bytes] | None,
        headers: Mapping[str, str],
        into: _Sink | None,
    ) -> httpx.Response:
        if into is None:
            return self._client.request(method, url, content=content, headers=dict(headers))
        return self._download(url, headers, into)

    def _download(self, url: str, headers: Mapping[str, str], into: _Sink) -> httpx.Response:
        """Follows redirects to blob storage itself, so that our token does not go along."""
        sent = dict(headers)
        for _ in range(4):
            with self._client.stream("GET", url, headers=sent) as answer:
                if answer.is_redirect:
                    url = urljoin(str(answer.url), answer.headers["Location"])
                    sent.pop("Authorization", None)
                    continue
                if answer.status_code != 200:
                    answer.read()
                    return answer
                digest = hashlib.sha256()
                with into.path.open("wb") as file:
                    for chunk in answer.iter_raw(BLOCK):
                        digest.update(chunk)
                        file.write(chunk)
                if f"sha256:{digest.hexdigest()}" != into.digest:
                    raise _Torn("the content does not have its digest")
                return answer
        raise PlatformFault("RegistryUnreachable", f"{self.host} redirects without end.")

    def _authorization(self, answer: httpx.Response, scope: str) -> str:
        challenge = answer.headers.get("WWW-Authenticate", "")
        kind = challenge.partition(" ")[0].lower()
        auth = (
            httpx.BasicAuth(self._credentials.username, self._credentials.password)
            if self._credentials.password
            else None
        )
        if kind == "basic" and auth is not None:
            return next(auth.auth_flow(httpx.Request("GET", "http://x"))).headers["Authorization"]
        if kind != "bearer":
            raise self._refused(answer, "sign in")
        fields = dict(CHALLENGE.findall(challenge))
        query = {"scope": fields.get("scope", scope)}
        if "service" in fields:
            query["service"] = fields["service"]
        granted = self._client.get(fields["realm"], params=query, auth=auth)
        if granted.status_code != 200:
            raise self._refused(granted, "sign in")
        body = granted.json()
        return f"Bearer {body.get('token') or body.get('access_token')}"

    def _refused(self, answer: httpx.Response, what: str) -> PlatformFault:
        said = answer.text[:500].strip() if answer.request.method != "HEAD" else ""
        status = answer.status_code
        if status in (401, 403):
            user = self._credentials.username or "nobody (no credentials are set)"
            return PlatformFault(
                "RegistryDenied",
                f"The registry {self.host} does not let {user} do this ({what}). "
                f"Check the builder's registry credentials. {said}",
            )
        if status == 404:
            return PlatformFault("RegistryNotFound", f"{self.host} has no such thing: {what}.")
        return PlatformFault("RegistryFailed", f"{self.host} answered {status} to {what}. {said}")


@dataclass(frozen=True)
class _Sink:
    """Where a download goes and what it must be."""

    path: Path
    digest: str


class _Torn(Exception):
    """A transfer that ended wrong; trying again may help."""


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while data := file.read(BLOCK):
            yield data


def _push_scope(name: str) -> str:
    return f"repository:{name}:pull,push"


def _pull_scope(name: str) -> str:
    return f"repository:{name}:pull"
