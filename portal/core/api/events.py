"""`GET /api/v1/events`: live hints as server-sent events."""

from __future__ import annotations

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from rest_framework.exceptions import APIException
from rest_framework.request import Request

from portal.accounts.api.authentication import BrowserSessionAuthentication, TokenAuthentication
from portal.accounts.models import Team
from portal.accounts.principals import Principal
from portal.core import hub
from portal.core.api.problems import problem_response
from portal.projects.models import Project

MAX_TOPICS = 100


async def events(request: HttpRequest) -> HttpResponseBase:
    """Hints {topic, uid, version, id}; `?topics=run:UID,project:UID`, all that I may see without.

    `Last-Event-ID` (or `?after=`) replays what was missed; `resync` means: load everything again.
    """
    principal = await sync_to_async(authenticate)(request)
    if principal is None:
        return problem_response(401, "not_authenticated", "Sign in first.")
    topics = frozenset(t for t in request.GET.get("topics", "").split(",") if t)
    if len(topics) > MAX_TOPICS:
        return problem_response(400, "too_many_topics", f"At most {MAX_TOPICS} topics.")
    last = request.headers.get("Last-Event-ID") or request.GET.get("after") or ""
    sight = Sight(principal)
    await sight.look()
    return event_stream(hub.stream(sight.may_see, topics, int(last) if last.isdigit() else None))


def event_stream(content: object) -> StreamingHttpResponse:
    """A server-sent-events answer that no proxy buffers."""
    response = StreamingHttpResponse(content, content_type="text/event-stream")  # type: ignore[arg-type]
    response["Cache-Control"] = "no-cache"
    response["X-Accel-Buffering"] = "no"
    return response


def authenticate(request: HttpRequest) -> Principal | None:
    """The principal of a plain Django request, or None."""
    wrapped = Request(request)
    for way in (TokenAuthentication(), BrowserSessionAuthentication()):
        try:
            found = way.authenticate(wrapped)
        except APIException:
            return None
        if found is not None:
            return found[0]
    return None


class Sight:
    """Which teams and projects a principal may see, looked up again now and then."""

    def __init__(self, principal: Principal) -> None:
        self.principal = principal
        self.teams: set[str] = set()
        self.projects: set[str] = set()

    @sync_to_async
    def look(self) -> None:
        self.principal.__dict__.pop("team_roles", None)
        teams = Team.objects.filter(pk__in=self.principal.team_roles)
        self.teams = set(teams.values_list("uid", flat=True))
        visible = Project.objects.visible_to(self.principal)
        self.projects = set(visible.values_list("uid", flat=True))

    def may_see(self, hint: hub.Hint) -> bool:
        if self.principal.is_operator:
            return True
        if hint["project"]:
            if hint["project"] not in self.projects and hint["team"] in self.teams:
                return True  # a project made since the last look, in a team of mine
            return hint["project"] in self.projects
        return bool(hint["team"]) and hint["team"] in self.teams
