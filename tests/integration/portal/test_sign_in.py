"""Single sign-on against a real OpenID Connect provider, by real redirects."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if httpx.get(url, timeout=2).status_code < 500:
                return
        except httpx.HTTPError:
            pass
        if time.monotonic() > deadline:
            raise RuntimeError(f"{url} does not answer")
        time.sleep(0.1)


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A web process of its own, with company sign-in limited to example.org and group mapping."""
    provider_port, port = free_port(), free_port()
    provider = subprocess.Popen(
        [str(Path(sys.executable).parent / "oidc-provider-mock"), "--port", str(provider_port),
         "--user-claims", '{"sub": "alice", "preferred_username": "alice", "email": "alice@example.org", "email_verified": true, "groups": ["ml"]}',
         "--user-claims", '{"sub": "mallory", "email": "mallory@evil.org", "email_verified": true}',
         "--user-claims", '{"sub": "unverified", "email": "alice@example.org", "email_verified": false}'],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    home = tmp_path_factory.mktemp("sso")
    env = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("PORTAL_", "DJANGO_"))},
        "PORTAL_HOME": str(home),
        "PORTAL_PORT": str(port),
        "PORTAL_OIDC_ENDPOINT": f"http://127.0.0.1:{provider_port}",
        "PORTAL_OIDC_CLIENT_ID": "portal",
        "PORTAL_OIDC_CLIENT_SECRET": "secret",
        "PORTAL_SIGN_IN_DOMAINS": "example.org",
        "PORTAL_SIGN_IN_GROUP_ROLES": "ml=science:maintainer",
        "DJANGO_SETTINGS_MODULE": "portal.settings",
    }
    manage = [sys.executable, str(ROOT / "manage.py")]
    subprocess.run([*manage, "migrate", "-v0"], env=env, check=True, cwd=ROOT)
    make = "from portal.accounts.models import Team; Team.objects.create(slug='science', name='S')"
    subprocess.run([*manage, "shell", "-v0", "-c", make], env=env, check=True, cwd=ROOT)
    web = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "portal.asgi:application", "--port", str(port),
         "--log-level", "warning", "--lifespan", "off"],
        env=env, cwd=ROOT,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    wait_for(f"{url}/livez")
    wait_for(f"http://127.0.0.1:{provider_port}/.well-known/openid-configuration")
    yield url
    for process in (web, provider):
        process.terminate()
        process.wait(timeout=20)


def sign_in(browser: httpx.Client, portal: str, subject: str) -> httpx.Response:
    methods = browser.get(f"{portal}/api/v1/auth/methods").json()
    assert methods["methods"][0]["id"] == "company"
    assert not methods["link"]
    step = browser.post(
        portal + methods["methods"][0]["url"],
        data={"csrfmiddlewaretoken": methods["csrf_token"], "next": "/"},
        headers={"Referer": portal},
    )
    location = step.headers["Location"]
    assert "code_challenge_method=S256" in location
    assert "state=" in location
    assert "nonce=" in location
    form = browser.get(location)
    action = re.search(r'action="([^"]*)"', form.text)
    target = str(httpx.URL(location).join(action[1])) if action and action[1] else location
    answer = browser.post(target, data={"sub": subject})
    while answer.is_redirect and "/auth/complete/" not in answer.headers["Location"]:
        answer = browser.get(str(answer.url.join(answer.headers["Location"])))
    return browser.get(answer.headers["Location"])


def test_a_colleague_signs_in_with_the_role_of_their_group(portal: str) -> None:
    with httpx.Client(timeout=20) as browser:
        done = sign_in(browser, portal, "alice")
        assert done.headers["Location"].rstrip("/") in ("", portal, "/")
        me = browser.get(f"{portal}/api/v1/me").json()
        assert me["user"]["username"] == "alice"
        assert [(t["team"]["slug"], t["role"]) for t in me["teams"]] == [("science", "maintainer")]


@pytest.mark.parametrize("subject", ["mallory", "unverified"])
def test_others_are_refused(portal: str, subject: str) -> None:
    with httpx.Client(timeout=20) as browser:
        done = sign_in(browser, portal, subject)
        assert "error=refused" in done.headers["Location"]
        assert browser.get(f"{portal}/api/v1/me").status_code == 401


def test_signing_in_needs_a_form_of_this_site(portal: str) -> None:
    with httpx.Client(timeout=20) as browser:
        assert browser.get(f"{portal}/auth/login/company/").status_code == 405
        assert browser.post(f"{portal}/auth/login/company/").status_code == 403
