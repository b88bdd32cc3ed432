"""Endpoints that follow the champion: whoever reigns is deployed, unless a rollback paused it."""

from __future__ import annotations

import logging

from contract.manifest import Manifest
from pipelines import facade as pipelines
from portal.accounts.principals import SYSTEM
from portal.core.errors import Conflict, InvalidInput
from serving.models import Endpoint, Revision
from serving.services import endpoints

log = logging.getLogger(__name__)


def follow_champions() -> list[int]:
    """Start a rollout wherever the champion is not what was deployed last; returns endpoints."""
    started = []
    rows = Endpoint.objects.filter(
        alive=True, deleting=False, follows_champion=True, following_paused=""
    ).select_related("project__team")
    for endpoint in rows:
        champion = pipelines.champion(endpoint.project)
        if champion is None or champion.image is None:
            continue
        if Revision.objects.filter(endpoint=endpoint, model_version_uid=champion.uid).exists():
            continue
        manifest = champion.run.submission.spec
        try:
            endpoints.deploy(
                principal=SYSTEM,
                endpoint=endpoint,
                release=release_of(manifest, champion.image, champion),
                strategy=strategy_of(manifest),
                why=f"v{champion.number} became champion",
            )
            started.append(endpoint.pk)
        except (Conflict, InvalidInput) as error:
            log.warning("endpoint %s cannot follow: %s", endpoint.uid, error)
    return started


def release_of(manifest: Manifest, image: object, version: object) -> endpoints.Release:
    """What a manifest says about serving an image."""
    assert manifest.serve is not None
    serve = manifest.to_dict()["serve"]
    return endpoints.Release(
        image=image,  # type: ignore[arg-type]
        serve=serve,
        env={**manifest.env, **manifest.serve.env},
        secret_names=manifest.secrets,
        model_version=version,  # type: ignore[arg-type]
    )


def strategy_of(manifest: Manifest) -> endpoints.Strategy:
    """The manifest's rollout, or all at once."""
    wanted = manifest.deploy
    if wanted is None:
        return endpoints.Strategy()
    return endpoints.Strategy(
        name=wanted.strategy,
        steps=wanted.steps,
        pause_s=wanted.pause_s,
        manual=wanted.manual,
        max_error_rate=wanted.max_error_rate,
        max_p95_s=wanted.max_p95_s,
    )
