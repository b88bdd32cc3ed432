"""Durations, memory and CPU as people write them."""

from __future__ import annotations

import re

DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]i?)?B?")
BYTES: dict[str | None, int] = {
    None: 1,
    **{unit: 1000 ** (i + 1) for i, unit in enumerate("KMGT")},
    **{unit + "i": 1024 ** (i + 1) for i, unit in enumerate("KMGT")},
}


def seconds(value: str | float) -> float:
    """ "1h", "90s", "1h30m", "500ms" or a number of seconds.

    Raises:
        ValueError: it is none of these, or negative.
    """
    if isinstance(value, bool):
        raise ValueError("a duration such as 30s, 5m or 1h is expected")
    if isinstance(value, int | float):
        if value < 0 or value != value:
            raise ValueError("a duration cannot be negative")
        return float(value)
    text = value.strip()
    parts = DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError("a duration such as 30s, 5m or 1h is expected")
    return round(sum(float(number) * SECONDS[unit] for number, unit in parts), 6)


def memory_bytes(value: str | int) -> int:
    """ "2Gi", "512Mi", "1G" or a number of bytes.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(value, bool):
        raise ValueError("an amount such as 512Mi or 2Gi is expected")
    if isinstance(value, int):
        if value < 0:
            raise ValueError("an amount cannot be negative")
        return value
    found = MEMORY.fullmatch(value.strip())
    if not found:
        raise ValueError("an amount such as 512Mi or 2Gi is expected")
    return int(float(found[1]) * BYTES[found[2]])


def millicores(value: str | float) -> int:
    """1, 0.5 or "500m" CPUs.

    Raises:
        ValueError: it is none of these, or not above zero.
    """
    text = str(value).strip()
    factor = 1000.0
    if text.endswith("m"):
        text, factor = text[:-1], 1.0
    try:
        amount = float(text) * factor
    except ValueError:
        raise ValueError("a number of CPUs such as 1, 0.5 or 500m is expected") from None
    if isinstance(value, bool) or not 1 <= amount < 1e6:
        raise ValueError("a number of CPUs such as 1, 0.5 or 500m is expected")
    return round(amount)
