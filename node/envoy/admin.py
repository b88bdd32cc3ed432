"""Envoy's admin interface over its Unix socket."""

from __future__ import annotations

import json
import re
from pathlib import Path

import aiohttp

TIMEOUT = aiohttp.ClientTimeout(total=2.0)
_BUCKET = re.compile(r"B([0-9.e+]+)\(\d+,(\d+)\)")


class AdminError(Exception):
    """Envoy does not answer, or refuses."""


class Admin:
    """Use within one event loop; `close` at the end."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self._session: aiohttp.ClientSession | None = None

    async def get(self, path: str, **params: str) -> str:
        return await self._request("GET", path, params)

    async def post(self, path: str, **params: str) -> str:
        return await self._request("POST", path, params)

    async def ready(self) -> bool:
        try:
            return (await self.get("/ready")).startswith("LIVE")
        except AdminError:
            return False

    async def numbers(self, pattern: str) -> dict[str, int]:
        """Counters and gauges whose name matches the regular expression."""
        found = {}
        for line in (await self.get("/stats", filter=pattern)).splitlines():
            name, _, value = line.partition(": ")
            if value.isdigit():
                found[name] = int(value)
        return found

    async def texts(self, pattern: str) -> dict[str, str]:
        """Text read-outs whose name matches, such as versions of configuration."""
        lines = (await self.get("/stats", type="TextReadouts", filter=pattern)).splitlines()
        return {name: value.strip('"') for name, _, value in (li.partition(": ") for li in lines)}

    async def histograms(self, pattern: str) -> dict[str, dict[str, int]]:
        """Cumulative counts by upper bound in the histogram's own unit."""
        text = await self.get(
            "/stats", type="Histograms", filter=pattern, histogram_buckets="cumulative"
        )
        return {
            name: {bound: int(count) for bound, count in _BUCKET.findall(buckets)}
            for name, _, buckets in (line.partition(": ") for line in text.splitlines())
        }

    async def active_clusters(self) -> set[str]:
        """Names of the clusters that requests can use now (warm ones)."""
        text = await self.get(
            "/config_dump", resource="dynamic_active_clusters", mask="cluster.name"
        )
        return {c["cluster"]["name"] for c in json.loads(text).get("configs", ())}

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _request(self, method: str, path: str, params: dict[str, str]) -> str:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(path=str(self.socket)), timeout=TIMEOUT
            )
        try:
            async with self._session.request(
                method, f"http://envoy{path}", params=params
            ) as response:
                text = await response.text()
                if response.status >= 400:
                    raise AdminError(f"{path}: {response.status} {text[:200]}")
                return text
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise AdminError(f"{path}: {error or 'timed out'}") from error
