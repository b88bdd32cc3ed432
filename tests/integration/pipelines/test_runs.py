"""Runs through the real node: what users submit, and what becomes of it."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from contract import logs
from node.client import NodeClient
from pipelines import facade
from pipelines.api.logs import StoredLog
from pipelines.models import Alias, Artifact, Metric, ModelVersion, Run, TriggerFiring
from pipelines.services import datasets, queries
from portal.accounts.principals import Principal
from portal.core.errors import Conflict, InvalidInput
from portal.projects.models import Project
from portal.projects.services import projects
from tests.integration.pipelines.conftest import drive

pytestmark = pytest.mark.django_db(transaction=True)
Submit = Callable[..., Run]

HEAD = "apiVersion: hekaton/v1\nname: demo\n"
TRAIN = """
import json, os, pathlib
value = float(os.environ["HEKATON_PARAM_SCORE"])
pathlib.Path(os.environ["HEKATON_OUTPUT_DIR"], "model.txt").write_text(str(value))
with open(os.environ["HEKATON_METRICS"], "a") as metrics:
    for step in range(3):
        metrics.write(json.dumps({"name": "accuracy", "value": value * step / 2, "step": step}) + "\\n")
print("trained", value)
"""
EVALUATE = """
import os, pathlib
print("model", pathlib.Path(os.environ["HEKATON_INPUT_TRAIN"], "model.txt").read_text())
"""
WHOLE = {
    "hekaton.yaml": HEAD
    + "params: {score: 0.8}\n"
    + "steps:\n  train: {run: python train.py}\n  evaluate: {run: python evaluate.py, needs: [train]}\n"
    + "gate: {metric: accuracy, min: 0.5, beats_champion: true}\n",
    "train.py": TRAIN,
    "evaluate.py": EVALUATE,
}


def statuses(run: Run) -> dict[str, str]:
    return {step.name: step.status for step in run.steps.all()}


def log_of(run: Run, step: str) -> list[str]:
    attempt = run.steps.get(name=step).attempts.order_by("-number").first()
    return [line.text for line in logs.read(StoredLog(attempt.log_key)).lines]


def test_a_run_trains_evaluates_and_publishes(submit: Submit) -> None:
    run = drive(submit(WHOLE))
    assert run.status == "succeeded", run.status_message
    assert log_of(run, "train") == ["trained 0.8"]
    assert log_of(run, "evaluate") == ["model 0.8"]
    version = ModelVersion.objects.get(run=run)
    assert version.metrics == {"accuracy": 0.8}
    assert version.gate["passed"]
    assert Alias.objects.get(project=run.project).model_version == version
    assert [a.path for a in Artifact.objects.filter(run=run)] == ["model.txt"]
    curve = queries.curves(run, [], 100)
    assert [p["value"] for p in curve[0]["points"]] == [0.0, 0.4, 0.8]


def test_the_better_one_reigns_and_the_worse_is_rejected(submit: Submit) -> None:
    first = drive(submit(WHOLE))
    better = drive(submit(WHOLE, params={"score": 0.9}))
    worse = drive(submit(WHOLE, params={"score": 0.7}))
    assert (first.status, better.status, worse.status) == ("succeeded", "succeeded", "rejected")
    assert "does not beat the champion" in worse.status_message
    assert Alias.objects.get(project=first.project).model_version.run == better
    board = queries.leaderboard(first.project, "accuracy", None)
    assert [(e["rank"], e["value"]) for e in board["entries"]] == [(1, 0.9), (2, 0.8)]
    assert board["entries"][0]["is_champion"]


def test_unchanged_steps_are_reused_and_changed_ones_are_not(submit: Submit) -> None:
    drive(submit(WHOLE))
    again = drive(submit(WHOLE))
    assert statuses(again)["train"] == "cached"
    changed = drive(submit({**WHOLE, "evaluate.py": EVALUATE + "print(1)"}))
    assert statuses(changed)["train"] == "succeeded"
    asked = drive(submit(WHOLE, use_cache=False))
    assert statuses(asked)["train"] == "succeeded"
    assert Metric.objects.filter(run=again).count() == 3


def test_a_failing_step_says_why_where_one_looks_first(submit: Submit) -> None:
    run = drive(
        submit(
            {
                "hekaton.yaml": HEAD
                + "steps: {a: {run: 'echo oh no; exit 3', retries: 1}, b: {run: 'true', needs: [a]}}"
            }
        )
    )
    assert run.status == "failed"
    assert "exited with code 3" in run.status_message
    assert statuses(run) == {"prepare": "cached", "a": "failed", "b": "skipped"} or statuses(run) == {
        "prepare": "succeeded", "a": "failed", "b": "skipped",
    }  # fmt: skip
    assert [a.status for a in run.steps.get(name="a").attempts.all()] == ["failed", "failed"]
    assert log_of(run, "a") == ["oh no"]


def test_a_retry_goes_on_from_what_failed(submit: Submit, member: Principal) -> None:
    files = {
        "hekaton.yaml": HEAD
        + "params: {fail: true}\nsteps: {a: {run: 'echo a > $HEKATON_OUTPUT_DIR/x', cache: false}, "
        + "b: {run: 'cat $HEKATON_INPUT_A/x; exit 1', needs: [a]}}"
    }
    run = drive(submit(files, use_cache=False))
    assert statuses(run)["b"] == "failed"
    again = drive(facade.retry_run(principal=member, run=run))
    assert statuses(again)["a"] == "cached"
    assert again.parent == run
    assert log_of(again, "b") == ["a"]
    with pytest.raises(Conflict):
        facade.retry_run(principal=member, run=drive(submit(WHOLE)))


def test_cancel_ends_only_when_every_process_is_gone(
    submit: Submit, member: Principal, node: NodeClient
) -> None:
    run = submit({"hekaton.yaml": HEAD + "steps: {a: {run: 'sleep 600 & sleep 600'}}"})
    drive(run, lambda r: r.steps.get(name="a").status == "running")
    attempt = run.steps.get(name="a").attempts.get()
    facade.cancel_run(principal=member, run=run)
    drive(run)
    assert run.status == "cancelled"
    seen = node.attempt(attempt.uid)
    assert seen is not None
    assert seen.gone


def test_out_of_memory_and_timeout_are_named(submit: Submit) -> None:
    hog = 'python3 -c "x = bytearray(600_000_000); import time; time.sleep(9)"'
    run = drive(
        submit(
            {
                "hekaton.yaml": HEAD
                + f"steps:\n  a:\n    run: {hog}\n    resources: {{memory: 100Mi}}\n"
            }
        )
    )
    assert run.steps.get(name="a").status_reason == "OutOfMemory"
    run = drive(submit({"hekaton.yaml": HEAD + "steps: {a: {run: 'sleep 60', timeout: 500ms}}"}))
    assert run.steps.get(name="a").status_reason == "TimedOut"


def test_a_lost_process_is_tried_again(submit: Submit) -> None:
    import json
    import os
    import signal

    from django.conf import settings

    run = submit(
        {"hekaton.yaml": HEAD + "steps: {a: {run: 'test -f $HEKATON_OUTPUT_DIR/../x || sleep 2'}}"}
    )
    drive(run, lambda r: r.steps.get(name="a").status == "running")
    attempt = run.steps.get(name="a").attempts.get()
    started = settings.HOME / "node" / "attempts" / attempt.uid / "started.json"
    os.kill(json.loads(started.read_text())["pid"], signal.SIGKILL)
    drive(run)
    assert run.status == "succeeded"
    assert [a.status for a in run.steps.get(name="a").attempts.all()] == ["lost", "succeeded"]


def test_secrets_reach_the_step_and_nothing_else(submit: Submit, member: Principal) -> None:
    drive(submit({"hekaton.yaml": HEAD + "steps: {a: {run: 'true'}}"}))
    project = Project.objects.select_related("team").get(
        slug="demo", team__memberships__user=member.user
    )
    projects.set_secret(principal=member, project=project, name="API_KEY", value="swordfish-42")
    run = drive(
        submit(
            {
                "hekaton.yaml": HEAD
                + "secrets: [API_KEY]\nsteps: {a: {run: 'echo key=$API_KEY | cat; test ${#API_KEY} = 12'}}"
            }
        )
    )
    assert run.status == "succeeded"
    assert log_of(run, "a") == ["key=***"]
    from django.conf import settings

    attempt = run.steps.get(name="a").attempts.get()
    folder = settings.HOME / "node" / "attempts" / attempt.uid
    assert all(b"swordfish" not in p.read_bytes() for p in folder.iterdir())


def test_new_data_runs_the_champion_again(submit: Submit, member: Principal, team: str) -> None:
    project = projects.create(
        principal=member,
        team=member.user.memberships.get().team,
        slug="demo",
        retrain_on_data=True,  # type: ignore[union-attr]
    )
    member.__dict__.pop("team_roles", None)
    dataset = facade.ensure_dataset(principal=member, project=project, slug="set")

    def push(text: bytes) -> list[Run]:
        upload = datasets.Upload("a.csv", io.BytesIO(text))
        return facade.push_data(principal=member, dataset=dataset, uploads=[upload])[2]

    assert push(b"x\n1\n") == []
    assert TriggerFiring.objects.get().outcome == "nothing"
    files = {**WHOLE, "hekaton.yaml": WHOLE["hekaton.yaml"] + "data: {train: set}\n"}
    first = drive(submit(files))
    (started,) = push(b"x\n1\n2\n")
    drive(started)
    assert started.cause["kind"] == "data"
    assert started.submission == first.submission
    assert started.data.get().version.number == 2
    assert Alias.objects.get(project=project).model_version.run == started
    assert push(b"x\n1\n2\n") == []


@pytest.mark.parametrize(
    ("files", "code", "field"),
    [
        ({"other.txt": "x"}, "manifest_missing", None),
        ({"hekaton.yaml": "nonsense: ["}, "yaml_syntax", ""),
        ({"hekaton.yaml": HEAD + "steps: {a: {run: python gone.py}}"}, "missing_file", "steps.a.run"),
        ({"hekaton.yaml": HEAD + "steps: {a: {run: x, resources: {cpu: 900}}}"}, "too_much", "steps.a.resources.cpu"),
        ({"hekaton.yaml": HEAD + "steps: {a: {run: x, resources: {gpu: 1}}}"}, "too_much", "steps.a.resources.gpu"),
        ({"hekaton.yaml": HEAD + "python: '3.6'\nsteps: {a: {run: x}}"}, "python_unavailable", "python"),
        ({"hekaton.yaml": HEAD + "secrets: [NOPE]\nsteps: {a: {run: x}}"}, "secret_missing", "secrets[0]"),
        ({"hekaton.yaml": HEAD + "data: {d: nope}\nsteps: {a: {run: x}}"}, "dataset_missing", "data.d"),
    ],
)  # fmt: skip
def test_bad_submissions_are_refused_at_submit(
    submit: Submit, files: dict[str, str], code: str, field: str | None
) -> None:
    with pytest.raises(InvalidInput) as caught:
        submit(files)
    if field is None:
        assert caught.value.code == code
    else:
        assert (code, field) in {(p["code"], p["field"]) for p in caught.value.problems}
    assert not Run.objects.exists()


def test_an_unresolvable_requirement_fails_with_its_name(submit: Submit) -> None:
    run = drive(
        submit(
            {
                "hekaton.yaml": HEAD + "requirements: r.txt\nsteps: {a: {run: 'true'}}",
                "r.txt": "six==999.0\n",
            }
        )
    )
    assert run.status == "failed"
    assert "six" in run.status_message
