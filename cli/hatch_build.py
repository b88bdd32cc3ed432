"""Puts what the command shares with the portal into its wheel: the contract and the templates.

An editable install takes both from the checkout instead, so that there is one copy only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import (  # type: ignore[import-not-found]
    BuildHookInterface,
)

TEMPLATES = {
    "wine": "sklearn-tabular",
    "language": "text",
    "flights": "lightgbm",
    "fastapi": "fastapi",
}
GENERATED = {("flights", "train"), ("flights", "test"), ("language", "train"), ("language", "test")}


class SharedFiles(BuildHookInterface):  # type: ignore[misc]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        checkout = Path(self.root).parent
        for file in sorted((checkout / "contract").glob("*")):
            if file.suffix in (".py", ".json"):
                build_data["force_include"][str(file)] = f"contract/{file.name}"
        for example, template in TEMPLATES.items():
            folder = checkout / "examples" / example
            for file in sorted(folder.rglob("*")):
                parts = file.relative_to(folder).parts
                data = parts[1] if parts[0] == "data" and len(parts) > 2 else ""
                if (
                    file.is_file()
                    and "__pycache__" not in parts
                    and (example, data) not in GENERATED
                ):
                    target = "/".join(("hekaton_cli/templates", template, *parts))
                    build_data["force_include"][str(file)] = target
