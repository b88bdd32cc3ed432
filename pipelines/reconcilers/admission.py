"""Who may start: one place decides, for all runs, under one lock.

Slots are CPU and memory of a pool (an executor's node or quota). Order is fair: projects with
fewer attempts at work come first, then whoever has waited longest.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction

from pipelines.executors.loader import executor
from pipelines.models import Attempt
from portal.core import clock
from portal.core.errors import PermanentError
from portal.core.models import Lease
from portal.core.transitions import Stale, note

CAPACITY_KNOWN_S = 10.0
_capacity: dict[str, tuple[float, Capacity]] = {}


@dataclass(frozen=True, kw_only=True)
class Demand:
    attempt: int
    project: int
    cpu_m: int
    memory_bytes: int
    gpu: int


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What a pool has; None: it decides by itself (a cluster queues on its own)."""

    cpu_m: int | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    admitted: tuple[int, ...]
    waiting: tuple[tuple[int, str], ...]  # attempt id, reason in words


def plan_admission(
    waiting: Sequence[Demand], busy: Sequence[Demand], capacity: Capacity
) -> Verdict:
    """Who starts now, and why the others wait. Pure."""
    cpu = sum(one.cpu_m for one in busy)
    memory = sum(one.memory_bytes for one in busy)
    at_work = Counter(one.project for one in busy)
    left = list(waiting)
    admitted: list[int] = []
    reasons: list[tuple[int, str]] = []
    while left:
        one = min(left, key=lambda d: (at_work[d.project], d.attempt))
        left.remove(one)
        if _fits(cpu + one.cpu_m, capacity.cpu_m) and _fits(
            memory + one.memory_bytes, capacity.memory_bytes
        ):
            cpu += one.cpu_m
            memory += one.memory_bytes
            at_work[one.project] += 1
            admitted.append(one.attempt)
        else:
            reasons.append((one.attempt, _words(cpu, memory, capacity, len(reasons))))
            if not busy and not admitted and len(reasons) == 1:
                admitted.append(one.attempt)  # larger than the whole pool: alone, or never
                reasons.pop()
                cpu += one.cpu_m
                memory += one.memory_bytes
    return Verdict(admitted=tuple(admitted), waiting=tuple(reasons))


def admit(pool: str) -> dict[int, int]:
    """One admission pass over a pool; returns {admitted attempt: its run}.

    Serialised by the row lock of the pool's lease, so two passes never give the same slot twice.
    """
    capacity = _capacity_of(pool)
    with transaction.atomic():
        Lease.objects.get_or_create(name=f"admission:{pool}"[:64])
        Lease.objects.select_for_update().get(name=f"admission:{pool}"[:64])
        rows = list(
            Attempt.objects.filter(
                pool=pool, status__in=["pending", "starting", "running", "cancelling"]
            ).values_list(
                "id",
                "status",
                "admitted_at",
                "cpu_m",
                "memory_bytes",
                "gpu",
                "step__run__project_id",
                "step__run_id",
            )
        )
        demands = {
            row[0]: Demand(
                attempt=row[0], project=row[6], cpu_m=row[3], memory_bytes=row[4], gpu=row[5]
            )
            for row in rows
        }
        waiting = [demands[r[0]] for r in rows if r[1] == "pending" and r[2] is None]
        if not waiting:
            return {}
        busy = [demands[r[0]] for r in rows if not (r[1] == "pending" and r[2] is None)]
        verdict = plan_admission(waiting, busy, capacity)
        Attempt.objects.filter(id__in=verdict.admitted, admitted_at=None).update(
            admitted_at=clock.now()
        )
    _tell(verdict.waiting)
    run_of = {row[0]: row[7] for row in rows}
    return {attempt: run_of[attempt] for attempt in verdict.admitted}


def _tell(waiting: Sequence[tuple[int, str]]) -> None:
    """Write each waiting attempt's reason where it changed, on the attempt and its step."""
    words = dict(waiting)
    for attempt in Attempt.objects.filter(id__in=words).select_related("step__run__project__team"):
        try:
            for row in (attempt, attempt.step):
                note(row, reason="WaitingForCapacity", message=words[attempt.pk])
        except Stale:
            continue


def _capacity_of(pool: str) -> Capacity:
    known = _capacity.get(pool)
    if known and time.monotonic() - known[0] < CAPACITY_KNOWN_S:
        return known[1]
    try:
        found = executor(pool).capabilities()
    except PermanentError:
        return Capacity(cpu_m=0, memory_bytes=0)
    if found.unavailable:
        return known[1] if known else Capacity(cpu_m=0, memory_bytes=0)
    limits = found.limits if found.granularity == "attempt" and found.pythons else {}
    capacity = Capacity(cpu_m=limits.get("cpu_m"), memory_bytes=limits.get("memory_bytes"))
    _capacity[pool] = (time.monotonic(), capacity)
    return capacity


def _fits(amount: int, most: int | None) -> bool:
    return most is None or amount <= most


def _words(cpu: int, memory: int, capacity: Capacity, ahead: int) -> str:
    parts = []
    if capacity.cpu_m == 0:
        return "Waiting for the node: it cannot be reached."
    if capacity.cpu_m is not None:
        parts.append(f"{cpu / 1000:g} of {capacity.cpu_m / 1000:g} CPUs")
    if capacity.memory_bytes is not None:
        parts.append(f"{memory / 2**30:.1f} of {capacity.memory_bytes / 2**30:.1f} GiB")
    place = f"; {ahead} ahead in the queue" if ahead else "; next in the queue"
    return f"Waiting for capacity: {' and '.join(parts)} busy{place}."
