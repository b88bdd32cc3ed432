"""hekaton.yaml: what is accepted, and how faults are told."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.manifest import Manifest, parse
from contract.problems import ManifestError
from contract.rules import check_files

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*/hekaton.yaml"))
LEAST = "apiVersion: hekaton/v1\nname: x\nsteps:\n  a: {run: 'true'}\n"
SERVED = LEAST + "serve: {run: ./serve}\n"


def problems(text: str) -> list[tuple[str, str, int]]:
    with pytest.raises(ManifestError) as caught:
        parse(text)
    return [(p.code, p.path, p.line) for p in caught.value.problems]


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.parent.name)
def test_the_examples_are_valid_and_survive_storing(file: Path) -> None:
    manifest = parse(file.read_text())
    names = {p.relative_to(file.parent).as_posix() for p in file.parent.rglob("*")}

    assert check_files(manifest, names) == []
    assert Manifest.from_dict(json.loads(json.dumps(manifest.to_dict()))) == manifest


def test_units_are_normalised_and_defaults_filled() -> None:
    manifest = parse(
        LEAST.replace(
            "{run: 'true'}", "{run: x, timeout: 1h30m, resources: {cpu: 500m, memory: 1Gi}}"
        )
    )
    step = manifest.step("a")

    assert (step.timeout_s, step.resources.cpu_m, step.resources.memory_bytes) == (
        5400,
        500,
        1 << 30,
    )
    assert manifest.serve is None


def test_every_problem_at_once_with_its_line() -> None:
    text = (
        "apiVersion: hekaton/v2\n"
        "name: Bad_Name\n"
        "step: {}\n"
        "steps:\n"
        "  a:\n"
        "    run: x\n"
        "    timeout: soon\n"
        "  gate: {run: x}\n"
        "  b: {run: x, needs: [aa]}\n"
        "deploy: {endpoint: e}\n"
    )
    found = problems(text)

    assert {(path, line) for _, path, line in found} >= {
        ("apiVersion", 1), ("name", 2), ("step", 3), ("steps.a.timeout", 7), ("steps.gate", 8),
        ("deploy", 10),
    }  # fmt: skip
    assert any(code == "unknown_step" and line == 9 for code, _, line in found)


def test_the_nearest_key_is_named() -> None:
    with pytest.raises(ManifestError) as caught:
        parse(LEAST + "gaet: {metric: m, min: 1}\n")

    assert caught.value.problems[0].hint == "Did you mean `gate`?"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: [", "yaml_syntax"),
        ("- a", "not_a_mapping"),
        ("", "not_a_mapping"),
        (LEAST + "name: y\n", "duplicate_key"),
        (LEAST.replace("{run: 'true'}", "{run: x, needs: [a]}"), "cycle"),
        (LEAST + "verify: [{request: {path: /}, expect: {status: 200}}]\n", "needs_serve"),
        (LEAST + "gate: {metric: m}\n", "no_rule"),
        (LEAST + "gate: {metric: m, min: 2, max: 1}\n", "min_above_max"),
        (LEAST + "env: {HEKATON_X: '1'}\n", "reserved_name"),
        (LEAST + "env: {PORT: '1'}\n", "reserved_name"),
        (LEAST + "python: 'two'\n", "bad_format"),
        (LEAST + "python: '2.7'\n", "bad_version"),
        (SERVED + "deploy: {endpoint: e, steps: [50, 10, 100]}\n", "not_rising"),
        (SERVED + "deploy: {endpoint: e, steps: [10, 50]}\n", "not_whole"),
        (SERVED + "deploy: {endpoint: e, abort_on: {error_rate: 2}}\n", "too_large"),
        (SERVED.replace("./serve", "./serve, model: b"), "unknown_step"),
        (SERVED.replace("./serve", "./serve, scale: {min: 3, max: 2}"), "min_above_max"),
        (
            SERVED.replace("./serve", "./serve, scale: {metric: cpu, target: 50}"),
            "no_scale_to_zero",
        ),
        (LEAST + "params: {a: [1]}\n", "wrong_type"),
        (LEAST + "data: {train: 'Not A Set'}\n", "bad_format"),
    ],
)
def test_faults(text: str, code: str) -> None:
    assert code in [found for found, _, _ in problems(text)]


def test_a_cycle_is_shown_as_a_path() -> None:
    steps = (
        "steps:\n  a: {run: x, needs: [c]}\n  b: {run: x, needs: [a]}\n  c: {run: x, needs: [b]}\n"
    )
    with pytest.raises(ManifestError) as caught:
        parse("apiVersion: hekaton/v1\nname: x\n" + steps)

    assert "a -> c -> b -> a" in str(caught.value)


def test_missing_files_are_named() -> None:
    manifest = parse(LEAST.replace("'true'", "python train.py --fast") + "requirements: req.txt\n")

    assert [p.path for p in check_files(manifest, {"hekaton.yaml", "trian.py"})] == [
        "requirements", "steps.a.run",
    ]  # fmt: skip
    assert check_files(manifest, {"train.py", "req.txt"}) == []


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200) | st.text("{}[]:,-&*!|>'\"#\n ab1", max_size=80))
def test_any_text_gives_a_manifest_or_problems(text: str) -> None:
    with suppress(ManifestError):
        assert parse(text).steps


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            ["name", "steps", "gate", "serve", "verify", "deploy", "env", "data", "params"]
        ),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["run", "needs", "scale", "min", "steps", "request", "expect", "a"]
                    ),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=12,
        ),
    )
)
def test_any_shape_gives_a_manifest_or_problems(data: dict[str, object]) -> None:
    with suppress(ManifestError):
        assert parse(json.dumps(data)).steps
