"""Ending sessions everywhere: a session from before the user's current epoch is no session."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse

KEY = "session_epoch"


class SessionEpoch:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.session.get("_auth_user_id"):
            user = request.user
            if user.is_authenticated:
                epoch = request.session.setdefault(KEY, user.session_epoch)
                if epoch != user.session_epoch:
                    logout(request)
        return self.get_response(request)
