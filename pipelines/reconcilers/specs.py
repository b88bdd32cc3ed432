"""From rows to the documents of executors and builders, and cache keys."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from contract import names
from contract.manifest import Manifest
from pipelines.builders.base import PackageSpec, PrepareSpec
from pipelines.executors.base import AttemptSpec, EnvironmentRef, Resources, Tree
from pipelines.handlers import StepContext
from pipelines.models import Attempt, Image, ModelVersion, Run, Step
from portal.projects.models import Secret

PREPARE_TIMEOUT_S = 1800.0
PACKAGE_TIMEOUT_S = 1800.0


def snapshot(run: Run) -> Tree:
    return Tree(key=run.submission.snapshot_key, digest=run.submission.digest)


def environment(run: Run) -> EnvironmentRef:
    """The environment that the run's prepare step made."""
    return EnvironmentRef(**run.environment)


def outputs(step: Step) -> Tree:
    return Tree(key=step.output_key, digest=step.output_digest)


def prepare_spec(run: Run, uid: str, log_key: str) -> PrepareSpec:
    manifest = run.submission.spec
    return PrepareSpec(
        uid=uid,
        project_uid=run.project.uid,
        run_uid=run.uid,
        snapshot=snapshot(run),
        requirements=manifest.requirements,
        python=manifest.python,
        lock=run.submission.lock,
        timeout_s=PREPARE_TIMEOUT_S,
        log_key=log_key,
    )


def package_spec(run: Run, attempt: Attempt, steps: dict[str, Step]) -> PackageSpec:
    manifest = run.submission.spec
    assert manifest.serve is not None
    model = steps.get(manifest.serve.model or "")
    labels = {
        f"{names.LABEL_PREFIX}.project": run.project.path,
        f"{names.LABEL_PREFIX}.submission": run.submission.digest,
    }
    return PackageSpec(
        uid=attempt.uid,
        project_uid=run.project.uid,
        run_uid=run.uid,
        team=run.project.team.slug,
        project=run.project.slug,
        environment=environment(run),
        lock=run.submission.lock or "",
        snapshot=snapshot(run),
        model=outputs(model) if model else None,
        serve_command=manifest.serve.run,
        env={**manifest.env, **manifest.serve.env},
        labels=labels,
        provenance={
            "run": run.uid,
            "run_number": run.number,
            "submission": run.submission.digest,
            "data": {d.slot: d.version.digest for d in run.data.select_related("version")},
            "author": run.author,
        },
        timeout_s=PACKAGE_TIMEOUT_S,
        log_key=attempt.log_key,
        requirements=manifest.requirements,
    )


def attempt_spec(run: Run, step: Step, attempt: Attempt, steps: dict[str, Step]) -> AttemptSpec:
    manifest = run.submission.spec
    wanted = manifest.step(step.name)
    return AttemptSpec(
        uid=attempt.uid,
        run_uid=run.uid,
        project_uid=run.project.uid,
        team=run.project.team.slug,
        project=run.project.slug,
        run_number=run.number,
        step=step.name,
        attempt_number=attempt.number,
        command=wanted.run,
        environment=environment(run),
        snapshot=snapshot(run),
        inputs={need: outputs(steps[need]) for need in wanted.needs},
        data={
            d.slot: Tree(key=d.version.key, digest=d.version.digest)
            for d in run.data.select_related("version")
        },
        params=run.params,
        env={**manifest.env, **wanted.env},
        secrets=secrets(run, manifest),
        resources=Resources(
            cpu_m=wanted.resources.cpu_m,
            memory_bytes=wanted.resources.memory_bytes,
            gpu=wanted.resources.gpu,
            resource_class=wanted.resources.resource_class,
        ),
        timeout_s=wanted.timeout_s,
        output_key=attempt.output_key,
        log_key=attempt.log_key,
        lock=run.submission.lock,
    )


def secrets(run: Run, manifest: Manifest) -> dict[str, str]:
    """Ciphertext by name; a secret that was deleted since submit is simply not there."""
    rows = Secret.objects.filter(project=run.project, name__in=manifest.secrets)
    return dict(rows.values_list("name", "ciphertext"))


def resources_of(run: Run, step: Step) -> Resources:
    if step.kind != "user":
        return Resources(cpu_m=1000, memory_bytes=1 << 30)
    wanted = run.submission.spec.step(step.name).resources
    return Resources(cpu_m=wanted.cpu_m, memory_bytes=wanted.memory_bytes, gpu=wanted.gpu)


def cache_key(run: Run, step: Step, steps: dict[str, Step]) -> str:
    """What a step's outputs depend on: code, command, inputs, data, parameters, environment.

    The key of a build holds what the image is made of. Empty: never cached.
    """
    manifest = run.submission.spec
    common: dict[str, Any] = {
        "kind": step.kind,
        "code": run.submission.digest,
        "environment": run.environment.get("key", ""),
    }
    if step.kind == "user":
        wanted = manifest.step(step.name)
        if not wanted.cache:
            return ""
        common |= {
            "step": step.name,
            "command": wanted.run,
            "inputs": {need: steps[need].output_digest for need in wanted.needs},
            "data": {d.slot: d.version.digest for d in run.data.select_related("version")},
            "params": run.params,
            "env": {**manifest.env, **wanted.env},
            "secrets": sorted(manifest.secrets),
        }
    elif step.kind == "build" and manifest.serve is not None:
        model = steps.get(manifest.serve.model or "")
        common |= {
            "builder": run.builder,
            "model": model.output_digest if model else "",
            "command": manifest.serve.run,
            "env": {**manifest.env, **manifest.serve.env},
        }
    else:
        return ""
    return hashlib.sha256(json.dumps(common, sort_keys=True).encode()).hexdigest()


def step_context(run: Run, step: Step, steps: dict[str, Step]) -> StepContext:
    build = next((s for s in steps.values() if s.kind == "build"), None)
    version = ModelVersion.objects.filter(run=run).first()
    image_uid = build.result.get("image") if build else None
    if image_uid and not Image.objects.filter(uid=image_uid).exists():
        image_uid = None
    return StepContext(
        step_uid=step.uid,
        step_name=step.name,
        kind=step.kind,
        run_id=run.pk,
        run_uid=run.uid,
        run_number=run.number,
        project_id=run.project_id,
        manifest=run.submission.manifest,
        image_uid=image_uid,
        model_version_uid=version.uid if version else None,
        author=run.author,
    )
