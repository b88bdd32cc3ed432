from __future__ import annotations

import json
import stat
import time
from pathlib import Path

import jwt
import pytest

from serving import keys


def test_the_key_file_is_private_and_made_once(tmp_path: Path) -> None:
    path = tmp_path / "keys" / keys.KEY_FILE
    ring = keys.load_or_create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert keys.load_or_create(path).jwks() == ring.jwks()
    assert json.loads((path.parent / keys.JWKS_FILE).read_text()) == ring.jwks()
    assert all("d" not in key for key in ring.jwks()["keys"])


def test_a_token_names_endpoint_key_and_end(tmp_path: Path) -> None:
    ring = keys.load_or_create(tmp_path / keys.KEY_FILE)
    end = time.time() + 60
    claims = ring.read(ring.issue("E1", "k1", expires_at=end))
    assert (claims["iss"], claims["aud"], claims["jti"], claims["exp"]) == (
        "hekaton",
        "E1",
        "k1",
        int(end),
    )


def test_after_a_rotation_old_tokens_live_until_their_key_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / keys.KEY_FILE
    token = keys.load_or_create(path).issue("E1", "k1")
    once = keys.rotate(path)
    assert once.read(token)["jti"] == "k1"
    assert len(once.jwks()["keys"]) == 2
    with pytest.raises(jwt.InvalidTokenError):
        keys.rotate(path).read(token)


def test_a_forged_token_is_refused(tmp_path: Path) -> None:
    ours = keys.load_or_create(tmp_path / "a" / keys.KEY_FILE)
    theirs = keys.load_or_create(tmp_path / "b" / keys.KEY_FILE)
    with pytest.raises(jwt.InvalidTokenError):
        ours.read(theirs.issue("E1", "k1"))
