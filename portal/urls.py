"""All addresses: the composition root that sees every app."""

from __future__ import annotations

from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.routers import SimpleRouter

import pipelines.api.urls
import serving.api.urls
from portal.accounts.api import views as accounts
from portal.accounts.views import sign_in_link
from portal.core import views as core
from portal.core.api.events import events
from portal.core.api.objects import objects
from portal.projects.api.views import ProjectViewSet

router = SimpleRouter(trailing_slash=False)
router.register("teams", accounts.TeamViewSet, basename="team")
router.register("tokens", accounts.TokenViewSet, basename="token")
router.register("audit", accounts.AuditViewSet, basename="audit")
router.register("projects", ProjectViewSet, basename="project")
pipelines.api.urls.register(router)
serving.api.urls.register(router)

api = [
    path("me", accounts.MeView.as_view(), name="me"),
    path("auth/methods", accounts.SignInMethodsView.as_view(), name="sign-in-methods"),
    path("auth/sign-out", accounts.SignOutView.as_view(), name="sign-out"),
    path("events", events, name="events"),
    path("system", core.SystemView.as_view(), name="system"),
    path("schema", SpectacularAPIView.as_view(), name="schema"),
    path("docs", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    *pipelines.api.urls.patterns,
    *serving.api.urls.patterns,
    *router.urls,
    re_path(r"^.*$", core.api_not_found),
]
urlpatterns = [
    path("api/v1/", include(api)),
    path("objects/<str:token>", objects),
    path("objects/<str:token>/<path:path>", objects),
    path("auth/", include("social_django.urls", namespace="social")),
    path("sign-in/link/<str:token>", sign_in_link),
    path("livez", core.livez),
    path("readyz", core.readyz),
    re_path(r"^(?!static/|assets/).*$", core.page),
]
