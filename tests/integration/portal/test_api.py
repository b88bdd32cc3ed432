"""The API's manners: problems, scopes, tokens, idempotency, versions, audit."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from pipelines.models import Run
from portal.accounts.models import ApiToken, AuditEvent, Invitation, Membership
from portal.accounts.principals import Principal
from portal.accounts.services import sign_in_links
from portal.projects.models import Secret
from tests.factories.accounts import bearer, make_member, make_project, make_team, make_user
from tests.integration.pipelines.conftest import packed

pytestmark = pytest.mark.django_db
API = "/api/v1"


@pytest.fixture
def team() -> Any:
    return make_team("acme")


@pytest.fixture
def owner(team: Any) -> Principal:
    return make_member(team, "owner")


def call(
    client: Client,
    method: str,
    path: str,
    who: Principal | None = None,
    body: Any = None,
    **headers: str,
) -> Any:
    extra = {**(bearer(who) if who else {}), **headers}
    if body is not None:
        extra |= {"data": json.dumps(body), "content_type": "application/json"}
    return getattr(client, method)(API + path, **extra)


def test_nobody_gets_a_problem_document(client: Client) -> None:
    answer = call(client, "get", "/projects")
    assert answer.status_code == 401
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "not_authenticated"
    assert answer["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("token", ["hkt_x", "hkt_aaaaaaaaaa_bbbb", "nonsense", "hkt__"])
def test_a_bad_token_is_refused(client: Client, token: str) -> None:
    answer = client.get(f"{API}/me", HTTP_AUTHORIZATION=f"Bearer {token}")
    assert (answer.status_code, answer.json()["code"]) == (401, "bad_credentials")


def test_bad_json_and_wrong_methods_are_problems(client: Client, owner: Principal) -> None:
    answer = client.post(
        f"{API}/projects", data="{", content_type="application/json", **bearer(owner)
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_json")
    answer = call(client, "put", "/projects", owner)
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    answer = call(client, "get", "/no/such/thing", owner)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    answer = client.post(f"{API}/projects", data="x", content_type="text/plain", **bearer(owner))
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


def test_every_wrong_field_is_named(client: Client, owner: Principal) -> None:
    answer = call(client, "post", "/projects", owner, {"slug": "", "direction": "sideways"})
    assert answer.status_code == 400
    assert {p["field"] for p in answer.json()["problems"]} == {"team", "slug", "direction"}


def test_a_project_is_made_edited_by_version_and_seen_by_its_team_only(
    client: Client, owner: Principal, team: Any
) -> None:
    made = call(client, "post", "/projects", owner, {"team": "acme", "slug": "wine"})
    assert made.status_code == 201, made.content
    uid, tag = made.json()["uid"], made["ETag"]
    edited = call(client, "patch", f"/projects/{uid}", owner, {"name": "Wine"}, HTTP_IF_MATCH=tag)
    assert edited.json()["name"] == "Wine"
    stale = call(client, "patch", f"/projects/{uid}", owner, {"name": "Beer"}, HTTP_IF_MATCH=tag)
    assert (stale.status_code, stale.json()["code"]) == (412, "version_mismatch")
    same = call(client, "get", f"/projects/{uid}", owner, HTTP_IF_NONE_MATCH=edited["ETag"])
    assert same.status_code == 304
    outsider = make_member(make_team(), "owner")
    assert call(client, "get", f"/projects/{uid}", outsider).status_code == 404
    assert call(client, "get", "/projects", outsider).json()["results"] == []
    viewer = make_member(team, "viewer")
    refused = call(client, "patch", f"/projects/{uid}", viewer, {"name": "x"})
    assert (refused.status_code, refused.json()["code"]) == (403, "role_too_weak")
    taken = call(client, "post", "/projects", owner, {"team": "acme", "slug": "wine"})
    assert (taken.status_code, taken.json()["code"]) == (409, "slug_taken")


def test_a_create_happens_once_per_idempotency_key(client: Client, owner: Principal) -> None:
    headers = {**bearer(owner), "HTTP_IDEMPOTENCY_KEY": "k1", "content_type": "application/json"}
    body = json.dumps({"team": "acme", "slug": "once"})
    first = client.post(f"{API}/projects", data=body, **headers)
    again = client.post(f"{API}/projects", data=body, **headers)
    assert first.json()["uid"] == again.json()["uid"]
    assert again["Idempotent-Replay"] == "true"
    other = client.post(f"{API}/projects", data=body.replace("once", "twice"), **headers)
    assert (other.status_code, other.json()["code"]) == (400, "idempotency_mismatch")


def test_lists_go_by_cursor(client: Client, owner: Principal, team: Any) -> None:
    for i in range(5):
        make_project(team, f"p{i}")
    seen: list[str] = []
    url: str | None = f"{API}/projects?limit=2&ordering=slug"
    while url:
        page = client.get(url, **bearer(owner)).json()
        seen += [p["slug"] for p in page["results"]]
        url = page["next"]
    assert seen == [f"p{i}" for i in range(5)]
    assert call(client, "get", "/projects?search=p3", owner).json()["results"][0]["slug"] == "p3"


def test_tokens_are_shown_once_limited_and_revocable(
    client: Client, owner: Principal, team: Any
) -> None:
    project, other = make_project(team, "one"), make_project(team, "two")
    made = call(
        client, "post", "/tokens", owner, {"name": "ci", "scope": "read", "project": project.uid}
    )
    text = made.json()["token"]
    assert text.startswith("hkt_")
    assert text.split("_", 2)[2] not in str(ApiToken.objects.values_list())
    listed = call(client, "get", "/tokens", owner).json()["results"]
    assert all("token" not in row for row in listed)
    mine = {"HTTP_AUTHORIZATION": f"Bearer {text}"}
    assert client.get(f"{API}/projects/{project.uid}", **mine).status_code == 200
    assert client.get(f"{API}/projects/{other.uid}", **mine).status_code == 404
    refused = client.patch(
        f"{API}/projects/{project.uid}",
        data='{"name": "x"}',
        content_type="application/json",
        **mine,
    )
    assert refused.status_code == 403
    assert call(client, "delete", f"/tokens/{made.json()['uid']}", owner).status_code == 204
    assert client.get(f"{API}/me", **mine).status_code == 401


def test_a_service_account_has_its_teams_role(client: Client, owner: Principal, team: Any) -> None:
    made = call(
        client,
        "post",
        "/tokens",
        owner,
        {"name": "bot", "scope": "admin", "team": "acme", "role": "viewer"},
    )
    mine = {"HTTP_AUTHORIZATION": f"Bearer {made.json()['token']}"}
    me = client.get(f"{API}/me", **mine).json()
    assert (me["kind"], me["teams"][0]["role"]) == ("service", "viewer")
    contributor = make_member(team, "contributor")
    refused = call(
        client,
        "post",
        "/tokens",
        contributor,
        {"name": "x", "scope": "read", "team": "acme", "role": "owner"},
    )
    assert refused.status_code == 403


def test_a_secret_is_written_and_never_read(client: Client, owner: Principal, team: Any) -> None:
    project = make_project(team)
    path = f"/projects/{project.uid}/secrets"
    assert call(client, "put", f"{path}/API_KEY", owner, {"value": "swordfish"}).status_code == 200
    listed = call(client, "get", path, owner)
    assert [s["name"] for s in listed.json()["results"]] == ["API_KEY"]
    assert b"swordfish" not in listed.content
    assert "swordfish" not in Secret.objects.get().ciphertext
    assert "swordfish" not in str(list(AuditEvent.objects.values()))
    for bad in ("PORT", "HEKATON_X"):
        answer = call(client, "put", f"{path}/{bad}", owner, {"value": "x"})
        assert answer.status_code == 400
    assert call(client, "delete", f"{path}/API_KEY", owner).status_code == 204


def test_members_and_the_last_owner(client: Client, owner: Principal, team: Any) -> None:
    make_user("bob")
    made = call(client, "post", "/teams/acme/members", owner, {"username": "bob", "role": "viewer"})
    assert made.status_code == 201
    raised = call(
        client, "patch", f"/teams/acme/members/{made.json()['uid']}", owner, {"role": "owner"}
    )
    assert raised.json()["role"] == "owner"
    assert (
        call(client, "delete", f"/teams/acme/members/{made.json()['uid']}", owner).status_code
        == 204
    )
    mine = Membership.objects.get(user=owner.user)
    refused = call(client, "delete", f"/teams/acme/members/{mine.uid}", owner)
    assert (refused.status_code, refused.json()["code"]) == (409, "last_owner")
    invited = call(
        client,
        "post",
        "/teams/acme/invitations",
        owner,
        {"email": "Eve@Example.org", "role": "viewer"},
    )
    assert invited.status_code == 201
    assert Invitation.objects.get().email == "eve@example.org"


def test_the_audit_log_holds_every_change_and_exports(
    client: Client, owner: Principal, team: Any
) -> None:
    call(client, "post", "/projects", owner, {"team": "acme", "slug": "logged"})
    rows = call(client, "get", "/audit?action=project.create", owner).json()["results"]
    assert rows[0]["subject"] == "acme/logged"
    exported = b"".join(call(client, "get", "/audit/export", owner).streaming_content).decode()
    assert exported.startswith("created_at,actor")
    assert "acme/logged" in exported
    viewer = make_member(team, "viewer")
    assert call(client, "get", "/audit", viewer).json()["results"] == []


def test_a_folder_is_submitted_over_http(client: Client, owner: Principal, tmp_path: Path) -> None:
    (tmp_path / "hekaton.yaml").write_text(
        "apiVersion: hekaton/v1\nname: web\nsteps: {a: {run: 'true'}}\n"
    )
    upload = packed(tmp_path)
    upload.name = "s.tar.gz"
    answer = client.post(
        f"{API}/submissions", {"snapshot": upload, "team": "acme"}, **bearer(owner)
    )
    assert answer.status_code == 201, answer.content
    assert answer.json()["status"] == "pending"
    run = Run.objects.get()
    assert run.number == 1
    steps = client.get(f"{API}/runs/{run.uid}/steps", **bearer(owner)).json()
    assert [s["name"] for s in steps] == ["prepare", "a"]
    listed = client.get(f"{API}/runs?project=acme/web&active=true", **bearer(owner)).json()[
        "results"
    ]
    assert listed[0]["uid"] == run.uid
    outsider = make_member(make_team(), "owner")
    assert client.get(f"{API}/runs/{run.uid}", **bearer(outsider)).status_code == 404
    cancelled = client.post(f"{API}/runs/{run.uid}/cancel", **bearer(owner))
    assert cancelled.status_code == 202


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"garbage", "archive_bad_archive"), (b"", "invalid_input")],
)
def test_a_bad_upload_is_a_problem(
    client: Client, owner: Principal, content: bytes, code: str
) -> None:
    upload = io.BytesIO(content)
    upload.name = "s.tar.gz"
    answer = client.post(
        f"{API}/submissions", {"snapshot": upload, "team": "acme"}, **bearer(owner)
    )
    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_a_manifest_is_checked_without_submitting(client: Client, owner: Principal) -> None:
    answer = call(
        client,
        "post",
        "/submissions/validate",
        owner,
        {"manifest": "apiVersion: hekaton/v1\nnam: x\n"},
    )
    body = answer.json()
    assert not body["valid"]
    assert {(p["code"], p["line"]) for p in body["problems"]} >= {("unknown_key", 2)}


def test_the_sign_in_link_works_once_and_only_by_post(client: Client) -> None:
    path = sign_in_links.create(make_user("alice"))
    assert client.get(path).status_code == 200
    assert client.get(path).status_code == 200
    assert client.get(f"{API}/me").status_code == 401
    assert client.post(path).status_code == 302
    assert client.get(f"{API}/me").json()["user"]["username"] == "alice"
    again = Client()
    assert again.post(path).status_code == 403
    elsewhere = sign_in_links.create(make_user("bob"))
    assert Client(REMOTE_ADDR="10.0.0.9").post(elsewhere).status_code == 403


def test_sign_out_everywhere_ends_other_sessions() -> None:
    user = make_user("carol")
    one, two = Client(), Client()
    for browser in (one, two):
        browser.post(sign_in_links.create(user))
        assert browser.get(f"{API}/me").status_code == 200
    assert one.post(f"{API}/auth/sign-out?everywhere=1").status_code == 204
    assert two.get(f"{API}/me").status_code == 401


def test_a_browser_needs_its_csrf_token() -> None:
    browser = Client(enforce_csrf_checks=True)
    path = sign_in_links.create(make_user("dave"))
    token = browser.get(f"{API}/auth/methods").json()["csrf_token"]
    assert browser.post(path, {"csrfmiddlewaretoken": token}).status_code == 302
    body = {"data": '{"slug": "davesteam"}', "content_type": "application/json"}
    assert browser.post(f"{API}/teams", **body).status_code == 403
    token = browser.get(f"{API}/me").json()["csrf_token"]
    assert browser.post(f"{API}/teams", HTTP_X_CSRFTOKEN=token, **body).status_code == 201


def test_health_names_what_is_missing(client: Client) -> None:
    body = client.get("/readyz").json()
    assert any("queue" in line for line in body["unavailable"])
    assert client.get("/livez").status_code == 200
