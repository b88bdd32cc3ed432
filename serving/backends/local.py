"""Endpoints on this machine's node: Envoy in front of supervised processes.

There is no image store to pull from: an image is laid out again from what it was made of, the
environment by its key, the snapshot and the model's tree by their digests, read-only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from contract import logs, names
from node import documents
from node.client import NodeClient, NodeConflict, NodeError, NodeUnreachable
from node.config import runtime_folder
from pipelines.executors.base import Capabilities
from pipelines.executors.local import local_path, unpacked_snapshot
from portal.core.errors import Conflict, PermanentError, TransientError
from serving import keys
from serving.backends.base import (
    Decision,
    EndpointObservation,
    EndpointSpec,
    Replica,
    RevisionObservation,
    RevisionSpec,
    Stats,
)

LAST_LINES = 40
MAX_CONCURRENCY = 1000


class LocalBackend:
    """`home` is PORTAL_HOME, which the node shares; `gateway_url` is what clients are told (the
    node's own answer when empty)."""

    def __init__(self, *, home: str, name: str = "local", gateway_url: str = "") -> None:
        self.name = name
        self.home = Path(home)
        self.node = NodeClient(runtime_folder(self.home) / "node.sock")
        self._gateway_url = gateway_url.rstrip("/")

    def capabilities(self) -> Capabilities:
        try:
            info = self.node.info()
        except NodeError as error:
            return Capabilities(name=self.name, unavailable=str(error), limits={"gpu": 0})
        trouble = info.get("envoy", {}).get("trouble") or None
        return Capabilities(
            name=self.name,
            pythons=tuple(info["pythons"]),
            isolation=info["sandbox"],
            limits={"cpu_m": info["cpu_m"], "memory_bytes": info["memory_bytes"], "gpu": 0},
            unavailable=trouble,
        )

    def refuse(self, spec: EndpointSpec) -> list[str]:
        found = []
        for revision in spec.revisions:
            where = f"Revision {revision.name}"
            if revision.scale.metric != "concurrency":
                found.append(
                    f"{where}: the local node scales by concurrency, not by {revision.scale.metric}."
                )
            if revision.resources.gpu:
                found.append(f"{where}: the local node has no GPUs to give.")
            if revision.image.environment is None or revision.image.snapshot is None:
                found.append(
                    f"{where}: the local node runs images that were built here; it cannot pull "
                    f"{revision.image.reference}."
                )
        return found

    def url(self, spec: EndpointSpec) -> str | None:
        route = _route(spec)
        return f"{self.gateway_url}{route}" if route else None

    @property
    def gateway_url(self) -> str:
        if not self._gateway_url:
            try:
                self._gateway_url = str(self.node.info()["gateway_url"])
            except NodeError as error:
                raise TransientError(str(error), reason="NodeUnreachable") from error
        return self._gateway_url

    def apply(self, spec: EndpointSpec) -> None:
        """Lay the images out and hand the whole document to the node.

        Raises:
            Conflict: the node holds a newer generation, or is deleting the endpoint.
            PermanentError: it cannot be held here, or part of an image is gone.
            TransientError: the node cannot be asked.
        """
        refused = self.refuse(spec)
        if refused:
            raise PermanentError(" ".join(refused), reason="NotSupported")
        keys.load_or_create(self.home / "keys" / keys.KEY_FILE)
        document = self.document(spec)
        try:
            self.node.put_endpoint(document)
        except NodeConflict as error:
            raise Conflict(str(error), code="stale_generation") from error
        except NodeUnreachable as error:
            raise TransientError(str(error), reason="NodeUnreachable", retry_after=1.0) from error
        except NodeError as error:
            raise PermanentError(str(error), reason="NodeRefused") from error

    def observe(self, uid: str) -> EndpointObservation:
        try:
            found = self.node.endpoint(uid)
        except NodeError as error:
            return EndpointObservation(uid=uid, state="unknown", message=str(error))
        if found is None:
            return EndpointObservation(uid=uid, state="absent")
        return EndpointObservation(
            uid=uid,
            state="present",
            generation=found.generation,
            routed_generation=found.routed_generation,
            url=found.route_url,
            revisions=tuple(self._revision(r, found.node_id) for r in found.revisions),
            message=found.message,
        )

    def delete(self, uid: str) -> None:
        try:
            self.node.delete_endpoint(uid)
        except NodeUnreachable as error:
            raise TransientError(str(error), reason="NodeUnreachable", retry_after=1.0) from error

    def held(self) -> Iterator[str]:
        try:
            yield from self.node.endpoints()
        except NodeError as error:
            raise TransientError(str(error), reason="NodeUnreachable", retry_after=5.0) from error

    def decisions(self, uid: str, after: float = 0.0) -> dict[str, list[Decision]]:
        """Scale decisions the node still remembers, by revision uid, oldest first."""
        try:
            found = self.node.decisions(uid, after)
        except NodeError as error:
            raise TransientError(str(error), reason="NodeUnreachable", retry_after=1.0) from error
        return {r: [_decision(d) for d in many] for r, many in found.items()}

    # --------------------------------------------------------------------------------------

    def document(self, spec: EndpointSpec) -> documents.EndpointDocument:
        """What the node is told. Unpacks snapshots that are not laid out yet."""
        return documents.EndpointDocument(
            uid=spec.uid,
            name=spec.name,
            generation=spec.generation,
            route=_route(spec),
            revisions=tuple(self._revision_document(r) for r in spec.revisions),
            traffic=tuple(
                documents.TrafficDocument(revision_uid=t.revision_uid, percent=t.percent, tag=t.tag)
                for t in spec.traffic
            ),
            auth=documents.AuthDocument(
                mode=spec.auth, audience=spec.uid, live_key_ids=tuple(spec.live_key_ids)
            ),
            max_request_bytes=spec.max_request_bytes,
        )

    def _revision_document(self, spec: RevisionSpec) -> documents.RevisionDocument:
        image = spec.image
        if image.environment is None or image.snapshot is None:
            raise PermanentError(f"Image {image.reference} was not built here.", reason="NotHere")
        mounts = [
            documents.Mount(
                source=str(self.home / "envs" / image.environment.key), target=names.ENV_DIR
            ),
            documents.Mount(
                source=str(unpacked_snapshot(self.home, image.snapshot)), target=names.CODE_DIR
            ),
        ]
        if image.model is not None:
            mounts.append(
                documents.Mount(
                    source=str(local_path(image.model.key)),
                    target=names.MODEL_DIR,
                    env_path="HEKATON_MODEL_DIR",
                )
            )
        return documents.RevisionDocument(
            uid=spec.uid,
            name=spec.name,
            digest=image.digest,
            process=documents.ProcessDocument(
                command=spec.command,
                cwd=names.CODE_DIR,
                environment=names.ENV_DIR,
                env={"HEKATON_REVISION": spec.name, **spec.env},
                secrets=dict(spec.secrets),
                mounts=tuple(mounts),
                limits=documents.Limits(
                    cpu_m=spec.resources.cpu_m, memory_bytes=spec.resources.memory_bytes
                ),
            ),
            probe=documents.Probe(
                path=spec.probe.path,
                timeout_s=spec.probe.timeout_s,
                period_s=spec.probe.period_s,
                startup_s=spec.probe.startup_s,
            ),
            scale=documents.Scale(
                min=spec.scale.min,
                max=spec.scale.max,
                concurrency=min(MAX_CONCURRENCY, max(1, spec.scale.target)),
                idle_s=spec.scale.idle_s,
            ),
            timeout_s=spec.timeout_s,
            keep_warm=spec.keep_warm,
            log_dir=str(local_path(spec.log_key)),
        )

    def _revision(self, found: documents.RevisionObservation, node_id: str) -> RevisionObservation:
        ready = [r for r in found.replicas if r.state == "ready"]
        return RevisionObservation(
            uid=found.uid,
            state=found.state,
            reason=found.reason,
            message=found.message,
            last_log=self._last_log(found),
            replicas=tuple(
                Replica(
                    uid=r.uid,
                    state=r.state,
                    node_id=node_id,
                    address=r.address,
                    started_at=r.started_at,
                    ready_at=r.ready_at,
                    restarts=r.restarts,
                    rss_bytes=r.rss_bytes,
                    message=r.message,
                )
                for r in found.replicas
            ),
            decision=_decision(found.decision) if found.decision else None,
            stats=Stats(
                epoch=found.stats.epoch,
                requests=found.stats.requests,
                errors=found.stats.errors,
                in_flight=found.stats.in_flight,
                latency_buckets=dict(found.stats.latency_buckets),
                cold_starts=found.stats.cold_starts,
            ),
            probe_address=f"http://{ready[0].address}" if ready else None,
        )

    def _last_log(self, found: documents.RevisionObservation) -> tuple[str, ...]:
        """The last lines of the newest replica, where the revision is not well."""
        if not found.reason or not found.log_dir or not found.replicas:
            return ()
        newest = max(found.replicas, key=lambda r: (r.state == "exited", r.uid))
        return logs.tail(logs.Folder(f"{found.log_dir}/{newest.uid}"), LAST_LINES)


def _route(spec: EndpointSpec) -> str | None:
    if not spec.public_route:
        return None
    return f"/e/{spec.team}/{spec.project}/{spec.name}"


def _decision(found: documents.ScaleDecision) -> Decision:
    return Decision(
        at=found.at,
        wanted=found.wanted,
        observed=found.observed,
        target=found.target,
        window=found.window,
        bound=found.bound,
        message=found.message,
    )
