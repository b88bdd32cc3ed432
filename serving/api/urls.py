"""Addresses of serving below /api/v1."""

from __future__ import annotations

from django.urls import URLPattern
from rest_framework.routers import SimpleRouter

from serving.api import views

patterns: list[URLPattern] = []


def register(router: SimpleRouter) -> None:
    router.register("endpoints", views.EndpointViewSet, basename="endpoint")
    router.register("revisions", views.RevisionViewSet, basename="revision")
    router.register("rollouts", views.RolloutViewSet, basename="rollout")
    router.register("keys", views.KeyViewSet, basename="key")
    router.register("verifications", views.VerificationViewSet, basename="verification")
