"""What an operator sets for this builder (`PIPELINES["BUILDERS"][name]`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.builders.local.uv import SourceBuilds
from portal.cloud.clients import Google, read_google


@dataclass(frozen=True, kw_only=True)
class Options:
    """`bucket` holds sources, results and logs of builds below `builds/`; a life-cycle rule of a
    few days suits it. `repository` may hold {team} and {project}. `builder_image` is the portal's
    image, which brings the interpreters in `pythons`. `bases` and `python_home` are as for the
    local builder. `root_image` is any small image with `chmod`: the builder image is not root,
    and Cloud Build's workspace belongs to root."""

    google: Google
    bucket: str
    repository: str
    builder_image: str
    bases: Mapping[str, str] = field(default_factory=dict)
    python_home: str = "/usr/local/bin"
    pythons: tuple[str, ...] = ("3.11",)
    service_account: str = ""
    machine_type: str = ""
    root_image: str = "mirror.gcr.io/library/busybox"
    source_builds: SourceBuilds = "confined"
    lock_max_age_s: float = 24 * 3600.0
    queue_s: float = 3600.0
    plain_http: bool = False  # the registry speaks HTTP: for tests on loopback

    def repository_of(self, team: str, project: str) -> str:
        return self.repository.format(team=team, project=project)


def read_options(given: Mapping[str, Any]) -> Options:
    """Options from a settings dictionary.

    Raises:
        ValueError: an unknown or missing key, named.
    """
    values = dict(given)
    try:
        values["google"] = read_google(values.get("google") or {})
        if "pythons" in values:
            values["pythons"] = tuple(values["pythons"])
        options = Options(**values)
    except TypeError as error:
        raise ValueError(f"Cloud Build builder: {error}") from error
    if not options.bases:
        raise ValueError("Cloud Build builder: `bases` is missing: the base image of each Python.")
    return options
