"""Endpoints, revisions, rollouts, keys and verifications over HTTP."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import httpx
import yaml
from django.db.models import Prefetch, QuerySet
from django.http import HttpResponseBase
from django.utils.dateparse import parse_datetime
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from contract.manifest import Manifest, parse
from contract.problems import ManifestError
from pipelines.api import logs
from pipelines.api.serializers import EventSerializer, LogPageSerializer
from pipelines.models import Image, ModelVersion
from pipelines.services.submissions import bad_manifest
from portal.core import clock
from portal.core.api.views import NounViewSet, visible_or_404
from portal.core.errors import InvalidInput, NotFound, Unavailable
from portal.core.models import Event
from portal.projects import access
from portal.projects.api.views import ProjectScopedFilter
from serving import facade, models, traffic
from serving.api import serializers as shapes
from serving.services import endpoints, keys, queries

TRY_TIMEOUT_S = 60.0
TRY_BODY = 1 << 20
STRIPPED = {"host", "content-length", "connection", "transfer-encoding", "cookie"}
LOG_PARAMETERS = [
    OpenApiParameter("after", int),
    OpenApiParameter("limit", int),
    OpenApiParameter("tail", int),
    OpenApiParameter("search", str),
]


class EndpointFilter(ProjectScopedFilter):
    slug = filters.CharFilter()


class EndpointViewSet(NounViewSet):
    queryset = (
        models.Endpoint.objects.filter(alive=True)
        .select_related("project__team")
        .prefetch_related(
            Prefetch("targets", models.TrafficTarget.objects.select_related("revision")),
            Prefetch(
                "rollouts",
                models.Rollout.objects.filter(status__in=models.Rollout.table.active)
                .select_related("revision")
                .order_by("id"),
            ),
        )
    )
    serializer_class = shapes.EndpointSerializer
    filterset_class = EndpointFilter
    search_fields = ["slug", "project__slug"]

    @extend_schema(request=shapes.EndpointInput, responses={201: shapes.EndpointSerializer})
    def create(self, request: Request) -> Response:
        def act() -> Response:
            body = self.valid(shapes.EndpointInput)
            made = facade.create_endpoint(
                principal=self.principal,
                project=access.find(self.principal, body["project"]),
                slug=body["slug"],
                auth=body["auth"],
                follows=body["follows_champion"],
            )
            return self.one(made, 201)

        return self.once(act)

    @extend_schema(request=shapes.EndpointPatch)
    def partial_update(self, request: Request, uid: str) -> Response:
        facade.edit_endpoint(
            principal=self.principal,
            endpoint=self.get_object(),
            expected_version=self.expected_version,
            auth=self.valid(shapes.EndpointPatch)["auth"],
        )
        return self.one(self.get_object())

    @extend_schema(responses={202: shapes.EndpointSerializer})
    def destroy(self, request: Request, uid: str) -> Response:
        """Drains and removes everything of it; it is 404 once that is complete."""
        facade.delete_endpoint(principal=self.principal, endpoint=self.get_object())
        return self.one(self.get_object(), 202)

    @extend_schema(request=shapes.DeployInput, responses={201: shapes.RolloutSerializer})
    @action(detail=True, methods=["post"])
    def deploy(self, request: Request, uid: str) -> Response:
        """A new revision of a model version (or of a run's), by the strategy given or the
        manifest's."""

        def act() -> Response:
            body = self.valid(shapes.DeployInput)
            endpoint = self.get_object()
            rollout = facade.deploy(
                principal=self.principal,
                endpoint=endpoint,
                version=self._version(endpoint, body),
                strategy=_strategy(body),
                reason=body["reason"],
            )
            return self.one(rollout, 201, shapes.RolloutSerializer)

        return self.once(act)

    def _version(self, endpoint: models.Endpoint, body: dict[str, Any]) -> ModelVersion:
        rows = ModelVersion.objects.filter(project=endpoint.project).select_related(
            "run__submission", "image__project__team"
        )
        if body["run"]:
            found: ModelVersion = visible_or_404(rows, run__uid=body["run"])
        else:
            found = visible_or_404(rows, uid=body["model_version"])
        return found

    @extend_schema(request=shapes.RollbackInput, responses={201: shapes.RolloutSerializer})
    @action(detail=True, methods=["post"])
    def rollback(self, request: Request, uid: str) -> Response:
        """Everything to an earlier revision, now, without a build."""

        def act() -> Response:
            body = self.valid(shapes.RollbackInput)
            endpoint = self.get_object()
            rollout = facade.rollback(
                principal=self.principal,
                endpoint=endpoint,
                revision=_revision(endpoint, body["revision"]) if body["revision"] else None,
                reason=body["reason"],
            )
            return self.one(rollout, 201, shapes.RolloutSerializer)

        return self.once(act)

    @extend_schema(
        parameters=[OpenApiParameter("revision", str)],
        responses=shapes.RollbackPreviewSerializer,
    )
    @action(detail=True, methods=["get"], url_path="rollback-preview")
    def rollback_preview(self, request: Request, uid: str) -> Response:
        """What a rollback would change."""
        endpoint = self.get_object()
        active = endpoints.active_rollout(endpoint)
        wanted = request.query_params.get("revision", "")
        target = (
            _revision(endpoint, wanted) if wanted else endpoints.previous_revision(endpoint, active)
        )
        if target is None:
            raise NotFound("There is no earlier revision to go back to.", code="nothing_before")
        serving = traffic.main_revision(endpoints.current_targets(endpoint))
        now = endpoint.revisions.filter(uid=serving).first() if serving else None
        warm = any(
            seen["uid"] == target.uid and any(r["state"] == "ready" for r in seen["replicas"])
            for seen in endpoint.observation.get("revisions", ())
        )
        if now is not None:
            now.endpoint = endpoint
        data = {
            "revision": target,
            "instant": warm,
            "pauses_following": endpoint.follows_champion,
            "aborts_rollout": active is not None,
            "diff": queries.diff(now, target) if now is not None else None,
        }
        return Response(shapes.RollbackPreviewSerializer(data).data)

    @extend_schema(
        methods=["PUT"],
        request=shapes.TrafficSerializer(many=True),
        responses=shapes.EndpointSerializer,
    )
    @action(detail=True, methods=["put"])
    def traffic(self, request: Request, uid: str) -> Response:
        """Split by hand: `[{revision, percent, tag?}]` totalling 100."""
        made = shapes.TrafficSerializer(data=request.data, many=True)
        made.is_valid(raise_exception=True)
        facade.set_traffic(
            principal=self.principal,
            endpoint=self.get_object(),
            targets=[
                traffic.Target(item["revision"], item["percent"], item["tag"])
                for item in made.validated_data
            ],
            expected_version=self.expected_version,
        )
        return self.one(self.get_object())

    @extend_schema(request=shapes.FollowingInput, responses=shapes.EndpointSerializer)
    @action(detail=True, methods=["put"])
    def following(self, request: Request, uid: str) -> Response:
        """Follow the champion or not; turning it on again ends a pause."""
        facade.set_following(
            principal=self.principal,
            endpoint=self.get_object(),
            follow=self.valid(shapes.FollowingInput)["follow"],
        )
        return self.one(self.get_object())

    @extend_schema(responses=shapes.RevisionSerializer(many=True))
    @action(detail=True, methods=["get"], filterset_class=None, search_fields=[])
    def revisions(self, request: Request, uid: str) -> Response:
        rows = models.Revision.objects.filter(endpoint=self.get_object())
        return self.page(rows.prefetch_related("targets"), shapes.RevisionSerializer)

    @extend_schema(responses=shapes.RolloutSerializer(many=True))
    @action(detail=True, methods=["get"], filterset_class=None, search_fields=[])
    def rollouts(self, request: Request, uid: str) -> Response:
        rows = models.Rollout.objects.filter(endpoint=self.get_object())
        return self.page(rows.select_related("revision"), shapes.RolloutSerializer)

    @extend_schema(
        methods=["POST"], request=shapes.KeyInput, responses={201: shapes.NewKeySerializer}
    )
    @extend_schema(methods=["GET"], responses=shapes.KeySerializer(many=True))
    @action(detail=True, methods=["get", "post"], filterset_class=None, search_fields=[])
    def keys(self, request: Request, uid: str) -> Response:
        """List keys, or make one: its token is in the answer, this once."""
        endpoint = self.get_object()
        if request.method == "GET":
            rows = models.EndpointKey.objects.filter(endpoint=endpoint)
            return self.page(rows, shapes.KeySerializer)
        key, token = facade.create_key(
            principal=self.principal, endpoint=endpoint, **self.valid(shapes.KeyInput)
        )
        return Response({**shapes.KeySerializer(key).data, "token": token}, status=201)

    @extend_schema(
        parameters=[
            OpenApiParameter("since", str, description="ISO time, or seconds back from now."),
            OpenApiParameter("step", int),
        ],
        responses=shapes.EndpointMetricsSerializer,
    )
    @action(detail=True, methods=["get"])
    def metrics(self, request: Request, uid: str) -> Response:
        """Requests, errors, latency percentiles, in flight and replicas by revision."""
        now = clock.now()
        since = request.query_params.get("since", "3600")
        begin = now - timedelta(seconds=int(since)) if since.isdigit() else parse_datetime(since)
        step = request.query_params.get("step", "10")
        if begin is None or not step.isdigit() or not int(step):
            raise InvalidInput("`since` is a time or seconds, `step` seconds.", field="since")
        found = queries.metrics(self.get_object(), begin, now, max(10, int(step)))
        return Response(shapes.EndpointMetricsSerializer(found).data)

    @extend_schema(responses=shapes.DecisionSerializer(many=True))
    @action(detail=True, methods=["get"], filterset_class=None, search_fields=[])
    def decisions(self, request: Request, uid: str) -> Response:
        """Why it has the replicas it has, newest first."""
        rows = models.ScaleDecision.objects.filter(endpoint=self.get_object())
        return self.page(rows.select_related("revision"), shapes.DecisionSerializer)

    @extend_schema(responses=shapes.ReplicaSerializer(many=True))
    @action(detail=True, methods=["get"], pagination_class=None, filterset_class=None)
    def replicas(self, request: Request, uid: str) -> Response:
        endpoint = self.get_object()
        numbers = dict(endpoint.revisions.values_list("uid", "number"))
        found = [
            {**replica, "revision": numbers.get(seen["uid"], 0)}
            for seen in endpoint.observation.get("revisions", ())
            for replica in seen["replicas"]
        ]
        return Response(shapes.ReplicaSerializer(found, many=True).data)

    @extend_schema(request=shapes.TryInput, responses=shapes.TryAnswerSerializer)
    @action(detail=True, methods=["post"], url_path="try")
    def try_it(self, request: Request, uid: str) -> Response:
        """Send a request through the gateway with a key that lives for a minute."""
        endpoint = self.get_object()
        access.require(self.principal, "endpoint.try", endpoint.project)
        return Response(_try(endpoint, self.valid(shapes.TryInput), self.principal))

    @extend_schema(responses=EventSerializer(many=True))
    @action(detail=True, methods=["get"], filterset_class=None, search_fields=[])
    def events(self, request: Request, uid: str) -> Response:
        rows = Event.objects.filter(topic=f"endpoint:{self.get_object().uid}")
        return self.page(rows, EventSerializer)


class RevisionViewSet(NounViewSet):
    queryset = models.Revision.objects.select_related("endpoint__project__team").prefetch_related(
        "targets"
    )
    serializer_class = shapes.RevisionSerializer

    @extend_schema(
        parameters=[OpenApiParameter("with", str, required=True)], responses=shapes.DiffSerializer
    )
    @action(detail=True, methods=["get"])
    def diff(self, request: Request, uid: str) -> Response:
        """What differs from another revision of the same endpoint."""
        revision = self.get_object()
        other = _revision(revision.endpoint, request.query_params.get("with", ""))
        return Response(shapes.DiffSerializer(queries.diff(other, revision)).data)

    @extend_schema(parameters=LOG_PARAMETERS, responses=LogPageSerializer)
    @action(detail=True, methods=["get"])
    def logs(self, request: Request, uid: str) -> Response | HttpResponseBase:
        """Of its newest replica, or of `?replica=`; kept after the replica is gone."""
        revision = self.get_object()
        replica = request.query_params.get("replica", "")
        key = logs.newest_replica_log(revision.log_key, replica)
        name = f"{revision.endpoint.slug}-{revision.name}.log"
        return logs.answer(request, key, name)


class RolloutViewSet(NounViewSet):
    queryset = models.Rollout.objects.select_related("endpoint__project__team", "revision")
    serializer_class = shapes.RolloutSerializer

    @extend_schema(request=None, responses=shapes.RolloutSerializer)
    @action(detail=True, methods=["post"])
    def advance(self, request: Request, uid: str) -> Response:
        made = facade.advance_rollout(principal=self.principal, rollout=self.get_object())
        return self.one(made)

    @extend_schema(request=None, responses=shapes.RolloutSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, uid: str) -> Response:
        return self.one(facade.pause_rollout(principal=self.principal, rollout=self.get_object()))

    @extend_schema(request=None, responses=shapes.RolloutSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, uid: str) -> Response:
        return self.one(facade.resume_rollout(principal=self.principal, rollout=self.get_object()))

    @extend_schema(request=shapes.AbortInput, responses=shapes.RolloutSerializer)
    @action(detail=True, methods=["post"])
    def abort(self, request: Request, uid: str) -> Response:
        reason = self.valid(shapes.AbortInput)["reason"]
        made = facade.abort_rollout(
            principal=self.principal, rollout=self.get_object(), reason=reason
        )
        return self.one(made)


class KeyViewSet(NounViewSet):
    queryset = models.EndpointKey.objects.select_related("endpoint__project__team")
    serializer_class = shapes.KeySerializer

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, uid: str) -> Response:
        """Revoke it: refused within seconds."""
        facade.revoke_key(principal=self.principal, key=self.get_object())
        return Response(status=204)


class VerificationFilter(ProjectScopedFilter):
    status = filters.BaseInFilter(field_name="status")
    run = filters.CharFilter(field_name="run_uid")
    image = filters.CharFilter(field_name="image_digest")


class VerificationViewSet(NounViewSet):
    queryset = models.Verification.objects.select_related("project__team").prefetch_related(
        "results"
    )
    serializer_class = shapes.VerificationSerializer
    filterset_class = VerificationFilter

    @extend_schema(request=shapes.VerificationInput, responses={201: shapes.VerificationSerializer})
    def create(self, request: Request) -> Response:
        """Deploy an image out of traffic and ask the defined requests; DELETE tears it down."""

        def act() -> Response:
            body = self.valid(shapes.VerificationInput)
            project = access.find(self.principal, body["project"])
            image = _image(project.pk, body["image"])
            manifest = _manifest(image, body)
            made = facade.create_verification(
                principal=self.principal,
                image=image,
                serve=manifest.to_dict()["serve"],
                checks=manifest.verify,
                env=manifest.env,
                secret_names=manifest.secrets,
            )
            return self.one(made, 201)

        return self.once(act)

    @extend_schema(responses={202: shapes.VerificationSerializer})
    def destroy(self, request: Request, uid: str) -> Response:
        facade.delete_verification(principal=self.principal, verification=self.get_object())
        return self.one(self.get_object(), 202)

    @extend_schema(parameters=LOG_PARAMETERS, responses=LogPageSerializer)
    @action(detail=True, methods=["get"])
    def logs(self, request: Request, uid: str) -> Response | HttpResponseBase:
        """Of the replica that was asked."""
        row = self.get_object()
        key = logs.newest_replica_log(f"logs/verifications/{row.uid}", "")
        return logs.answer(request, key, f"verification-{row.uid}.log")


# ---------------------------------------------------------------------------------------------


def _revision(endpoint: models.Endpoint, key: str) -> models.Revision:
    """By uid, number, or `r3`."""
    rows: QuerySet[models.Revision] = endpoint.revisions.select_related("endpoint__project__team")
    number = key.removeprefix("r")
    found: models.Revision = (
        visible_or_404(rows, number=int(number))
        if number.isdigit()
        else visible_or_404(rows, uid=key)
    )
    return found


def _strategy(body: dict[str, Any]) -> endpoints.Strategy | None:
    if not body.get("strategy") and not body.get("steps"):
        return None
    return endpoints.Strategy(
        name=body.get("strategy") or "canary",
        steps=tuple(body.get("steps") or ()),
        pause_s=body["pause_s"],
        manual=body["manual"],
        max_error_rate=body["max_error_rate"],
        max_p95_s=body["max_p95_s"],
    )


def _image(project_id: int, key: str) -> Image:
    rows = Image.objects.filter(project_id=project_id).select_related(
        "project__team", "run__submission"
    )
    found = rows.filter(digest=key).first() or rows.filter(uid=key).first()
    if found is None:
        raise NotFound(
            "The project has no image with this digest; run a submission with `serve` first.",
            code="no_image",
            field="image",
        )
    return found  # type: ignore[no-any-return]


def _manifest(image: Image, body: dict[str, Any]) -> Manifest:
    """The manifest of the image's run with the given parts in place of its own, checked whole."""
    own = image.run.submission.spec if image.run else None
    if "serve" not in body and "verify" not in body:
        if own is None or not own.verify:
            raise InvalidInput("Give `verify`: the image's run defines none.", field="verify")
        return own
    parts: dict[str, Any] = {}
    if "serve" in body:
        parts["serve"] = body["serve"]
    if "verify" in body:
        parts["verify"] = body["verify"]
    document = {
        "apiVersion": "hekaton/v1",
        "name": "verification",
        "steps": {name: {"run": "true"} for name in _steps(own, body)},
        "serve": parts.get("serve") or {"run": own.serve.run if own and own.serve else "true"},
        **({"verify": parts["verify"]} if "verify" in parts else {}),
    }
    try:
        given = parse(yaml.safe_dump(document, sort_keys=False))
    except ManifestError as error:
        raise bad_manifest(error.problems) from error
    data = own.to_dict() if own else given.to_dict()
    read = given.to_dict()
    if "serve" in parts or own is None:
        data["serve"] = read["serve"]
    if "verify" in parts:
        data["verify"] = read["verify"]
    return Manifest.from_dict(data)


def _steps(own: Manifest | None, body: dict[str, Any]) -> list[str]:
    model = body["serve"].get("model") if isinstance(body.get("serve"), dict) else None
    names = [step.name for step in own.steps] if own else []
    return names or [model if isinstance(model, str) else "train"]


def _try(endpoint: models.Endpoint, body: dict[str, Any], principal: Any) -> dict[str, Any]:
    if not endpoint.url:
        raise Unavailable("The endpoint has no address yet.", code="no_address")
    url = endpoint.url.rstrip("/")
    if body["tag"]:
        url += f"~{body['tag']}"
    headers = {k: v for k, v in body["headers"].items() if k.lower() not in STRIPPED}
    if endpoint.auth == "key":
        headers["Authorization"] = f"Bearer {_own_token(endpoint, principal)}"
    content: dict[str, Any] = {}
    if "json" in body:
        content["json"] = body["json"]
    elif "body" in body:
        content["content"] = body["body"].encode()
    began = time.monotonic()
    try:
        with (
            httpx.Client(timeout=TRY_TIMEOUT_S, follow_redirects=False) as client,
            client.stream(body["method"], url + body["path"], headers=headers, **content) as answer,
        ):
            read = b""
            for chunk in answer.iter_bytes():
                read += chunk
                if len(read) > TRY_BODY:
                    break
    except httpx.TimeoutException:
        raise Unavailable(f"No answer within {TRY_TIMEOUT_S:g} s.", code="timeout") from None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise Unavailable(f"The gateway cannot be reached: {error}", code="gateway") from error
    return {
        "status": answer.status_code,
        "headers": dict(answer.headers),
        "body": read[:TRY_BODY].decode("utf-8", "replace"),
        "truncated": len(read) > TRY_BODY,
        "elapsed_s": round(time.monotonic() - began, 4),
    }


def _own_token(endpoint: models.Endpoint, principal: Any) -> str:
    """A short-lived token of the portal's own key of this endpoint, made when first needed."""
    key = keys.portal_key(endpoint)
    return keys.ring().issue(endpoint.uid, key.uid, time.time() + 60)
