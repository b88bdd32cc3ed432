"""Endpoint keys: issued once, revoked within seconds."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from portal.accounts import audit
from portal.accounts.principals import Principal
from portal.core import clock
from portal.core.errors import InvalidInput
from serving.keys import Ring, load_or_create
from serving.models import PORTAL_KEY, Endpoint, EndpointKey
from serving.services.endpoints import bump, lock


def ring() -> Ring:
    """This installation's signing keys."""
    return load_or_create(Path(settings.ENDPOINT_KEY_FILE))


def create(
    *, principal: Principal, endpoint: Endpoint, name: str, expires_at: datetime | None = None
) -> tuple[EndpointKey, str]:
    """A key and its token, which is shown this once."""
    if expires_at is not None and expires_at <= clock.now():
        raise InvalidInput("It would have expired already.", field="expires_at")
    with transaction.atomic():
        endpoint = lock(endpoint)
        key = EndpointKey.objects.create(
            endpoint=endpoint, name=name, expires_at=expires_at, created_by=principal.name
        )
        bump(endpoint)
        _record(principal, "key.create", key)
    token = ring().issue(
        endpoint.uid, key.uid, expires_at.timestamp() if expires_at else None, key.scope
    )
    return key, token


def revoke(*, principal: Principal, key: EndpointKey) -> None:
    """Take the key off the endpoint's allow list; repeating is harmless."""
    with transaction.atomic():
        if EndpointKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=clock.now()):
            bump(lock(key.endpoint))
            _record(principal, "key.revoke", key)


def portal_key(endpoint: Endpoint) -> EndpointKey:
    """The key that the portal itself uses to try an endpoint; its tokens live for a minute.

    Endpoints are born with one, so that the data plane knows it before anyone tries.
    """
    found = EndpointKey.objects.filter(endpoint=endpoint, name=PORTAL_KEY, revoked_at=None).first()
    if found is None:
        with transaction.atomic():
            found = EndpointKey.objects.create(
                endpoint=endpoint, name=PORTAL_KEY, created_by="platform"
            )
            bump(lock(endpoint))
    return found  # type: ignore[no-any-return]


def live_key_ids(endpoint: Endpoint) -> tuple[str, ...]:
    rows = EndpointKey.objects.filter(endpoint=endpoint, revoked_at=None).filter(
        Q(expires_at=None) | Q(expires_at__gt=clock.now())
    )
    return tuple(rows.order_by("id").values_list("uid", flat=True))


def _record(principal: Principal, action: str, key: EndpointKey) -> None:
    audit.record(
        principal, action, noun="key", subject_uid=key.uid,
        subject=f"{key.endpoint.path} {key.name}", **key.endpoint.project.scope,
    )  # fmt: skip
