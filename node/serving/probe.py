"""One health check of a replica: a GET on loopback, as cheap as it can be."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

Kind = Literal["ok", "refused", "status", "timeout", "broken"]


@dataclass(frozen=True)
class Result:
    """`broken`: something answered, but not HTTP. `status` is that of an answer, else 0."""

    kind: Kind
    status: int = 0


async def probe(port: int, path: str, timeout_s: float) -> Result:
    """Ask once. Healthy is 2xx or 3xx; for the path `/`, which many servers do not have,
    any answer below 500."""
    try:
        return await asyncio.wait_for(_ask(port, path), timeout_s)
    except TimeoutError:
        return Result("timeout")
    except OSError:
        return Result("refused")


async def _ask(port: int, path: str) -> Result:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: hekaton-probe\r\n"
            "Accept: */*\r\nConnection: close\r\n\r\n".encode()
        )
        line = await reader.readline()
    except (ConnectionError, ValueError):
        return Result("broken")
    finally:
        writer.close()
    words = line.split()
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        return Result("broken")
    status = int(words[1])
    healthy = 200 <= status < 400 or (path == "/" and status < 500)
    return Result("ok" if healthy else "status", status)
