"""A node that wants another bootstrap takes over from the Envoy that runs, under load."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from pathlib import Path

import httpx
import psutil

from node.envoy.admin import Admin
from node.envoy.bootstrap import Options
from node.envoy.plane import DataPlane
from node.envoy.process import EnvoyProcess
from node.envoy.resources import Route
from serving.keys import load_or_create
from tests.fakes.local_node import free_port


def test_taking_over_loses_no_request(tmp_path: Path) -> None:
    asyncio.run(_take_over(tmp_path))


async def _take_over(folder: Path) -> None:
    options = Options(
        folder=folder / "envoy",
        admin=folder / "a.sock",
        host="127.0.0.1",
        port=free_port(),
        private_cookies=("hekaton_session",),
    )
    old = EnvoyProcess(options, 1)
    admin = Admin(options.admin)
    plane = DataPlane(options.folder, admin)
    plane.prepare()
    plane.set_keys(load_or_create(folder / "keys" / "k.pem").jwks())
    route = Route(
        prefix="/e/a",
        endpoint_uid="E",
        shares=(),
        key_ids=None,
        timeout_s=1,
        max_request_bytes=10,
        waiting="here",
    )
    plane.set_routes("E", (route,))
    await old.start()
    plane.start()
    await asyncio.wait_for(plane.in_force(), 10)
    stop, answers = threading.Event(), []

    def load() -> None:
        while not stop.is_set():
            try:
                answers.append(httpx.get(f"http://127.0.0.1:{options.port}/e/a").json()["detail"])
            except httpx.HTTPError as error:
                answers.append(repr(error))

    loading = threading.Thread(target=load)
    loading.start()
    new = EnvoyProcess(dataclasses.replace(options, max_header_kb=32), 1)
    try:
        await new.start()
        assert new.identity["pid"] != old.identity["pid"]
        deadline = time.monotonic() + 20
        while psutil.pid_exists(old.identity["pid"]) and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        assert not psutil.pid_exists(old.identity["pid"])
    finally:
        stop.set()
        await asyncio.to_thread(loading.join)
        await plane.stop()
        await admin.close()
        old.forget()
        await new.stop()
    assert len(answers) > 20
    assert set(answers) == {"here"}
