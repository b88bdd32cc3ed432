"""What a person does in the browser: sign in, submit, read a run, try, deploy and roll back."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from contract import snapshot
from tests.e2e.running import ROOT, Portal, wait_until
from tests.e2e.test_whole_path import endpoint_of, submission, submit

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

AXE = ROOT / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
LAWS = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]
DEPLOY = "deploy: {endpoint: shop}"
ARCHIVE = re.compile("^Archive|tar, tar.gz")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, portal: Portal) -> Iterator[Page]:
    """A page signed in by a one-time link; what the console complained of fails the test."""
    context = browser.new_context(viewport={"width": 1360, "height": 860}, base_url=portal.url)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        # A refused request is reported by Chromium itself; what it did to the page is tested.
        lambda message: (
            complaints.append(message.text)
            if message.type == "error" and "Failed to load resource" not in message.text
            else None
        ),
    )
    link = subprocess.run(
        [sys.executable, "manage.py", "sign_in_link"], cwd=ROOT, env=portal.env, check=True,
        capture_output=True, text=True,
    ).stdout.strip().splitlines()[-1]  # fmt: skip
    page.goto(link)
    page.get_by_role("button").first.click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    yield page
    context.close()
    assert not complaints


def test_without_a_session_there_is_only_the_sign_in_page(browser: Browser, portal: Portal) -> None:
    page = browser.new_page()
    page.goto(f"{portal.url}/demo/any/runs/1")
    expect(page).to_have_url(re.compile("/sign-in"))
    page.close()


def test_submit_follow_and_read_the_run(page: Page, portal: Portal, tmp_path: Path) -> None:
    folder = submission(tmp_path / "shop", "shop", deploy=DEPLOY)
    archive = io.BytesIO()
    snapshot.write_archive(folder, snapshot.scan(folder), archive)
    upload = tmp_path / "shop.tar.gz"
    upload.write_bytes(archive.getvalue())

    page.goto("/submit")
    page.get_by_label(ARCHIVE).set_input_files(upload)
    page.get_by_label("Message").fill("from the browser")
    page.get_by_role("button", name="Submit").click()

    # The page follows by itself: no reload between here and the end of the run.
    expect(page).to_have_url(re.compile("/demo/shop/runs/1"))
    expect(page.get_by_role("heading", name="Run #1")).to_be_visible()
    expect(page.get_by_text("Status: succeeded")).to_be_attached(timeout=120_000)
    page.goto("/demo/shop/runs/1?step=verify")
    expect(page.get_by_text("/a").first).to_be_visible(timeout=20_000)
    page.goto("/demo/shop/runs/1?step=train")
    expect(page.get_by_role("heading", name="train")).to_be_visible()


def test_a_broken_archive_is_an_error_on_the_page(page: Page, tmp_path: Path) -> None:
    broken = tmp_path / "broken.tar.gz"
    broken.write_bytes(b"not a tar")
    page.goto("/submit")
    page.get_by_label(ARCHIVE).set_input_files(broken)
    with page.expect_response(lambda r: r.url.endswith("/submissions")) as answer:
        page.get_by_role("button", name="Submit").click()
    assert answer.value.status in (400, 413, 422)
    expect(page.get_by_role("alert")).to_be_visible()


def test_a_failed_verification_shows_expected_and_got(
    page: Page, portal: Portal, tmp_path: Path
) -> None:
    run = submit(
        portal, submission(tmp_path / "wrong", "wrong", env={"ANSWER": "two"}, answer="one")
    )
    page.goto(f"/demo/wrong/runs/{run['number']}?step=verify")
    expect(page.get_by_text('"one"').or_(page.get_by_text("one", exact=True)).first).to_be_visible()
    expect(page.get_by_text('"two"').or_(page.get_by_text("two", exact=True)).first).to_be_visible()


def test_try_it_roll_back_deploy_and_make_a_key(page: Page, portal: Portal, tmp_path: Path) -> None:
    submit(portal, submission(tmp_path / "a", "till", deploy="deploy: {endpoint: till}"))
    submit(
        portal,
        submission(
            tmp_path / "b", "till", env={"ANSWER": "two"}, answer="two",
            deploy="deploy: {endpoint: till}",
        ),
    )  # fmt: skip
    page.goto("/demo/till/endpoints/till?tab=try")
    page.get_by_label("Path").fill("/a")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_label("Answer")).to_contain_text("two", timeout=30_000)

    page.get_by_role("button", name="Roll back").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    dialog.get_by_role("textbox").fill("answers look wrong")
    with page.expect_response(lambda r: r.url.endswith("/rollback")) as rolled:
        dialog.get_by_role("button", name="Roll back").click()
    assert rolled.value.ok, rolled.value.text()

    def answered() -> str:
        endpoint = endpoint_of(portal, "till", "till")
        reply = portal.api(
            "POST", f"/endpoints/{endpoint['uid']}/try", json={"method": "GET", "path": "/a"}
        )
        return str(reply.json()["body"])

    wait_until(answered, lambda body: "one" in body, 30)

    page.get_by_role("button", name="Deploy").click()
    page.get_by_label("Model version").select_option(index=0)  # the newest
    page.get_by_role("dialog").get_by_role("button", name="Deploy").click()
    wait_until(answered, lambda body: "two" in body, 60)

    page.goto("/demo/till/endpoints/till?tab=keys")
    page.get_by_label("Name").first.fill("the shop")
    page.get_by_role("button", name="New key").click()
    key = page.get_by_text(re.compile("^eyJ")).first.inner_text().split()[0]
    url = f"{endpoint_of(portal, 'till', 'till')['url']}/a"
    assert httpx.get(url, timeout=10).status_code == 401
    wait_until(
        lambda: httpx.get(url, headers={"Authorization": f"Bearer {key}"}, timeout=10).status_code,
        lambda status: status == 200,
        20,
    )


def test_make_a_token_that_works(page: Page, portal: Portal) -> None:
    page.goto("/settings/tokens")
    page.get_by_label("Name").fill("a program")
    page.get_by_label("Scope").select_option("read")
    page.get_by_role("button", name="Create").click()
    token = page.get_by_text(re.compile("hkt_[0-9a-f]{10}_")).first.inner_text().split()[0]
    answer = httpx.get(
        f"{portal.url}/api/v1/projects", headers={"Authorization": f"Bearer {token}"}, timeout=10
    )
    assert answer.status_code == 200


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_meet_wcag_aa(page: Page, portal: Portal, tmp_path: Path, theme: str) -> None:
    if not portal.try_get("/runs?project=demo/shop"):
        submit(portal, submission(tmp_path / "shop", "shop", deploy=DEPLOY))
    page.evaluate("theme => localStorage.setItem('hekaton.theme', theme)", theme)
    found = {}
    for path in (
        "/",
        "/demo/shop",
        "/demo/shop?tab=leaderboard",
        "/demo/shop?tab=settings",
        "/demo/shop/runs/1",
        "/demo/shop/runs/1?step=verify",
        "/demo/shop/endpoints/shop",
        "/demo/shop/endpoints/shop?tab=try",
        "/demo/shop/endpoints/shop?tab=keys",
        "/submit",
        "/settings/tokens",
        "/audit",
        "/system",
    ):
        page.goto(path)
        expect(page.get_by_role("heading").first).to_be_visible()
        expect(page.get_by_text("Loading")).to_have_count(0)
        page.wait_for_timeout(500)  # charts and the graph draw themselves
        page.evaluate(AXE.read_text())  # not a script tag: the real policy holds
        violations = page.evaluate(
            "laws => axe.run({runOnly: laws}).then(r => r.violations.map(v => v.id + ': ' + "
            "v.nodes.slice(0, 3).map(n => n.target.join(' ')).join(' | ')))",
            LAWS,
        )
        if violations:
            found[path] = violations
    assert not found
