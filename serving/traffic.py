"""Traffic over revisions: percents that total 100, and tags. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from portal.core.errors import InvalidInput

TAG = re.compile(r"[a-z]([a-z0-9-]{0,28}[a-z0-9])?")


@dataclass(frozen=True)
class Target:
    revision: str  # uid
    percent: int
    tag: str = ""


def check(targets: Sequence[Target], known: Collection[str]) -> None:
    """Refuse a split that cannot be meant.

    Raises:
        InvalidInput: an unknown or repeated revision, a percent outside 0..100, a total other
            than 100, a bad or repeated tag.
    """
    seen: set[str] = set()
    tags: set[str] = set()
    for i, target in enumerate(targets):
        if target.revision not in known:
            raise InvalidInput(
                "This revision is not the endpoint's, or has failed.",
                code="unknown_revision",
                field=f"[{i}].revision",
            )
        if target.revision in seen:
            raise InvalidInput("A revision is there twice.", field=f"[{i}].revision")
        seen.add(target.revision)
        if not 0 <= target.percent <= 100:
            raise InvalidInput("A percent is from 0 to 100.", field=f"[{i}].percent")
        if target.tag:
            if not TAG.fullmatch(target.tag):
                raise InvalidInput(
                    "A tag has lower-case letters, digits and dashes, and begins with a letter.",
                    field=f"[{i}].tag",
                )
            if target.tag in tags:
                raise InvalidInput("A tag is there twice.", field=f"[{i}].tag")
            tags.add(target.tag)
    total = sum(target.percent for target in targets)
    if total != 100:
        raise InvalidInput(f"The percents total {total}, not 100.", code="not_100", field="percent")


def shift(stable: Sequence[Target], to: str, percent: int) -> list[Target]:
    """`percent` for `to`, the rest for the others in the proportions they had in `stable`."""
    others = [t for t in stable if t.revision != to and t.percent > 0]
    tags = {t.revision: t.tag for t in stable}
    rest = 100 - percent
    if not others:
        return [Target(to, 100, tags.get(to, ""))]
    total = sum(t.percent for t in others)
    shares = [Target(t.revision, t.percent * rest // total, t.tag) for t in others]
    missing = rest - sum(t.percent for t in shares)
    shares[0] = Target(shares[0].revision, shares[0].percent + missing, shares[0].tag)
    made = [Target(to, percent, tags.get(to, "")), *shares]
    kept = {t.revision for t in made}
    made += [Target(t.revision, 0, t.tag) for t in stable if t.tag and t.revision not in kept]
    return [t for t in made if t.percent > 0 or t.tag or t.revision == to]


def main_revision(targets: Sequence[Target]) -> str | None:
    """The revision with the most traffic."""
    live = [t for t in targets if t.percent > 0]
    return max(live, key=lambda t: t.percent).revision if live else None
