"""Endpoint keys: ES256 tokens that any data plane can check without asking the portal.

A key's claims are `iss` (hekaton), `aud` (the endpoint's uid), `jti` (the key's id, which each
endpoint's allow list holds while the key lives), `iat`, `scope` and, where it expires, `exp`.

The private keys are PEM blocks in one file of mode 0600: the first signs, all of them verify, so
a new one can be put in front while tokens of the old one live on. Beside it lies the public half
as JWKS (`endpoint-jwks.json`), which is all that data planes read. Pure but for those files.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

ISSUER = "hekaton"
ALGORITHM = "ES256"
KEY_FILE = "endpoint-es256.pem"
JWKS_FILE = "endpoint-jwks.json"
_PEM = re.compile(rb"-----BEGIN [A-Z ]+-----.+?-----END [A-Z ]+-----\n?", re.DOTALL)


@dataclass(frozen=True)
class Ring:
    """The signing keys, newest first."""

    keys: tuple[ec.EllipticCurvePrivateKey, ...]

    def jwks(self) -> dict[str, Any]:
        """The public keys (RFC 7517)."""
        return {"keys": [_jwk(key) for key in self.keys]}

    def issue(
        self,
        endpoint_uid: str,
        key_id: str,
        expires_at: float | None = None,
        scope: str = "invoke",
        now: float | None = None,
    ) -> str:
        """A token for one endpoint. Times are Unix seconds."""
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": endpoint_uid,
            "jti": key_id,
            "iat": int(time.time() if now is None else now),
            "scope": scope,
        }
        if expires_at is not None:
            claims["exp"] = int(expires_at)
        signer = self.keys[0]
        return jwt.encode(claims, signer, ALGORITHM, headers={"kid": _jwk(signer)["kid"]})

    def read(self, token: str) -> Mapping[str, Any]:
        """The claims of a token of ours, whatever its endpoint.

        Raises:
            jwt.InvalidTokenError: it is not ours, was changed, or has expired.
        """
        kid = jwt.get_unverified_header(token).get("kid")
        for key in self.keys:
            if _jwk(key)["kid"] == kid:
                return dict(
                    jwt.decode(
                        token,
                        key.public_key(),
                        [ALGORITHM],
                        issuer=ISSUER,
                        options={"verify_aud": False},
                    )
                )
        raise jwt.InvalidTokenError("the token was signed by a key that is not known here")


def load_or_create(path: Path) -> Ring:
    """The ring of this file, made with one fresh key if there is none."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
        _write(fresh, [ec.generate_private_key(ec.SECP256R1())])
        try:
            os.link(fresh, path)  # whoever is first makes the key; nobody replaces it
        except FileExistsError:
            pass
        finally:
            os.unlink(fresh)
    ring = _load(path)
    _publish(ring, path)
    return ring


def rotate(path: Path, keep: int = 2) -> Ring:
    """Put a new signing key in front and keep the newest `keep` in all. Tokens that were signed
    by a dropped key stop working."""
    old = load_or_create(path).keys
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    _write(fresh, [ec.generate_private_key(ec.SECP256R1()), *old][:keep])
    os.replace(fresh, path)
    ring = _load(path)
    _publish(ring, path)
    return ring


def _load(path: Path) -> Ring:
    keys = [
        serialization.load_pem_private_key(block, None) for block in _PEM.findall(path.read_bytes())
    ]
    found = tuple(key for key in keys if isinstance(key, ec.EllipticCurvePrivateKey))
    if not found:
        raise ValueError(f"{path} holds no elliptic-curve private key")
    return Ring(found)


def _write(path: Path, keys: list[ec.EllipticCurvePrivateKey]) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        for key in keys:
            file.write(
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
            )


def _publish(ring: Ring, path: Path) -> None:
    """Keep the JWKS beside the key file in step with it."""
    public = path.with_name(JWKS_FILE)
    text = json.dumps(ring.jwks(), sort_keys=True)
    if public.exists() and public.read_text() == text:
        return
    fresh = public.with_name(f"{public.name}.{os.getpid()}.new")
    fresh.write_text(text)
    os.replace(fresh, public)


def _jwk(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    point = {
        "crv": "P-256",
        "kty": "EC",
        "x": _base64(numbers.x.to_bytes(32, "big")),
        "y": _base64(numbers.y.to_bytes(32, "big")),
    }
    thumbprint = hashlib.sha256(
        json.dumps(point, sort_keys=True, separators=(",", ":")).encode()
    ).digest()  # RFC 7638
    return point | {"kid": _base64(thumbprint)[:16], "alg": ALGORITHM, "use": "sig"}


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
