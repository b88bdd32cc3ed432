"""`manage.py example`: the worked example, once: submit, verify, deploy, and a request to paste."""

from __future__ import annotations

import json
import shlex
import tempfile
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from contract import names, snapshot
from contract.manifest import parse
from pipelines import facade as pipelines
from pipelines.models import Run, Step
from pipelines.services.datasets import Upload
from portal.accounts.models import Team, User
from portal.accounts.principals import Principal
from portal.projects.models import Project
from portal.projects.services import projects
from serving import facade
from serving.models import Endpoint

KEY_NAME = "example"
PATIENCE_S = 900.0


class Command(BaseCommand):
    help = "Run the worked example unless it has run before, and print a request to paste."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--again", action="store_true", help="run it though it has run before")

    def handle(self, *args: Any, **options: Any) -> None:
        folder = settings.BASE_DIR / "examples" / "wine"
        manifest = parse((folder / names.MANIFEST).read_text())
        team = Team.objects.order_by("pk").first()
        user = User.objects.order_by("pk").first()
        if team is None or user is None:
            raise CommandError("There is no account yet; `make up` makes it.")
        principal = Principal(user=user)
        project = Project.objects.filter(team=team, slug=manifest.name).first()
        if project is None:
            project = projects.create(
                principal=principal, team=team, slug=manifest.name, name="Wine (example)"
            )
        run = Run.objects.filter(project=project).order_by("pk").first()
        if run is None or options["again"]:
            self.stdout.write("\nRunning the example: which of three growers a wine came from.")
            self._push(principal, project, folder)
            run = self._submit(principal, project, folder)
        if not self._follow(run):
            return
        endpoint = (
            Endpoint.objects.select_related("project__team")
            .filter(project=project, alive=True)
            .first()
        )
        if endpoint is not None and manifest.verify:
            self._say_how(principal, endpoint, manifest.verify[0].path, manifest.verify[0].json)

    def _push(self, principal: Principal, project: Project, folder: Path) -> None:
        for part in ("train", "test"):
            dataset = pipelines.ensure_dataset(
                principal=principal, project=project, slug=f"wine/{part}"
            )
            files = sorted((folder / "data" / part).iterdir())
            uploads = [Upload(path.name, path.open("rb")) for path in files if path.is_file()]
            pipelines.push_data(principal=principal, dataset=dataset, uploads=uploads)

    def _submit(self, principal: Principal, project: Project, folder: Path) -> Run:
        with tempfile.TemporaryFile() as archive:
            found = snapshot.scan(folder)
            snapshot.write_archive(folder, found, archive)  # type: ignore[arg-type]
            archive.seek(0)
            return pipelines.submit(
                principal=principal,
                archive=archive,  # type: ignore[arg-type]
                project=project,
                message="The worked example",
            )

    def _follow(self, run: Run) -> bool:
        """Say each step as it ends; True when the run succeeded."""
        told: set[str] = set()
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE_S:
            for step in Step.objects.filter(run=run).order_by("position"):
                if step.is_terminal and step.name not in told:
                    told.add(step.name)
                    words = f"  {step.status_message}" if step.status_message else ""
                    self.stdout.write(f"  {step.name:<10} {step.status}{words}")
            run.refresh_from_db()
            if run.is_terminal:
                break
            time.sleep(0.2)
        if run.status != "succeeded":
            self.stdout.write(
                f"The example is {run.status}: {run.status_message} "
                f"See {settings.URL}/{run.project.path}/runs/{run.number}"
            )
        return bool(run.status == "succeeded")

    def _say_how(self, principal: Principal, endpoint: Endpoint, path: str, body: Any) -> None:
        for _ in range(100):
            endpoint.refresh_from_db()
            if endpoint.url:
                break
            time.sleep(0.1)
        _, token = facade.create_key(
            principal=principal, endpoint=endpoint, name=KEY_NAME, expires_at=None
        )
        url = endpoint.url.rstrip("/") + path
        self._wait_routed(endpoint)
        self.stdout.write(f"\nThe endpoint answers at {endpoint.url} (401 without a key). Try it:")
        self.stdout.write(
            f"curl -sS {url} -H {shlex.quote(f'Authorization: Bearer {token}')} "
            f"-H 'Content-Type: application/json' -d {shlex.quote(json.dumps(body))}"
        )

    def _wait_routed(self, endpoint: Endpoint) -> None:
        for _ in range(100):
            endpoint.refresh_from_db()
            if endpoint.routed_generation >= endpoint.generation:
                return
            time.sleep(0.1)
