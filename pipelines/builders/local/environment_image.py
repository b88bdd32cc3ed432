"""The environment as an image, for steps that run in containers. Code comes at run time."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

from pipelines.builders import image_contents
from pipelines.builders.local import documents
from pipelines.builders.local.documents import PrepareReport, PrepareRequest
from pipelines.builders.local.layers import environment_layer
from pipelines.builders.local.registries import base_for, push
from pipelines.builders.oci.images import Runtime, write_image
from pipelines.builders.oci.layout import Layout


def with_image(request: PrepareRequest, report: PrepareReport) -> PrepareReport:
    """The report with its pushed image; as it is where nothing is to be pushed or there is no
    base image, without which the environment runs in no container.

    Raises:
        PlatformFault: the base cannot be had or the registry refuses.
    """
    if request.push is None:
        return report
    home = Path(request.home)
    if remembered := remembered_image(request, report):
        return replace(report, image=remembered)
    layout = Layout(home / "images")
    with layout.building():
        base = base_for(layout, request, report.python)
        if not base.digest:
            return report
        image = write_image(
            layout,
            base=base,
            layers=[environment_layer(home, layout, report, request.python_home)],
            runtime=Runtime(
                entrypoint=["/bin/sh", "-c"],
                env=image_contents.variables(
                    {}, base_path=base.env.get("PATH", image_contents.DEFAULT_PATH)
                ),
                labels={f"{image_contents.LABEL}.environment": report.key},
                working_dir=image_contents.CODE,
                user=image_contents.USER,
            ),
            annotations={"org.opencontainers.image.base.digest": base.digest},
        )
        reference = push(layout, image.digest, request)
    path = _memory(request, report)
    path.parent.mkdir(parents=True, exist_ok=True)
    documents.write_json({"image": reference}, path)
    return replace(report, image=reference)


def remembered_image(request: PrepareRequest, report: PrepareReport) -> str:
    """The image that was pushed for this environment to this repository before, or empty."""
    try:
        return str(json.loads(_memory(request, report).read_text())["image"])
    except (OSError, ValueError, KeyError):
        return ""


def _memory(request: PrepareRequest, report: PrepareReport) -> Path:
    repository = request.push.repository if request.push else ""
    decided = [report.key, repository, sorted(request.bases.items()), request.python_home]
    name = hashlib.sha256(json.dumps(decided).encode()).hexdigest()
    return Path(request.home) / "cache" / "images" / f"{name}.json"
