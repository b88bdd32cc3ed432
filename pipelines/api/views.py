"""Submissions, data, runs and what they publish, over HTTP."""

from __future__ import annotations

import mimetypes
from typing import Any

from django.db.models import QuerySet
from django.http import FileResponse, HttpResponseBase
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from contract import params as parameters
from contract.manifest import parse
from contract.problems import ManifestError
from pipelines import facade, models
from pipelines.api import logs
from pipelines.api import serializers as shapes
from pipelines.executors.base import Handle
from pipelines.executors.loader import executor
from pipelines.services import datasets, queries, submissions
from portal.core.api.views import NounViewSet, visible_or_404
from portal.core.errors import AdapterError, InvalidInput, NotFound
from portal.core.models import Event
from portal.core.storage import storage
from portal.projects import access
from portal.projects.api.views import ProjectScopedFilter
from portal.projects.models import Project

SAFE_INLINE = {"image/png", "image/jpeg", "image/gif", "image/webp", "text/plain", "text/csv",
               "application/json"}  # fmt: skip


class SubmissionViewSet(NounViewSet):
    queryset = models.Submission.objects.select_related("project__team")
    serializer_class = shapes.SubmissionSerializer
    filterset_class = ProjectScopedFilter
    search_fields = ["message", "author", "digest"]

    @extend_schema(request={"multipart/form-data": shapes.SubmitInput},
                   responses={201: shapes.RunDetailSerializer})  # fmt: skip
    def create(self, request: Request) -> Response:
        """Submit a folder: stores the snapshot, makes the submission and starts its first run."""

        def act() -> Response:
            body = self.valid(shapes.SubmitInput)
            project = access.find(self.principal, body["project"]) if body["project"] else None
            run = facade.submit(
                principal=self.principal,
                archive=body["snapshot"],
                team=body["team"],
                project=project,
                message=body["message"],
                params=_mapping(body["params"], "params"),
                data=_mapping(body["data"], "data"),
                use_cache=body["use_cache"],
                source=_mapping(body["source"], "source"),
            )
            return self.one(run, 201, shapes.RunDetailSerializer)

        return self.once(act)

    @extend_schema(request=shapes.ValidateInput, responses=shapes.ValidationSerializer)
    @action(detail=False, methods=["post"])
    def validate(self, request: Request) -> Response:
        """Every problem of a manifest, without submitting it."""
        body = self.valid(shapes.ValidateInput)
        try:
            manifest = parse(body["manifest"])
        except ManifestError as error:
            problems = [problem.to_dict() for problem in error.problems]
            return Response({"valid": False, "problems": problems})
        problems = []
        if body["project"]:
            project = access.find(self.principal, body["project"])
            found = submissions.check_needs(project, manifest)
            problems = [problem.to_dict() for problem in found]
        return Response({"valid": not problems, "problems": problems})

    @extend_schema(responses=shapes.FileSerializer(many=True))
    @action(detail=True, methods=["get"], pagination_class=None, filterset_class=None)
    def files(self, request: Request, uid: str) -> Response:
        return Response(submissions.files(self.get_object()))


class DatasetFilter(ProjectScopedFilter):
    slug = filters.CharFilter()


class DatasetViewSet(NounViewSet):
    queryset = models.Dataset.objects.select_related("project__team")
    serializer_class = shapes.DatasetSerializer
    filterset_class = DatasetFilter
    search_fields = ["slug", "description"]

    @extend_schema(request=shapes.DatasetInput, responses={201: shapes.DatasetSerializer})
    def create(self, request: Request) -> Response:
        """Make a dataset; one of this name that is there already is the answer."""

        def act() -> Response:
            body = self.valid(shapes.DatasetInput)
            made = facade.ensure_dataset(
                principal=self.principal,
                project=access.find(self.principal, body["project"]),
                slug=body["slug"],
                description=body["description"],
            )
            return self.one(made, 201)

        return self.once(act)

    @extend_schema(
        methods=["POST"],
        request={"multipart/form-data": shapes.PushInput},
        responses={201: shapes.DatasetVersionSerializer, 200: shapes.DatasetVersionSerializer},
    )
    @extend_schema(methods=["GET"], responses=shapes.DatasetVersionSerializer(many=True))
    @action(detail=True, methods=["get", "post"], filterset_class=None, search_fields=[])
    def versions(self, request: Request, uid: str) -> Response:
        """List versions, or push one: 201 when it is new, 200 when the latest has this content."""
        dataset = self.get_object()
        if request.method == "GET":
            rows = dataset.versions.select_related("dataset")
            return self.page(rows, shapes.DatasetVersionSerializer)
        return self.once(lambda: self._push(request, dataset))

    def _push(self, request: Request, dataset: models.Dataset) -> Response:
        files = request.FILES.getlist("files")
        paths = request.data.getlist("paths") if hasattr(request.data, "getlist") else []
        if not files:
            raise InvalidInput("There are no files.", code="no_files", field="files")
        if paths and len(paths) != len(files):
            raise InvalidInput("Give one path for each file.", field="paths")
        names = paths or [file.name or "file" for file in files]
        version, fresh, _ = facade.push_data(
            principal=self.principal,
            dataset=dataset,
            uploads=(datasets.Upload(name, file) for name, file in zip(names, files, strict=True)),
            message=str(self.request.POST.get("message", ""))[:500],
        )
        return self.one(version, 201 if fresh else 200, shapes.DatasetVersionSerializer)


class DatasetVersionViewSet(NounViewSet):
    queryset = models.DatasetVersion.objects.select_related("dataset__project__team")
    serializer_class = shapes.DatasetVersionSerializer

    @extend_schema(responses=OpenApiTypes.OBJECT)
    @action(detail=True, methods=["get"])
    def profile(self, request: Request, uid: str) -> Response:
        """Rows, columns, types, nulls and ranges of the tables among the files, by path."""
        return Response(self.get_object().profile)

    @extend_schema(responses=shapes.RunSerializer(many=True))
    @action(detail=True, methods=["get"])
    def runs(self, request: Request, uid: str) -> Response:
        """The runs that used this version."""
        rows = models.Run.objects.visible_to(self.principal).filter(data__version=self.get_object())
        return self.page(
            rows.select_related("project__team", "submission", "parent"), shapes.RunSerializer
        )

    @extend_schema(responses={(200, "application/octet-stream"): OpenApiTypes.BINARY})
    @action(detail=True, methods=["get"], url_path="files/(?P<path>.+)")
    def file(self, request: Request, uid: str, path: str) -> FileResponse:
        version = self.get_object()
        if not any(file["path"] == path for file in version.files):
            raise NotFound(f"The version has no file {path}.")
        return _download(f"{version.key}/{path}", path)


class RunFilter(ProjectScopedFilter):
    status = filters.BaseInFilter(field_name="status")
    submission = filters.CharFilter(field_name="submission__uid")
    author = filters.CharFilter()
    number = filters.NumberFilter()
    active = filters.BooleanFilter(method="by_active")

    def by_active(self, rows: QuerySet[Any], _name: str, value: bool) -> QuerySet[Any]:
        active = list(models.Run.table.active)
        return rows.filter(status__in=active) if value else rows.exclude(status__in=active)


class RunViewSet(NounViewSet):
    queryset = models.Run.objects.select_related("project__team", "submission", "parent")
    serializer_class = shapes.RunSerializer
    filterset_class = RunFilter
    search_fields = ["submission__message", "author", "status_message"]
    orderings = {"created_at": "id", "finished_at": "finished_at", "started_at": "started_at"}

    @extend_schema(responses=shapes.RunDetailSerializer)
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.one(self.get_object(), serializer=shapes.RunDetailSerializer)

    @extend_schema(request=shapes.RunInput, responses={201: shapes.RunDetailSerializer})
    def create(self, request: Request) -> Response:
        """Run a submission again, with other parameters or data."""

        def act() -> Response:
            body = self.valid(shapes.RunInput)
            rows = models.Submission.objects.visible_to(self.principal)
            submission = visible_or_404(
                rows.select_related("project__team"), uid=body["submission"]
            )
            run = facade.start_run(
                principal=self.principal,
                submission=submission,
                params=_mapping(body["params"], "params"),
                data=_mapping(body["data"], "data"),
                use_cache=body["use_cache"],
            )
            return self.one(run, 201, shapes.RunDetailSerializer)

        return self.once(act)

    @extend_schema(request=None, responses={202: shapes.RunSerializer})
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, uid: str) -> Response:
        return self.one(facade.cancel_run(principal=self.principal, run=self.get_object()), 202)

    @extend_schema(request=None, responses={201: shapes.RunDetailSerializer})
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, uid: str) -> Response:
        """A new run that goes on from the failed step."""

        def act() -> Response:
            run = facade.retry_run(principal=self.principal, run=self.get_object())
            return self.one(run, 201, shapes.RunDetailSerializer)

        return self.once(act)

    @extend_schema(responses=shapes.StepSerializer(many=True))
    @action(detail=True, methods=["get"], pagination_class=None, filterset_class=None)
    def steps(self, request: Request, uid: str) -> Response:
        rows = (
            models.Step.objects.filter(run=self.get_object())
            .select_related("cached_from__run")
            .prefetch_related("attempts")
            .order_by("position")
        )
        return Response(shapes.StepSerializer(rows, many=True).data)

    @extend_schema(
        parameters=[
            OpenApiParameter("name", str, many=True),
            OpenApiParameter("max_points", int, default=500),
        ],
        responses=shapes.SeriesSerializer(many=True),
    )
    @action(detail=True, methods=["get"], pagination_class=None, filterset_class=None)
    def metrics(self, request: Request, uid: str) -> Response:
        """Curves, thinned on the server; what running steps have written so far comes too."""
        run = self.get_object()
        names = request.query_params.getlist("name")
        most = request.query_params.get("max_points", "500")
        if not most.isdigit():
            raise InvalidInput("`max_points` is a whole number.", field="max_points")
        most_points = min(5000, max(4, int(most)))
        found = queries.curves(run, names, most_points)
        if not run.is_terminal:
            found += _live_curves(run, names, most_points)
        return Response(shapes.SeriesSerializer(found, many=True).data)

    @extend_schema(responses=shapes.ArtifactSerializer(many=True))
    @action(detail=True, methods=["get"], filterset_class=None, search_fields=["path"])
    def artifacts(self, request: Request, uid: str) -> Response:
        rows = models.Artifact.objects.filter(run=self.get_object()).select_related("step")
        return self.page(rows, shapes.ArtifactSerializer)

    @extend_schema(responses=shapes.EventSerializer(many=True))
    @action(detail=True, methods=["get"], filterset_class=None, search_fields=[])
    def events(self, request: Request, uid: str) -> Response:
        """What happened, newest first."""
        rows = Event.objects.filter(topic=f"run:{self.get_object().uid}")
        return self.page(rows, shapes.EventSerializer)

    @extend_schema(
        parameters=[OpenApiParameter("uid", str, many=True, required=True)],
        responses=shapes.ComparisonSerializer,
    )
    @action(detail=False, methods=["get"])
    def compare(self, request: Request) -> Response:
        """Only what differs between runs."""
        uids = request.query_params.getlist("uid")[:20]
        rows = {run.uid: run for run in self.get_queryset().filter(uid__in=uids)}
        found = queries.compare([rows[uid] for uid in uids if uid in rows])
        return Response(shapes.ComparisonSerializer(found).data)


class AttemptViewSet(NounViewSet):
    queryset = models.Attempt.objects.select_related("step__run__project__team")
    serializer_class = shapes.AttemptSerializer

    @extend_schema(
        parameters=[
            OpenApiParameter("after", int),
            OpenApiParameter("limit", int),
            OpenApiParameter("tail", int),
            OpenApiParameter("search", str),
        ],
        responses=shapes.LogPageSerializer,
    )
    @action(detail=True, methods=["get"])
    def logs(self, request: Request, uid: str) -> Response | HttpResponseBase:
        """A page of lines; `Accept: text/plain` the whole, `text/event-stream` follows."""
        attempt = self.get_object()
        name = f"run-{attempt.step.run.number}-{attempt.step.name}-{attempt.number}.log"
        return logs.answer(request, attempt.log_key, name)


class ArtifactViewSet(NounViewSet):
    queryset = models.Artifact.objects.select_related("step", "run__project__team")
    serializer_class = shapes.ArtifactSerializer

    @extend_schema(responses={(200, "application/octet-stream"): OpenApiTypes.BINARY})
    @action(detail=True, methods=["get"])
    def content(self, request: Request, uid: str) -> FileResponse:
        """The file, as an attachment; `?inline=1` shows pictures and plain text in place."""
        artifact = self.get_object()
        return _download(artifact.key, artifact.path, bool(request.query_params.get("inline")))


class ModelVersionViewSet(NounViewSet):
    queryset = models.ModelVersion.objects.select_related("project__team", "run", "image")
    serializer_class = shapes.ModelVersionSerializer
    filterset_class = ProjectScopedFilter

    @extend_schema(responses=shapes.ImageSerializer)
    @action(detail=True, methods=["get"])
    def image(self, request: Request, uid: str) -> Response:
        """Digest, layers, packages and Dockerfile of the version's image."""
        found = self.get_object().image
        if found is None:
            raise NotFound("This version has no image: its submission serves nothing.")
        return self.one(found, serializer=shapes.ImageSerializer)

    @extend_schema(responses=OpenApiTypes.OBJECT)
    @action(detail=True, methods=["get"])
    def sbom(self, request: Request, uid: str) -> FileResponse:
        """The image's package list as SPDX 2.3 JSON."""
        found = self.get_object().image
        if found is None or not found.sbom_key:
            raise NotFound("This version has no package list.")
        return _download(found.sbom_key, "sbom.spdx.json")


class FiringViewSet(NounViewSet):
    queryset = models.TriggerFiring.objects.select_related(
        "project__team", "version__dataset", "run"
    )
    serializer_class = shapes.FiringSerializer
    filterset_class = ProjectScopedFilter


class TriggerViewSet(NounViewSet):
    """The data trigger of each project, on or off by the project's `retrain_on_data`."""

    queryset = Project.objects.select_related("team")
    serializer_class = shapes.TriggerSerializer
    http_method_names = ["get", "head", "options"]


class ProjectModelsViewSet(NounViewSet):
    """The parts of a project that pipelines owns: leaderboard and champion."""

    queryset = Project.objects.select_related("team")
    serializer_class = shapes.LeaderboardSerializer

    @extend_schema(
        parameters=[OpenApiParameter("data", str), OpenApiParameter("metric", str)],
        responses=shapes.LeaderboardSerializer,
    )
    @action(detail=True, methods=["get"])
    def leaderboard(self, request: Request, uid: str) -> Response:
        """Ranked runs on one choice of data versions; the latest used without `data`."""
        project = self.get_object()
        metric = request.query_params.get("metric") or project.metric
        board = queries.leaderboard(project, metric, request.query_params.get("data"))
        return Response(shapes.LeaderboardSerializer(board, context={"view": self}).data)

    @extend_schema(
        methods=["PUT"], request=shapes.PromoteInput, responses=shapes.ChampionSerializer
    )
    @extend_schema(methods=["GET"], responses=shapes.ChampionSerializer)
    @action(detail=True, methods=["get", "put"])
    def champion(self, request: Request, uid: str) -> Response:
        project = self.get_object()
        if request.method == "PUT":
            body = self.valid(shapes.PromoteInput)
            rows = models.ModelVersion.objects.filter(project=project)
            facade.promote(
                principal=self.principal,
                project=project,
                version=visible_or_404(rows.select_related("run"), uid=body["model_version"]),
                reason=body["reason"],
            )
        alias = (
            models.Alias.objects.filter(project=project, name="champion")
            .select_related("model_version__project__team", "model_version__run")
            .first()
        )
        history = models.Promotion.objects.filter(project=project).select_related(
            "model_version", "previous"
        )
        data = {
            "model_version": alias.model_version if alias else None,
            "reason": alias.reason if alias else "",
            "actor": alias.actor if alias else "",
            "history": history.order_by("-id")[:50],
        }
        return Response(shapes.ChampionSerializer(data).data)


def _live_curves(run: models.Run, names: list[str], most: int) -> list[dict[str, Any]]:
    """Of attempts that still run, read from their executor."""
    found = []
    attempts = models.Attempt.objects.filter(
        step__run=run, step__kind="user", status="running"
    ).select_related("step")
    for attempt in attempts:
        try:
            written = executor(run.executor).metrics(Handle(**attempt.handle), 0)
        except AdapterError:
            continue
        by_name: dict[str, list[tuple[int, float]]] = {}
        for metric in written:
            points = by_name.setdefault(metric["name"], [])
            index = metric["step"] if metric["step"] is not None else len(points)
            points.append((index, metric["value"]))
        for name, points in sorted(by_name.items()):
            if not names or name in names:
                thinned = [{"step": x, "value": y} for x, y in queries.thin(points, most)]
                found.append(
                    {
                        "name": name,
                        "source": attempt.step.name,
                        "last": points[-1][1],
                        "count": len(points),
                        "points": thinned,
                    }
                )
    return found


def _download(key: str, path: str, inline: bool = False) -> FileResponse:
    """A stored file that a browser never runs: an attachment, or inline for pictures and text."""
    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
    if kind.startswith("text/") and kind != "text/csv":
        kind = "text/plain"
    show = inline and kind in SAFE_INLINE
    response = FileResponse(
        storage().open(key),
        as_attachment=not show,
        filename=path.rpartition("/")[2],
        content_type=kind if show else "application/octet-stream",
    )
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response


def _mapping(value: Any, field: str) -> dict[str, Any]:
    """A JSON object; form fields may hold it as text."""
    if isinstance(value, str):
        value = parameters.from_json_object(value)
    if not isinstance(value, dict):
        raise InvalidInput(f"`{field}` is a JSON object.", field=field)
    return value
