"""Every setting is documented, and no document names one that does not exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = (ROOT / "portal/settings.py").read_text()
DOCUMENTS = [ROOT / "docs/production.md", ROOT / "docs/operations.md", ROOT / "docs/backup.md"]


def read_variables() -> set[str]:
    names = set(re.findall(r'env\.\w+\(\s*"((?:PORTAL|DATABASE|REDIS)_[A-Z0-9_]+)"', SETTINGS))
    for provider in ("GOOGLE", "GITHUB"):  # their names are put together in a loop
        names |= {f"PORTAL_{provider}_CLIENT_ID", f"PORTAL_{provider}_CLIENT_SECRET"}
    return names


def test_every_setting_is_documented_and_none_is_invented() -> None:
    text = "".join(path.read_text() for path in DOCUMENTS)
    named = set(re.findall(r"\b(?:PORTAL_[A-Z0-9_]+|DATABASE_URL|REDIS_URL)\b", text))
    assert read_variables() - named == set()
    assert named - read_variables() == set()


def test_links_between_documents_work() -> None:
    pages = [*DOCUMENTS, *(ROOT / "docs/runbooks").glob("*.md")]
    broken = [
        (page.name, link)
        for page in pages
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text())
        if not (page.parent / link).exists()
    ]
    assert broken == []
