"""What every serving image is, whichever builder makes it: paths, variables, labels, and the
Dockerfile with the same effect. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping

ROOT = "/opt/hekaton"
ENV, CODE, MODEL = f"{ROOT}/env", f"{ROOT}/code", f"{ROOT}/model"
USER = "1000:1000"
PORT = 8080
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LABEL = "io.hekaton"


def entrypoint(serve_command: str) -> list[str]:
    return ["/bin/sh", "-c", serve_command]


def variables(given: Mapping[str, str], *, base_path: str = DEFAULT_PATH) -> dict[str, str]:
    """The image's environment. What the manifest gives wins, except PATH's first folder."""
    path = given.get("PATH") or base_path
    return {
        "PORT": str(PORT),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "LANG": "C.UTF-8",
        **{name: given[name] for name in sorted(given)},
        "PATH": f"{ENV}/bin:{path}",
        "VIRTUAL_ENV": ENV,
        "HEKATON_MODEL_DIR": MODEL,
    }


def labels(
    given: Mapping[str, str],
    *,
    environment_key: str,
    python: str,
    snapshot: str,
    model: str | None,
) -> dict[str, str]:
    """Labels that lead back, all decided by the inputs: no run, no time."""
    ours = {
        f"{LABEL}.environment": environment_key,
        f"{LABEL}.python": python,
        f"{LABEL}.snapshot": snapshot.removeprefix("sha256:"),
        f"{LABEL}.contract": "v1",
    }
    if model is not None:
        ours[f"{LABEL}.model"] = model.removeprefix("sha256:")
    return {**given, **ours}


def dockerfile(
    *,
    base: str,
    serve_command: str,
    env: Mapping[str, str],
    labels: Mapping[str, str],
    has_model: bool,
) -> str:
    """For a context with `lock.txt`, `code/` and `model/`.

    The environment is a stage of its own, so that it is made once for all images with one lock.
    """
    lines = [
        f"FROM {base} AS environment",
        "COPY lock.txt /tmp/lock.txt",
        f"RUN python3 -m venv {ENV} \\",
        f" && {ENV}/bin/python -m pip install --no-cache-dir --no-compile --no-deps \\",
        "    --require-hashes -r /tmp/lock.txt",
        "",
        f"FROM {base}",
        f"COPY --from=environment {ENV} {ENV}",
        f"COPY code {CODE}",
        *([f"COPY model {MODEL}"] if has_model else []),
        *(f"ENV {name}={quoted(value)}" for name, value in env.items()),
        *(f"LABEL {name}={quoted(value)}" for name, value in sorted(labels.items())),
        f"WORKDIR {CODE}",
        f"USER {USER}",
        f"EXPOSE {PORT}",
        f"ENTRYPOINT {json.dumps(entrypoint(serve_command))}",
    ]
    return "\n".join(lines) + "\n"


def quoted(value: str) -> str:
    """A value for ENV or LABEL: double quotes, and nothing for Docker to substitute."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{escaped}"'.replace("\n", "\\n")
