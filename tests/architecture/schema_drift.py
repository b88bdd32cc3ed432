"""Whether docs/openapi.json is what the code says: `python -m tests.architecture.schema_drift`."""

from __future__ import annotations

import difflib
import json
import os
import sys
from pathlib import Path

PATH = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"


def drift() -> str:
    """The first differing lines, or nothing."""
    from drf_spectacular.generators import SchemaGenerator

    schema = SchemaGenerator().get_schema(request=None, public=True)
    now = json.dumps(json.loads(json.dumps(schema, default=str)), indent=1, sort_keys=True)
    held = json.dumps(json.loads(PATH.read_text()), indent=1, sort_keys=True)
    lines = difflib.unified_diff(
        held.splitlines(), now.splitlines(), "docs", "code", lineterm="", n=0
    )
    return "\n".join(list(lines)[:40])


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    import django

    django.setup()
    found = drift()
    if found:
        print(f"docs/openapi.json is not what the code says; run make schema.\n{found}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
