"""The folders of an image that a process on this machine runs from.

The code and model layers are unpacked once each, read-only, to `<home>/layers/<diff id>`; the
environment is the one in `<home>/envs` that the layer was made from, or the layer unpacked
and pointed at this machine's interpreter.
"""

from __future__ import annotations

import fcntl
import os
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.builders.faults import PlatformFault
from pipelines.builders.image_contents import LABEL
from pipelines.builders.local import environments
from pipelines.builders.local.interpreters import choose, discover
from pipelines.builders.oci.images import ROLE
from pipelines.builders.oci.layout import Layout

WITHIN = {
    role: f"opt/hekaton/{folder}"
    for role, folder in {"environment": "env", "code": "code", "model": "model"}.items()
}


@dataclass(frozen=True)
class ImageFolders:
    """Where a process finds its parts, and what the image says to run. `command` is what
    `/bin/sh -c` gets; `env` is the image's own, without the host's paths."""

    environment: Path
    code: Path
    model: Path | None
    command: str
    env: dict[str, str]
    labels: dict[str, str]


def open_image(home: Path, digest: str) -> ImageFolders:
    """The folders of an image in `<home>/images`, unpacked where they are not yet. Idempotent,
    safe beside others; offline.

    Raises:
        PlatformFault: there is no such image here, or it is not one of ours.
    """
    layout = Layout(home / "images")
    try:
        manifest = layout.read_json(digest)
        config = layout.read_json(manifest["config"]["digest"])
    except (OSError, ValueError, KeyError) as error:
        raise PlatformFault(
            "ImageMissing", f"The image {digest} is not on this machine. Build it again."
        ) from error
    parts = {
        part.get("annotations", {}).get(ROLE): (part["digest"], diff_id)
        for part, diff_id in zip(manifest["layers"], config["rootfs"]["diff_ids"], strict=True)
    }
    if not {"environment", "code"} <= set(parts):
        raise PlatformFault("ForeignImage", f"The image {digest} was not made by this builder.")
    labels: dict[str, str] = config["config"].get("Labels") or {}
    return ImageFolders(
        environment=_environment(home, layout, labels, *parts["environment"]),
        code=_unpacked(home, layout, "code", *parts["code"]),
        model=_unpacked(home, layout, "model", *parts["model"]) if "model" in parts else None,
        command=config["config"]["Entrypoint"][-1],
        env=dict(line.split("=", 1) for line in config["config"]["Env"]),
        labels=labels,
    )


def _environment(
    home: Path, layout: Layout, labels: dict[str, str], digest: str, diff_id: str
) -> Path:
    key = labels.get(f"{LABEL}.environment", "")
    if re.fullmatch(r"[0-9a-f]{64}", key) and environments.find(home, key) is not None:
        return environments.environment_path(home, key)
    minor = ".".join(labels.get(f"{LABEL}.python", "3").split(".")[:2])
    return _unpacked(home, layout, "environment", digest, diff_id, python=minor)


def _unpacked(
    home: Path, layout: Layout, role: str, digest: str, diff_id: str, *, python: str = ""
) -> Path:
    target = home / "layers" / diff_id.removeprefix("sha256:")
    inside = target / WITHIN[role]
    if target.is_dir():
        return inside
    with _locked(home, target.name):
        if target.is_dir():
            return inside
        for leftover in target.parent.glob(f"{target.name}.partial"):
            environments.remove_tree(leftover)
        partial = target.with_name(f"{target.name}.partial")
        try:
            _extract(layout.blob(digest), partial)
            (partial / WITHIN[role]).mkdir(parents=True, exist_ok=True)
            if python:
                _point_at(partial / WITHIN[role], _interpreter(home, python))
            environments.make_read_only(partial)
            os.rename(partial, target)
        except (OSError, tarfile.TarError) as error:
            environments.remove_tree(partial)
            raise PlatformFault(
                "ImageDamaged", f"The {role} layer {digest} cannot be unpacked: {error}"
            ) from error
    return inside


def _extract(blob: Path, target: Path) -> None:
    with tarfile.open(blob, "r|gz") as tar:
        tar.extractall(target, filter=_ours)  # noqa: S202 - the filter is ours


def _ours(member: tarfile.TarInfo, target: str) -> tarfile.TarInfo:
    """Our layers hold files, folders and links (to the interpreter, too) below opt/hekaton."""
    name = member.name
    if not (name in ("opt", "opt/hekaton") or name.startswith("opt/hekaton/")) or ".." in name:
        raise tarfile.TarError(f"an entry outside /opt/hekaton: {name}")
    if not (member.isreg() or member.isdir() or member.issym()):
        raise tarfile.TarError(f"not a file, folder or link: {name}")
    owned: Any = {"uid": os.getuid(), "gid": os.getgid(), "uname": "", "gname": ""}
    return member.replace(**owned)


def _point_at(environment: Path, interpreter: str) -> None:
    config = environment / "pyvenv.cfg"
    text = re.sub(r"(?m)^home = .*$", f"home = {os.path.dirname(interpreter)}", config.read_text())
    config.write_text(text)
    python = environment / "bin" / "python"
    python.unlink()
    python.symlink_to(interpreter)


def _interpreter(home: Path, python: str) -> str:
    return choose(python, discover(home)).path


@contextmanager
def _locked(home: Path, name: str) -> Iterator[None]:
    folder = home / "layers" / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
