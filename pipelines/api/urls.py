"""Addresses of pipelines below /api/v1."""

from __future__ import annotations

from django.urls import URLPattern, path
from rest_framework.routers import SimpleRouter

from pipelines.api import views

patterns: list[URLPattern] = [
    path(
        "projects/<str:uid>/leaderboard",
        views.ProjectModelsViewSet.as_view({"get": "leaderboard"}),
        name="project-leaderboard",
    ),
    path(
        "projects/<str:uid>/champion",
        views.ProjectModelsViewSet.as_view({"get": "champion", "put": "champion"}),
        name="project-champion",
    ),
]


def register(router: SimpleRouter) -> None:
    router.register("submissions", views.SubmissionViewSet, basename="submission")
    router.register("datasets", views.DatasetViewSet, basename="dataset")
    router.register("dataset-versions", views.DatasetVersionViewSet, basename="dataset-version")
    router.register("runs", views.RunViewSet, basename="run")
    router.register("attempts", views.AttemptViewSet, basename="attempt")
    router.register("artifacts", views.ArtifactViewSet, basename="artifact")
    router.register("model-versions", views.ModelVersionViewSet, basename="model-version")
    router.register("triggers", views.TriggerViewSet, basename="trigger")
    router.register("trigger-firings", views.FiringViewSet, basename="trigger-firing")
