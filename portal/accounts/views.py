"""The one-time sign-in link's two pages. Everything else of the browser is the front end's."""

from __future__ import annotations

from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from portal.accounts import audit
from portal.accounts.principals import Principal
from portal.accounts.services import sign_in_links
from portal.core.errors import Forbidden


@require_http_methods(["GET", "POST"])
def sign_in_link(request: HttpRequest, token: str) -> HttpResponse:
    """GET shows a button and spends nothing; POST signs in."""
    address = request.META.get("REMOTE_ADDR", "")
    try:
        if request.method == "GET":
            sign_in_links.check_usable(address)
            return render(request, "sign_in_link.html")
        user = sign_in_links.use(token, address)
    except Forbidden as error:
        return render(request, "sign_in_link.html", {"error": error.message}, status=403)
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    audit.record(
        Principal(user=user, address=address),
        "sign_in",
        noun="user",
        subject_uid=user.uid,
        subject=user.username,
        after={"method": "link"},
    )
    return redirect("/")
