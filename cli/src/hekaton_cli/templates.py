"""The submissions that `hekaton init` copies."""

from __future__ import annotations

import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import contract
from contract.names import MANIFEST

EXAMPLES = {
    "sklearn-tabular": "wine",
    "text": "language",
    "lightgbm": "flights",
    "fastapi": "fastapi",
}
ABOUT = {
    "sklearn-tabular": "classify rows of a table with scikit-learn (178 wines come with it)",
    "text": "classify text with TF-IDF and scikit-learn",
    "lightgbm": "regression on a large table with LightGBM",
    "fastapi": "a web API without a model",
}


def contents(template: str, name: str) -> dict[str, bytes]:
    """Files by path, with the project's name put in."""
    found: dict[str, bytes] = {}
    _collect(_root(template), "", found)
    text = found[MANIFEST].decode()
    old = re.findall(r"^name: (\S+)$", text, re.MULTILINE)[0]
    text = re.sub(rf"^name: {old}$", f"name: {name}", text, flags=re.MULTILINE)
    text = re.sub(rf"^(\s+endpoint: ){old}$", rf"\g<1>{name}", text, flags=re.MULTILINE)
    text = re.sub(rf"^(\s+\w+: ){old}/", rf"\g<1>{name}/", text, flags=re.MULTILINE)
    found[MANIFEST] = text.encode()
    readme = found["README.md"].decode()
    readme = readme.replace(f"# {old}\n", f"# {name}\n").replace(
        f"predict {old} ", f"predict {name} "
    )
    found["README.md"] = re.sub(rf"push {old}/", f"push {name}/", readme).encode()
    return found


def _root(template: str) -> Traversable:
    packaged = files("hekaton_cli").joinpath("templates", template)
    if packaged.is_dir():
        return packaged
    return Path(contract.__file__).parent.parent / "examples" / EXAMPLES[template]


def _collect(folder: Traversable, prefix: str, found: dict[str, bytes]) -> None:
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        path = f"{prefix}{entry.name}"
        if entry.is_dir():
            if entry.name != "__pycache__":
                _collect(entry, f"{path}/", found)
        elif not (path.startswith("data/") and path.endswith((".npz", "lines.csv"))):
            found[path] = entry.read_bytes()
