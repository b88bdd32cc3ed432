"""What the data plane counts, by revision: samples for the autoscaler and totals for observers."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress

from node.documents import TrafficStats
from node.envoy.admin import Admin, AdminError
from node.envoy.resources import cluster_name, revision_of
from node.serving.revision import Revision

OFTEN_S, SELDOM_S = 0.25, 1.0
QUIET_S = 10.0  # without any request: look less often
LOAD = r"^cluster\.rev_[^.]+\.upstream_rq_(active|pending_active|total)$"


class Sampler:
    """Feeds autoscalers. One question to Envoy for all revisions, none while nothing runs."""

    def __init__(self, admin: Admin, revisions: Callable[[], Collection[Revision]]) -> None:
        self.admin = admin
        self.revisions = revisions
        self.in_flight: dict[str, int] = {}
        self._totals: dict[str, int] = {}
        self._busy_at = time.monotonic()

    async def run(self) -> None:
        while True:
            running = [r for r in self.revisions() if r.in_traffic and r.wanted]
            if running:
                with suppress(AdminError):
                    await self._sample(running)
            quiet = time.monotonic() - self._busy_at > QUIET_S
            await asyncio.sleep(SELDOM_S if quiet else OFTEN_S)

    async def _sample(self, running: list[Revision]) -> None:
        load: dict[str, dict[str, int]] = {}
        for name, value in (await self.admin.numbers(LOAD)).items():
            _, cluster, stat = name.split(".")
            load.setdefault(revision_of(cluster), {})[stat] = value
        for revision in running:
            uid = revision.document.uid
            seen = load.get(uid, {})
            here = seen.get("upstream_rq_active", 0) + seen.get("upstream_rq_pending_active", 0)
            total = seen.get("upstream_rq_total", 0)
            active = here > 0 or total != self._totals.get(uid, 0)
            if active:
                self._busy_at = time.monotonic()
            self._totals[uid], self.in_flight[uid] = total, here
            revision.sample(float(here), active=active)


async def totals(
    admin: Admin, revisions: Mapping[str, Revision], epoch: str
) -> dict[str, TrafficStats]:
    """Counters and latencies of these revisions; empty ones where Envoy cannot be asked."""
    empty = {
        uid: TrafficStats(epoch=epoch, cold_starts=r.cold_starts) for uid, r in revisions.items()
    }
    if not revisions:
        return {}
    names = "|".join(re.escape(cluster_name(uid)) for uid in revisions)
    try:
        numbers = await admin.numbers(rf"^cluster\.({names})\.")
        times = await admin.histograms(rf"^cluster\.({names})\.upstream_rq_time$")
    except AdminError:
        return empty
    found = {}
    for uid, revision in revisions.items():
        prefix = f"cluster.{cluster_name(uid)}."
        count = {k.removeprefix(prefix): v for k, v in numbers.items() if k.startswith(prefix)}
        buckets = {
            f"{float(bound) / 1000:g}": n
            for bound, n in times.get(prefix + "upstream_rq_time", {}).items()
        }
        if buckets:
            buckets["inf"] = max(buckets.values())
        found[uid] = TrafficStats(
            epoch=epoch,
            requests=count.get("upstream_rq_completed", 0),
            errors=count.get("upstream_rq_5xx", 0),
            in_flight=count.get("upstream_rq_active", 0)
            + count.get("upstream_rq_pending_active", 0),
            latency_buckets=buckets,
            cold_starts=revision.cold_starts,
        )
    return found
