"""hekaton.yaml: everything wrong is reported at once, where it is."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import graph, params, units
from contract.manifest import Manifest, parse
from contract.problems import ManifestError
from contract.rules import check_files

WHOLE = """apiVersion: hekaton/v1
name: wine-quality
python: "3.11"
requirements: requirements.txt
params: {n_estimators: 200}
env: {OMP_NUM_THREADS: "1"}
secrets: [FEATURE_STORE_TOKEN]
data: {train: wine/train, test: wine/test@3}
steps:
  train:    {run: python train.py, resources: {cpu: 500m, memory: 2Gi, gpu: 0}, timeout: 1h30m, retries: 1}
  evaluate: {run: python evaluate.py, needs: [train]}
gate: {metric: accuracy, min: 0.90, beats_champion: true}
serve:
  run: uvicorn serve:app --host 0.0.0.0 --port $PORT
  model: train
  health: /healthz
  scale: {min: 0, max: 4, concurrency: 16, idle: 5m}
  timeout: 60s
verify:
  - name: a known red wine
    request: {method: POST, path: /predict, json: {a: 1}}
    expect: {status: 200, json: {class: 0}, tolerance: 1e-6, within: 500ms}
deploy: {endpoint: wine, strategy: canary, steps: [10, 50, 100], pause: 60s, abort_on: {error_rate: 0.02, p95: 800ms}}
"""


def problems(text: str) -> dict[str, tuple[str, int]]:
    with pytest.raises(ManifestError) as caught:
        parse(text)
    return {p.path: (p.code, p.line) for p in caught.value.problems}


def test_units_are_normalised() -> None:
    manifest = parse(WHOLE)
    train = manifest.step("train")
    assert (train.resources.cpu_m, train.resources.memory_bytes) == (500, 2 * 1024**3)
    assert (train.timeout_s, train.retries) == (5400.0, 1)
    assert manifest.serve is not None
    assert manifest.serve.scale.idle_s == 300.0
    assert manifest.verify[0].expect["within"] == 0.5
    assert manifest.deploy is not None
    assert (manifest.deploy.steps, manifest.deploy.max_p95_s) == ((10, 50, 100), 0.8)


def test_a_stored_manifest_reads_back_the_same() -> None:
    manifest = parse(WHOLE)
    assert Manifest.from_dict(json.loads(json.dumps(manifest.to_dict()))) == manifest


def test_all_problems_come_at_once_with_their_lines() -> None:
    text = (
        WHOLE.replace("requirements: r", "requirement: r")
        .replace("memory: 2Gi", "memory: 2Gx")
        .replace("needs: [train]", "needs: [trian]")
        .replace("[10, 50, 100]", "[10, 5]")
        .replace("timeout: 60s", "timeout: soon")
    )
    assert problems(text) == {
        "requirement": ("unknown_key", 4),
        "steps.train.resources.memory": ("bad_unit", 10),
        "steps.evaluate.needs[0]": ("unknown_step", 11),
        "serve.timeout": ("bad_unit", 18),
        "deploy.steps": ("not_rising", 23),
    }


def test_the_nearest_key_is_named() -> None:
    with pytest.raises(ManifestError) as caught:
        parse(WHOLE.replace("requirements: r", "requirement: r"))
    assert "Did you mean `requirements`?" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "not_a_mapping"),
        ("- 1", "not_a_mapping"),
        ("a: [", "yaml_syntax"),
        ("a: 1\na: 2", "duplicate_key"),
        ("&a [*a]", "too_large"),
        ("a: 1\n---\nb: 2", "yaml_syntax"),
        (
            "apiVersion: hekaton/v1\nname: x\nsteps: {a: {run: x, needs: [b]}, b: {run: y, needs: [a]}}",
            "cycle",
        ),
        ("apiVersion: hekaton/v1\nname: x\nsteps: {gate: {run: x}}", "reserved_name"),
        (
            "apiVersion: hekaton/v1\nname: x\nsteps: {a: {run: x}}\nenv: {PORT: '1'}",
            "reserved_name",
        ),
        (
            "apiVersion: hekaton/v1\nname: x\nsteps: {a: {run: x}}\nverify: [{request: {path: /}, expect: {status: 200}}]",
            "needs_serve",
        ),
        ("apiVersion: hekaton/v1\nname: x\nsteps: {a: {run: x}}\ngate: {metric: m}", "no_rule"),
        ("apiVersion: hekaton/v1\nname: x\nsteps: {a: {run: x}}\npython: '2.7'", "bad_version"),
        ("apiVersion: hekaton/v2\nname: x\nsteps: {a: {run: x}}", "wrong_value"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, code: str) -> None:
    assert code in {found for found, _ in problems(text).values()}


@given(st.text(max_size=300))
def test_no_text_breaks_the_parser(text: str) -> None:
    with contextlib.suppress(ManifestError):
        assert parse(text).steps


def test_files_that_are_named_must_be_there() -> None:
    found = check_files(parse(WHOLE), {"train.py", "hekaton.yaml"})
    assert [(p.path, p.code) for p in found] == [
        ("requirements", "missing_file"),
        ("steps.evaluate.run", "missing_file"),
    ]


@given(st.floats(min_value=0.001, max_value=1e6))
def test_durations_read_back(value: float) -> None:
    assert units.seconds(f"{value:.3f}s") == pytest.approx(value, abs=0.001)


@pytest.mark.parametrize("bad", ["", "5", "5 minutes", "-1s", "1h-", True, -1, "nan"])
def test_bad_durations(bad: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        units.seconds(bad)  # type: ignore[arg-type]


def test_parameters_keep_the_type_of_their_default() -> None:
    merged, found = params.merge({"n": 1, "x": 0.5, "name": "a"}, {"n": 2, "x": 1, "name": "b"})
    assert not found
    assert merged == {"n": 2, "x": 1.0, "name": "b"}
    _, found = params.merge({"n": 1}, {"n": 1.5, "m": 2})
    assert [p.code for p in found] == ["param_type", "unknown_param"]


def test_order_puts_every_step_after_what_it_needs() -> None:
    needs = {"d": ["b", "c"], "b": ["a"], "c": ["a"], "a": []}
    assert graph.order(needs) == ["a", "b", "c", "d"]
    assert graph.cycle(needs) == []
    assert graph.cycle({"a": ["b"], "b": ["c"], "c": ["a"]})[0] == "a"
