"""Encryption of project secrets at rest: MultiFernet with keys in a 0600 file of their own.

The first key of the file encrypts, all of them decrypt; `rotate` re-encrypts. The file is
outside the database and has nothing to do with SECRET_KEY.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from portal.core.errors import PermanentError


def encrypt(value: str) -> str:
    """Ciphertext of `value`, safe to store and to hand to a node."""
    return _box(settings.SECRETS_KEY_FILE).encrypt(value.encode()).decode()


def decrypt(token: str) -> str:
    """The value of a ciphertext.

    Raises:
        PermanentError: no key of the file fits, so the secret must be set again.
    """
    try:
        return _box(settings.SECRETS_KEY_FILE).decrypt(token.encode()).decode()
    except InvalidToken as error:
        raise PermanentError(
            "A secret cannot be decrypted with the keys of this installation; set it again.",
            reason="SecretUnreadable",
        ) from error


def rotate(token: str) -> str:
    """The same value, encrypted with the first key."""
    return _box(settings.SECRETS_KEY_FILE).rotate(token.encode()).decode()


@lru_cache(maxsize=4)
def _box(path: str | Path) -> MultiFernet:
    keys = Path(path).read_bytes().split()
    return MultiFernet([Fernet(key) for key in keys])
