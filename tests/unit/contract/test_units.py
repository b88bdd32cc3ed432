"""Durations, memory and CPU as people write them."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import units


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1h", 3600),
        ("90s", 90),
        ("1h30m", 5400),
        ("500ms", 0.5),
        ("1.5h", 5400),
        (30, 30),
        ("2d", 172800),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert units.seconds(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "5", "h", "1x", "1 h", "-1s", -1, True, float("nan"), "1h-2m"]
)
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError):
        units.seconds(text)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "amount"),
    [("2Gi", 2 << 30), ("512Mi", 512 << 20), ("1G", 10**9), ("1.5Ki", 1536), (7, 7), ("10", 10)],
)
def test_memory(text: str, amount: int) -> None:
    assert units.memory_bytes(text) == amount


@pytest.mark.parametrize("text", ["", "Gi", "1Xi", "-1", -1, True, "1 2"])
def test_what_is_no_memory(text: object) -> None:
    with pytest.raises(ValueError):
        units.memory_bytes(text)  # type: ignore[arg-type]


@pytest.mark.parametrize(("text", "amount"), [(1, 1000), (0.5, 500), ("500m", 500), ("2", 2000)])
def test_cpus(text: str, amount: int) -> None:
    assert units.millicores(text) == amount


@pytest.mark.parametrize("text", [0, -1, "x", "", "0m", True, float("nan"), float("inf")])
def test_what_is_no_number_of_cpus(text: object) -> None:
    with pytest.raises(ValueError):
        units.millicores(text)  # type: ignore[arg-type]


@given(st.integers(0, 10**6), st.sampled_from(["s", "m", "h"]))
def test_durations_add_up(number: int, unit: str) -> None:
    assert units.seconds(f"{number}{unit}500ms") == number * units.SECONDS[unit] + 0.5


@given(st.text(max_size=12))
def test_any_text_is_a_unit_or_a_value_error(text: str) -> None:
    for read in (units.seconds, units.memory_bytes, units.millicores):
        with suppress(ValueError):
            assert read(text) >= 0
