"""Key files: made once, mode 0600, never overwritten. No Django: settings import this."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from cryptography.fernet import Fernet


def create_key_file(path: Path) -> None:
    """Make the file of secret-encryption keys with one fresh key if there is none."""
    create_text_secret(path, lambda: Fernet.generate_key().decode())


def create_text_secret(path: Path, make: Callable[[], str]) -> str:
    """The text in `path`, made first if there is none."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(handle, "w") as file:
        file.write(make() + "\n")
    return path.read_text().strip()
