"""The portal's API, a method for each thing one does. Answers are the API's own JSON objects.

A project is named by its path (`acme/wine`), an endpoint by `acme/wine/name`, everything by uid.
Every method raises HekatonError (see errors.py).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from contract import snapshot as snapshots
from hekaton_cli.errors import HekatonError, NotFound, UsageError
from hekaton_cli.transport import Event, Record, Transport

Progress = Callable[[int, int], None]  # bytes sent, bytes in all


class Client:
    """Close it, or use it as a context manager."""

    def __init__(self, server: str, token: str = "", *, insecure: bool = False) -> None:
        self.transport = Transport(server, token, insecure=insecure)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.transport.close()

    @property
    def server(self) -> str:
        return self.transport.server

    # People and projects

    def me(self) -> Record:
        return self.transport.get("me")

    def system(self) -> Record:
        return self.transport.get("system")

    def project(self, path: str) -> Record:
        team, _, slug = path.partition("/")
        return self._only(f"project {path}", "projects", team=team, slug=slug)

    def ensure_project(self, path: str) -> Record:
        """The project, made where it is not there yet."""
        try:
            return self.project(path)
        except NotFound:
            team, _, slug = path.partition("/")
            return self.transport.post("projects", {"team": team, "slug": slug, "name": slug})

    # Submissions and runs

    def validate(self, manifest: str, project: str = "") -> Record:
        body = {"manifest": manifest, "project": project}
        return self.transport.post("submissions/validate", body)

    def submit(
        self,
        folder: Path,
        *,
        team: str,
        snapshot: snapshots.Snapshot | None = None,
        message: str = "",
        params: Mapping[str, Any] | None = None,
        use_cache: bool = True,
        progress: Progress | None = None,
    ) -> Record:
        """Upload a folder and start its run; the run."""
        found = snapshot or snapshots.scan(folder)
        fields = {
            "team": team,
            "message": message,
            "params": json.dumps(dict(params or {})),
            "use_cache": "true" if use_cache else "false",
        }
        with tempfile.TemporaryFile() as packed:
            snapshots.write_archive(folder.resolve(), found, packed)
            body = Counted(packed, progress)
            files = [("snapshot", ("snapshot.tar.gz", body, "application/gzip"))]
            return self.transport.upload("submissions", fields, files)

    def runs(self, **filters: Any) -> Iterator[Record]:
        """Newest first; `project`, `team`, `status`, `number`, `author`, `search`, `limit`."""
        return self.transport.pages("runs", **filters)

    def run(self, uid: str) -> Record:
        return self.transport.get(f"runs/{uid}")

    def run_numbered(self, project: str, number: int) -> Record:
        row = self._only(f"run #{number} in {project}", "runs", project=project, number=number)
        return self.run(row["uid"])

    def steps(self, uid: str) -> list[Record]:
        return list(self.transport.get(f"runs/{uid}/steps")["results"])

    def cancel_run(self, uid: str) -> Record:
        return self.transport.post(f"runs/{uid}/cancel")

    def retry_run(self, uid: str) -> Record:
        return self.transport.post(f"runs/{uid}/retry")

    def log_page(self, attempt: str, *, after: int = 0, tail: int = 0, search: str = "") -> Record:
        return self.transport.get(
            f"attempts/{attempt}/logs", after=after, tail=tail or None, search=search, limit=1000
        )

    def follow_log(self, attempt: str, after: int = 0) -> AbstractContextManager[Iterator[Event]]:
        return self.transport.events(f"attempts/{attempt}/logs", after=after)

    def events(self, *topics: str) -> AbstractContextManager[Iterator[Event]]:
        """Hints that something changed."""
        return self.transport.events("events", topics=",".join(topics))

    def leaderboard(self, project: str, *, metric: str = "", data: str = "") -> Record:
        uid = self.project(project)["uid"]
        return self.transport.get(f"projects/{uid}/leaderboard", metric=metric, data=data)

    # Data

    def datasets(self, project: str) -> Iterator[Record]:
        return self.transport.pages("datasets", project=project)

    def push_data(
        self,
        project: str,
        slug: str,
        files: Mapping[str, Path],
        *,
        message: str = "",
        progress: Progress | None = None,
    ) -> Record:
        """A new version of a dataset from files by their path in it; the latest version where it
        holds just these files."""
        self.ensure_project(project)
        dataset = self.transport.post("datasets", {"project": project, "slug": slug})
        opened: list[IO[bytes]] = []
        total = sum(file.stat().st_size for file in files.values())
        sent = Total(total, progress)
        try:
            parts: list[tuple[str, Any]] = []
            for name, file in files.items():
                opened.append(file.open("rb"))
                parts.append(
                    ("files", (name.rpartition("/")[2], Counted(opened[-1], sent.of(file))))
                )
            fields: dict[str, Any] = {"message": message, "paths": list(files)}
            return self.transport.upload(f"datasets/{dataset['uid']}/versions", fields, parts)
        finally:
            for stream in opened:
                stream.close()

    # Serving

    def endpoints(self, **filters: Any) -> Iterator[Record]:
        return self.transport.pages("endpoints", **filters)

    def endpoint(self, address: str) -> Record:
        """By uid or `team/project/slug`."""
        parts = address.split("/")
        if len(parts) == 1:
            return self.transport.get(f"endpoints/{address}")
        if len(parts) != 3:
            raise UsageError(f"`{address}` is not `team/project/endpoint`.")
        row = self._only(
            f"endpoint {address}", "endpoints", project="/".join(parts[:2]), slug=parts[2]
        )
        return self.transport.get(f"endpoints/{row['uid']}")

    def ensure_endpoint(self, address: str) -> Record:
        try:
            return self.endpoint(address)
        except NotFound:
            project, _, slug = address.rpartition("/")
            return self.transport.post("endpoints", {"project": project, "slug": slug})

    def revisions(self, endpoint: str) -> Iterator[Record]:
        return self.transport.pages(f"endpoints/{endpoint}/revisions")

    def deploy(self, endpoint: str, body: Mapping[str, Any]) -> Record:
        return self.transport.post(f"endpoints/{endpoint}/deploy", dict(body))

    def rollback(self, endpoint: str, reason: str, revision: str = "") -> Record:
        body = {"reason": reason, **({"revision": revision} if revision else {})}
        return self.transport.post(f"endpoints/{endpoint}/rollback", body)

    def rollback_preview(self, endpoint: str, revision: str = "") -> Record:
        return self.transport.get(f"endpoints/{endpoint}/rollback-preview", revision=revision)

    def rollouts(self, endpoint: str) -> Iterator[Record]:
        return self.transport.pages(f"endpoints/{endpoint}/rollouts")

    def rollout(self, uid: str) -> Record:
        return self.transport.get(f"rollouts/{uid}")

    def keys(self, endpoint: str) -> Iterator[Record]:
        return self.transport.pages(f"endpoints/{endpoint}/keys")

    def create_key(self, endpoint: str, name: str, expires_at: str | None = None) -> Record:
        """The answer's `token` is shown this once."""
        body = {"name": name, **({"expires_at": expires_at} if expires_at else {})}
        return self.transport.post(f"endpoints/{endpoint}/keys", body)

    def revoke_key(self, uid: str) -> None:
        self.transport.delete(f"keys/{uid}")

    def try_endpoint(self, endpoint: str, body: Mapping[str, Any]) -> Record:
        return self.transport.post(f"endpoints/{endpoint}/try", dict(body))

    def start_verification(self, body: Mapping[str, Any]) -> Record:
        return self.transport.post("verifications", dict(body))

    def verification(self, uid: str) -> Record:
        return self.transport.get(f"verifications/{uid}")

    def end_verification(self, uid: str) -> None:
        self.transport.delete(f"verifications/{uid}")

    def _only(self, what: str, path: str, **filters: Any) -> Record:
        found = next(iter(self.transport.get(path, limit=1, **filters)["results"]), None)
        if found is None:
            raise NotFound(
                f"There is no {what}, or you may not see it.",
                hint="`hekaton whoami` shows your teams.",
            )
        return dict(found)


class Total:
    """Progress over several files."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.total = total
        self.progress = progress
        self.sent: dict[Path, int] = {}

    def of(self, file: Path) -> Progress:
        def note(sent: int, _size: int) -> None:
            self.sent[file] = sent
            if self.progress:
                self.progress(sum(self.sent.values()), self.total)

        return note


class Counted:
    """A file for an upload that says how far it has been read."""

    def __init__(self, file: IO[bytes], progress: Progress | None) -> None:
        self.file = file
        self.progress = progress
        self.size = file.seek(0, 2)
        file.seek(0)

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        if self.progress:
            self.progress(self.file.tell(), self.size)
        return data

    def seek(self, position: int, whence: int = 0) -> int:
        return self.file.seek(position, whence)

    def tell(self) -> int:
        return self.file.tell()


def files_below(paths: Iterable[Path]) -> dict[str, Path]:
    """Files by their path in a dataset: a folder gives what is below it, a file its name.

    Raises:
        UsageError: nothing there, or two with one name.
    """
    found: dict[str, Path] = {}
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path} does not exist.")
        inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in inside:
            name = file.relative_to(path).as_posix() if path.is_dir() else file.name
            if any(part.startswith(".") for part in name.split("/")):
                continue
            if found.setdefault(name, file) != file:
                raise UsageError(f"`{name}` is there twice: {found[name]} and {file}.")
    if not found:
        raise UsageError("There are no files to push.", hint="Hidden files are left out.")
    return found


__all__ = ["Client", "HekatonError", "files_below"]
