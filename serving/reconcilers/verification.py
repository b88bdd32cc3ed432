"""One verification: deploy out of traffic, wait for health, ask, compare, always tear down.

The outcome is decided before the end and written down; whatever crashes, the next pass goes on
to `tearing_down` and stays there until the backend says that nothing is left.
"""

from __future__ import annotations

import json
import logging
import time
from datetime import timedelta
from typing import Any

import httpx
from django.db import IntegrityError, transaction

from contract.checks import Answer, Difference, compare
from contract.manifest import Check
from portal.core import clock
from portal.core.errors import AdapterError, PermanentError, TransientError
from portal.core.transitions import Stale, note, transition
from serving.backends.base import RevisionObservation
from serving.backends.loader import backend
from serving.models import CheckResult, Verification
from serving.reconcilers import specs

log = logging.getLogger(__name__)
SLICE_S = 20.0  # how long one pass may spend on requests
TEAR_DOWN_WITHIN = timedelta(minutes=5)
MAX_BODY = 1 << 20
SHOWN_BODY = 4000
SETTLE_S = 1.0


def reconcile_verification(verification_id: int) -> bool:
    """Do what it needs now. Returns whether it has ended."""
    for _ in range(8):
        row = (
            Verification.objects.filter(pk=verification_id).select_related("project__team").first()
        )
        if row is None or row.is_terminal:
            return True
        try:
            if not _step(row):
                break
        except Stale:
            continue
    return False


def _step(row: Verification) -> bool:
    """One step; True when the next can follow at once."""
    now = clock.now()
    if row.status == "tearing_down":
        return _tear_down(row)
    if row.cancel_requested:
        _decide(row, "cancelled", "Cancelled", "It was cancelled.", ())
        return True
    if row.status == "pending":
        return _begin(row)
    try:
        observed = backend(row.backend).observe(row.uid)
    except AdapterError as error:
        note(row, reason=error.reason, message=error.message)
        return False
    late = row.deadline_at is not None and now > row.deadline_at
    if observed.state == "unknown":
        note(row, reason="BackendUnreachable", message=observed.message)
        if late:
            _decide(row, "crashed", "BackendUnreachable", observed.message, ())
        return late
    found = next((r for r in observed.revisions if r.uid == row.uid), None)
    if observed.state == "absent" or found is None:
        backend(row.backend).apply(specs.verification_spec(row))
        return False
    if row.status == "starting":
        return _starting(row, found, late)
    return _checking(row, found, late)


def _begin(row: Verification) -> bool:
    startup = timedelta(seconds=float(row.serve.get("startup_s", 120.0)) + 60)
    spec = specs.verification_spec(row)
    held = backend(row.backend)
    refusals = held.refuse(spec)
    if refusals:
        _decide(row, "failed", "Refused", " ".join(refusals), ())
        return True
    transition(
        row, "starting", reason="Deploying", message="It is being deployed, out of traffic.",
        deadline_at=clock.now() + startup, started_at=clock.now(),
    )  # fmt: skip
    try:
        held.apply(spec)
    except TransientError as error:
        note(row, reason=error.reason, message=error.message)
        return False
    except PermanentError as error:
        _decide(row, "failed", error.reason, error.message, ())
    return True


def _starting(row: Verification, found: RevisionObservation, late: bool) -> bool:
    if found.state == "ready" and found.probe_address:
        budget = sum(Check(**check).timeout_s for check in row.checks) + 120
        transition(
            row, "checking", reason="Checking", message=f"Asking {len(row.checks)} requests.",
            deadline_at=clock.now() + timedelta(seconds=budget),
        )  # fmt: skip
        return True
    if found.state == "failed":
        _decide(row, "failed", found.reason or "Failed", found.message, found.last_log)
        return True
    if late:
        words = found.message or "It did not become healthy in time."
        _decide(row, "failed", found.reason or "SlowStart", words, found.last_log)
        return True
    note(row, reason=found.reason or "Deploying", message=found.message or "It is starting.")
    return False


def _checking(row: Verification, found: RevisionObservation, late: bool) -> bool:
    """Ask the requests that are left, as many as fit into one pass."""
    done = set(row.results.values_list("index", flat=True))
    began = time.monotonic()
    for index, given in enumerate(row.checks):
        if index in done:
            continue
        if time.monotonic() - began > SLICE_S:
            return True
        check = Check(**given)
        if found.state != "ready" or not found.probe_address:
            return _gone(row, index, check, found, late)
        answer, failure = ask(found.probe_address, check)
        if answer is None:
            time.sleep(SETTLE_S)  # the backend needs a moment to see a crash
            after = _look_again(row)
            if after is not None and after.state != "ready":
                return _gone(row, index, check, after, late)
            _keep(row, index, check, "error", failure, (), None)
            continue
        differences = compare(check.expect, answer)
        words = differences[0].message if differences else ""
        _keep(row, index, check, "failed" if differences else "passed", words, differences, answer)
    bad = list(row.results.exclude(outcome="passed").order_by("index"))
    total = len(row.checks)
    if bad:
        words = f"{len(bad)} of {total} requests were not answered as defined. "
        words += f"`{bad[0].name}`: {bad[0].message}"
        _decide(row, "failed", "WrongAnswer", words, found.last_log)
    else:
        _decide(row, "passed", "Passed", f"All {total} requests were answered as defined.", ())
    return True


def _gone(
    row: Verification, index: int, check: Check, found: RevisionObservation, late: bool
) -> bool:
    """The replica is not there any more: which request it was, and why."""
    if found.state not in ("failed",) and not found.reason and not late:
        note(row, reason="Restarting", message="The replica is not ready; waiting.")
        return False
    words = (
        f"The server ended at request {index + 1} of {len(row.checks)} (`{check.name}`). "
        + (found.message or "")
    ).strip()
    _keep(row, index, check, "error", words, (), None)
    _decide(row, "failed", found.reason or "AppCrashed", words, found.last_log)
    return True


def _look_again(row: Verification) -> RevisionObservation | None:
    try:
        observed = backend(row.backend).observe(row.uid)
    except AdapterError:
        return None
    return next((r for r in observed.revisions if r.uid == row.uid), None)


def ask(base: str, check: Check) -> tuple[Answer | None, str]:
    """Send one request; the answer, or why there is none."""
    body: dict[str, Any] = {}
    if check.has_json:
        body["json"] = check.json
    elif check.text is not None:
        body["content"] = check.text.encode()
    began = time.monotonic()
    try:
        with httpx.Client(timeout=check.timeout_s, follow_redirects=False) as client:
            response = client.request(
                check.method, base.rstrip("/") + check.path, headers=dict(check.headers), **body
            )
    except httpx.TimeoutException:
        return None, f"No answer within {check.timeout_s:g} s."
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return None, f"The connection broke: {error}"
    elapsed = time.monotonic() - began
    return Answer(
        response.status_code, dict(response.headers), response.content[:MAX_BODY], elapsed
    ), ""


def _keep(
    row: Verification,
    index: int,
    check: Check,
    outcome: str,
    message: str,
    differences: tuple[Difference, ...],
    answer: Answer | None,
) -> None:
    request = {"method": check.method, "path": check.path, "headers": dict(check.headers)}
    if check.has_json:
        request["body"] = json.dumps(check.json, ensure_ascii=False)[:SHOWN_BODY]
    elif check.text is not None:
        request["body"] = check.text[:SHOWN_BODY]
    response = {}
    if answer is not None:
        response = {
            "status": answer.status,
            "headers": dict(list(answer.headers.items())[:50]),
            "body": answer.body[:SHOWN_BODY].decode("utf-8", "replace"),
        }
    try:
        with transaction.atomic():
            CheckResult.objects.create(
                verification=row,
                index=index,
                name=check.name,
                outcome=outcome,
                message=message,
                differences=[difference.to_dict() for difference in differences],
                request=request,
                response=response,
                elapsed_s=answer.elapsed_s if answer else None,
            )
    except IntegrityError:
        log.info("check %d of %s was answered by another worker", index, row.uid)


def _decide(
    row: Verification,
    outcome: str,
    reason: str,
    message: str,
    last_log: tuple[str, ...] | list[str],
) -> None:
    """Write the outcome and go on to tearing down, in one swap."""
    transition(
        row,
        "tearing_down",
        reason="TearingDown",
        message="It is being taken away.",
        deadline_at=clock.now() + TEAR_DOWN_WITHIN,
        outcome=outcome,
        outcome_reason=reason[:64],
        outcome_message=message,
        log_tail=list(last_log)[-30:],
    )


def _tear_down(row: Verification) -> bool:
    try:
        held = backend(row.backend)
        held.delete(row.uid)
        observed = held.observe(row.uid)
    except AdapterError as error:
        note(row, reason=error.reason, message=error.message)
        return False
    if observed.state == "unknown":
        note(row, reason="BackendUnreachable", message=observed.message)
        return False
    if observed.state != "absent":
        return False
    transition(
        row,
        row.outcome or "crashed",
        reason=row.outcome_reason or "Unknown",
        message=row.outcome_message,
        finished_at=clock.now(),
    )
    return True
