"""What an operator sets for the Kubernetes executor (`PIPELINES["EXECUTORS"][name]`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from portal.cloud.kube_project import ResourceClass, Space, read_classes, read_space


@dataclass(frozen=True, kw_only=True)
class Options:
    """`objects_url` is the portal's `/objects` as pods reach it; `image` is used where the
    environment has no image of its own (the runner then installs the lock with pip). The keys of
    `Space` are given beside these."""

    space: Space = field(default_factory=Space)
    objects_url: str = ""
    image: str = "python:3.11-slim"
    image_pull_secrets: tuple[str, ...] = ()
    run_as_user: int = 1000
    start_timeout_s: float = 900.0  # queueing for a node and pulling the image
    classes: Mapping[str, ResourceClass] = field(default_factory=dict)
    max_cpu_m: int = 0  # 0: no limit of ours
    max_memory_bytes: int = 0
    max_gpu: int = 0


def read_options(given: Mapping[str, Any]) -> Options:
    """Options from a settings dictionary.

    Raises:
        ValueError: an unknown key, named.
    """
    values = dict(given)
    try:
        space = read_space(values)
        classes = read_classes(values.pop("classes", {}))
        if "image_pull_secrets" in values:
            values["image_pull_secrets"] = tuple(values["image_pull_secrets"])
        return Options(**values, space=space, classes=classes)
    except TypeError as error:
        raise ValueError(f"Kubernetes executor: {error}") from error
