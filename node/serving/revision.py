"""One revision on this node: as many replicas as are wanted, replaced when they end.

It decides nothing about routes; `node.serving.endpoint` does, by what it says here: `ready`,
`proved` (it was ready once, so it may scale to zero and come back) and `gave_up`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from ulid import ULID

from node.documents import (
    RevisionDocument,
    RevisionObservation,
    RevisionState,
    ScaleDecision,
    TrafficStats,
)
from node.processes import Processes
from node.serving import ports
from node.serving.autoscaler import Autoscaler, Policy
from node.serving.reasons import Reason
from node.serving.replica import Replica

log = logging.getLogger(__name__)
TRIES = 3  # starts that may fail before a revision that was never ready is given up
FIRST_BACKOFF_S, LAST_BACKOFF_S = 0.25, 30.0
STEADY_S = 60.0  # a replica that served so long ends a run of failures
DECISIONS_KEPT = 500
DRAIN_LOOK_S = 0.05


class Host(Protocol):
    """What a revision needs of the node."""

    processes: Processes
    replicas_folder: Path
    activator_address: str

    def set_members(self, revision_uid: str, addresses: list[str]) -> None: ...

    async def in_force(self) -> None:
        """Wait until the data plane serves what was set."""
        ...

    def ports_taken(self) -> set[int]: ...

    def in_flight(self, address: str) -> int:
        """Requests, at most, that are under way at a member that gets no new ones."""
        ...

    def busy(self, revision_uid: str) -> bool:
        """Whether requests were in flight when last looked."""
        ...


class Revision:
    """`changed` is called whenever something happened that routes or observers may care about."""

    def __init__(
        self,
        host: Host,
        endpoint_uid: str,
        document: RevisionDocument,
        changed: Callable[[], None],
        *,
        proved: bool = False,
        cold_starts: int = 0,
    ) -> None:
        self.host = host
        self.endpoint_uid = endpoint_uid
        self.document = document
        self.changed = changed
        self.proved = proved
        self.cold_starts = cold_starts
        self.replicas: list[Replica] = []
        self.last_ended: Replica | None = None
        self.in_traffic = False
        self.floor = 0
        self.wanted = 0
        self.failures = 0
        self.retry_at = 0.0
        self.gave_up = False
        self.reason: Reason | None = None
        self.autoscaler = Autoscaler()
        self.decisions: deque[ScaleDecision] = deque(maxlen=DECISIONS_KEPT)
        self.closing = False
        self.published = False  # the data plane knows it
        self._more = asyncio.Event()
        self._drains: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    # What is so --------------------------------------------------------------------------

    @property
    def ready(self) -> list[Replica]:
        return [r for r in self.replicas if r.state == "ready"]

    @property
    def routable(self) -> bool:
        return bool(self.ready) or (self.proved and not self.gave_up)

    @property
    def state(self) -> RevisionState:
        if self.ready:
            return "ready"
        if self.gave_up or (self.failures >= TRIES and self.wanted):
            return "failed"
        if self.wanted:
            return "starting"
        if any(r.state == "draining" for r in self.replicas):
            return "draining"
        return "idle" if self.in_traffic and self.proved else "stopped"

    def observe(self, stats: TrafficStats) -> RevisionObservation:
        reason = self.reason
        if reason is None or self.state in ("ready", "idle", "stopped"):
            reason = Reason("", "")
        shown = list(self.replicas)
        if self.last_ended is not None and not self.ready:
            shown.append(self.last_ended)
        return RevisionObservation(
            uid=self.document.uid,
            state=self.state,
            reason=reason.code,
            message=reason.message,
            replicas=tuple(r.observe() for r in shown),
            decision=self.decisions[-1] if self.decisions else None,
            stats=stats,
            log_dir=self.document.log_dir,
        )

    # What is wanted ----------------------------------------------------------------------

    def adopt(self, replica: Replica) -> None:
        """A replica that an earlier node started; it counts as wanted."""
        replica.changed = self._replica_changed
        replica.busy = self._busy
        self.replicas.append(replica)
        replica.start()
        self.proved = self.proved or replica.ready_at is not None
        self.wanted = len([r for r in self.replicas if r.state != "exited"])

    def set_role(self, document: RevisionDocument, *, in_traffic: bool, floor: int) -> None:
        """What the endpoint wants of it now: a share of the traffic or not, and how many
        replicas at least."""
        self.document = document
        self.in_traffic, self.floor = in_traffic, floor
        if self.closing:
            return
        if not in_traffic:
            self._want(floor, "none", "warm" if floor else "", _standing(floor), 0.0)
        elif not self.proved:
            self._want(max(1, floor), "none", "min", "1 replica: to see that it starts.", 0.0)
        elif self.wanted < floor or self.wanted > self.most:
            self.decide()
        self.act()

    @property
    def most(self) -> int:
        return max(self.document.scale.max, self.floor, 1)

    def try_again(self) -> None:
        """A new generation of the endpoint: what was given up may be tried again."""
        self.failures, self.retry_at, self.gave_up = 0, 0.0, False

    def sample(self, concurrency: float, *, active: bool) -> None:
        """What the data plane sees now; decides at once."""
        scale = self.document.scale
        self.autoscaler.record(
            time.monotonic(), concurrency, active=active, keep_s=scale.stable_window_s
        )
        if self.in_traffic and self.proved and not self.closing:
            self.decide()

    def decide(self) -> None:
        scale = self.document.scale
        policy = Policy(
            target=max(1, scale.concurrency),
            floor=self.floor,
            max=self.most,
            idle_s=scale.idle_s,
            stable_s=scale.stable_window_s,
            panic_s=scale.panic_window_s,
        )
        found = self.autoscaler.decide(time.monotonic(), time.time(), self.wanted, policy)
        if found.wanted != self.wanted:
            self._decided(found)
            self.act()

    def demand(self, waiting: int) -> None:
        """Requests wait for a replica: from zero this starts the first one."""
        self.autoscaler.record(time.monotonic(), float(waiting), active=True)
        if self.wanted == 0 and not self.closing:
            if not any(r.state == "draining" for r in self.replicas):
                self.cold_starts += 1
            self._want(1, "none", "", "1 replica: a request is waiting.", float(waiting))
            self.act()

    async def some_ready(self) -> list[Replica]:
        """Wait until replicas are ready; empty once that cannot be expected."""
        while True:
            ready = self.ready
            if ready or self.state == "failed" or self.closing:
                return ready
            more = self._more
            await more.wait()

    def _want(self, number: int, window: str, bound: str, message: str, observed: float) -> None:
        if number == self.wanted:
            return
        self._decided(
            ScaleDecision(
                at=time.time(),
                wanted=number,
                observed=observed,
                target=self.document.scale.concurrency,
                window=window,  # type: ignore[arg-type]
                bound=bound,  # type: ignore[arg-type]
                message=message,
            )
        )

    def _decided(self, decision: ScaleDecision) -> None:
        self.wanted = decision.wanted
        self.decisions.append(decision)
        self.changed()

    # Making it so ------------------------------------------------------------------------

    def act(self) -> None:
        """Start, revive or drain until there are as many as wanted. Never waits."""
        live = [r for r in self.replicas if r.state in ("starting", "ready") and not r.stopping]
        missing = self.wanted - len(live)
        if missing > 0:
            for replica in self.replicas:
                if missing and replica.state == "draining" and not replica.stopping:
                    replica.revive()
                    missing -= 1
            self._start(missing)
        elif missing < 0:
            order = sorted(live, key=lambda r: (r.state == "ready", -r.created_at))
            for replica in order[:-missing]:
                self._drain(replica)
        self.publish()

    def publish(self) -> None:
        """Tell the data plane who answers: the ready ones, or the activator when there is none."""
        if not (self.in_traffic or self.published):
            return
        self.published = True
        ready = sorted(r.address for r in self.ready)
        self.host.set_members(self.document.uid, ready or [self.host.activator_address])

    async def close(self) -> None:
        """Drain and end every replica; afterwards none is left."""
        self.closing = True
        self.wanted = 0
        self.act()
        self._wake()
        while self.replicas:
            await asyncio.wait({r.task for r in self.replicas if r.task}, timeout=1)
            await asyncio.sleep(0)

    def _start(self, missing: int) -> None:
        if missing <= 0 or self.gave_up or self.closing:
            return
        wait = self.retry_at - time.monotonic()
        if wait > 0:
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(wait, self._retry)
            return
        for _ in range(1 if self.failures else missing):
            uid = str(ULID())
            record = {
                "uid": uid,
                "endpoint_uid": self.endpoint_uid,
                "revision_uid": self.document.uid,
                "port": ports.choose(self.host.ports_taken()),
                "restarts": self.last_ended.restarts + 1 if self.last_ended else 0,
                "created_at": time.time(),
            }
            folder = self.host.replicas_folder / uid
            replica = Replica(
                self.host.processes, folder, self.document, record, self._replica_changed
            )
            replica.busy = self._busy
            self.replicas.append(replica)
            replica.start()

    def _retry(self) -> None:
        self._timer = None
        self.act()

    def _busy(self) -> bool:
        return self.host.busy(self.document.uid)

    def _drain(self, replica: Replica) -> None:
        starting = replica.state == "starting"
        replica.drain()
        if starting or not self.published:
            replica.stop()
            return
        task = asyncio.create_task(self._drained(replica))
        self._drains.add(task)
        task.add_done_callback(self._drains.discard)

    async def _drained(self, replica: Replica) -> None:
        """Wait until nothing is under way there any more, then end it; unless it was revived."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.document.timeout_s):
                await self.host.in_force()
                while replica.state == "draining" and self.host.in_flight(replica.address):
                    await asyncio.sleep(DRAIN_LOOK_S)
        if replica.state == "draining":
            replica.stop()

    def _replica_changed(self, replica: Replica) -> None:
        if replica.state == "ready":
            self.proved = True
            self.reason = None
            self.gave_up = False
        elif replica.state == "exited":
            self.replicas.remove(replica)
            asyncio.get_running_loop().create_task(replica.remove())
            if replica.reason is not None and not self.closing:
                self._failed(replica, replica.reason)
        self.act()
        self._wake()
        self.changed()

    def _failed(self, replica: Replica, reason: Reason) -> None:
        self.last_ended = replica
        self.reason = reason
        if replica.ready_at is not None and time.time() - replica.ready_at > STEADY_S:
            self.failures = 0
        self.failures += 1
        log.warning("revision %s: %s: %s", self.document.name, reason.code, reason.message)
        if reason.code == "PortTaken":
            self.failures -= 1
        elif not self.proved and (reason.certain or self.failures >= TRIES):
            self.gave_up = True
        backoff = FIRST_BACKOFF_S * 2 ** min(10, max(0, self.failures - 1))
        # the first failure of one that has served is mended at once
        at_once = self.proved and self.failures <= 1
        self.retry_at = time.monotonic() + (0 if at_once else min(LAST_BACKOFF_S, backoff))

    def _wake(self) -> None:
        self._more.set()
        self._more = asyncio.Event()


def _standing(floor: int) -> str:
    if not floor:
        return "0 replicas: it has no traffic."
    return f"{floor} replica{'' if floor == 1 else 's'} kept warm without traffic."
