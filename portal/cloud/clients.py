"""Google Cloud clients: one factory a service, with explicit endpoint, credentials and timeouts.

The packages are imported when the first client is made (they cost seconds and are an extra).
`errors()` puts Google's errors into ours; every call to a client stands inside it.

Source: https://google.aip.dev/client-libraries/4110 (application default credentials),
https://cloud.google.com/apis/design/errors (canonical codes).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from typing import Any

from portal.core.errors import PermanentError, TransientError

SCOPE = "https://www.googleapis.com/auth/cloud-platform"


@dataclass(frozen=True, kw_only=True)
class Google:
    """Which project, where, and as whom.

    Without `credentials_file` the application default credentials are used (workload identity on
    GKE). `endpoints` maps a service ("cloudbuild", "storage", ...) to an address of its own:
    `host:port` for gRPC services, a URL for storage. `anonymous` is for emulators: no credentials
    and no TLS.
    """

    project: str
    location: str = "us-central1"
    credentials_file: str = ""
    quota_project: str = ""
    endpoints: tuple[tuple[str, str], ...] = field(default=())
    anonymous: bool = False
    timeout_s: float = 30.0

    def endpoint(self, service: str) -> str:
        return dict(self.endpoints).get(service, "")

    @property
    def parent(self) -> str:
        return f"projects/{self.project}/locations/{self.location}"


def read_google(given: Mapping[str, Any]) -> Google:
    """From a settings dictionary.

    Raises:
        ValueError: an unknown or missing key, named.
    """
    values = dict(given)
    values["endpoints"] = tuple(sorted(dict(values.get("endpoints") or {}).items()))
    try:
        return Google(**values)
    except TypeError as error:
        raise ValueError(f"google: {error}") from error


@lru_cache(maxsize=16)
def cloud_build(google: Google) -> Any:
    return _grpc_client(
        google, "cloudbuild", "google.cloud.devtools.cloudbuild_v1", "CloudBuildClient",
        "services.cloud_build.transports", "CloudBuildGrpcTransport",
    )  # fmt: skip


@lru_cache(maxsize=16)
def artifact_registry(google: Google) -> Any:
    return _grpc_client(
        google, "artifactregistry", "google.cloud.artifactregistry_v1", "ArtifactRegistryClient",
        "services.artifact_registry.transports", "ArtifactRegistryGrpcTransport",
    )  # fmt: skip


@lru_cache(maxsize=16)
def vertex_jobs(google: Google) -> Any:
    return _grpc_client(
        google, "aiplatform", "google.cloud.aiplatform_v1", "JobServiceClient",
        "services.job_service.transports", "JobServiceGrpcTransport",
        default=f"{google.location}-aiplatform.googleapis.com",
    )  # fmt: skip


@lru_cache(maxsize=16)
def vertex_pipelines(google: Google) -> Any:
    return _grpc_client(
        google, "aiplatform", "google.cloud.aiplatform_v1", "PipelineServiceClient",
        "services.pipeline_service.transports", "PipelineServiceGrpcTransport",
        default=f"{google.location}-aiplatform.googleapis.com",
    )  # fmt: skip


@lru_cache(maxsize=16)
def publisher(google: Google) -> Any:
    return _grpc_client(
        google, "pubsub", "google.pubsub_v1", "PublisherClient",
        "services.publisher.transports", "PublisherGrpcTransport",
    )  # fmt: skip


@lru_cache(maxsize=16)
def subscriber(google: Google) -> Any:
    return _grpc_client(
        google, "pubsub", "google.pubsub_v1", "SubscriberClient",
        "services.subscriber.transports", "SubscriberGrpcTransport",
    )  # fmt: skip


@lru_cache(maxsize=16)
def storage(google: Google) -> Any:
    """A `google.cloud.storage.Client`."""
    module = _module("google.cloud.storage")
    endpoint = google.endpoint("storage")
    options: dict[str, Any] = {"project": google.project}
    if endpoint:
        options["client_options"] = {"api_endpoint": endpoint}
    if google.quota_project:
        options.setdefault("client_options", {})["quota_project_id"] = google.quota_project
    with errors("sign in to Google Cloud"):
        return module.Client(credentials=_credentials(google), **options)


def access_token(google: Google) -> str:
    """A fresh OAuth access token, for what speaks HTTP with Google itself (registries).

    Raises:
        PermanentError, TransientError: there are no credentials, or they cannot be refreshed.
    """
    with errors("get an access token"):
        credentials = _credentials(google)
        if not getattr(credentials, "token", None) or credentials.expired:
            credentials.refresh(_module("google.auth.transport.requests").Request())
        return str(credentials.token)


def retry(timeout_s: float) -> Any:
    """For calls that may be repeated: again on UNAVAILABLE and the like, until the timeout."""
    exceptions = _module("google.api_core.exceptions")
    module = _module("google.api_core.retry")
    again = module.if_exception_type(
        exceptions.ServiceUnavailable, exceptions.InternalServerError, exceptions.TooManyRequests
    )
    return module.Retry(predicate=again, initial=0.2, maximum=5.0, timeout=timeout_s)


@contextmanager
def errors(what: str, *, roles: str = "") -> Iterator[None]:
    """Google's errors as PermanentError or TransientError. `what` completes "cannot ..."; `roles`
    names what an operator grants when permission is missing."""
    exceptions = _module("google.api_core.exceptions")
    auth = _module("google.auth.exceptions")
    try:
        yield
    except exceptions.RetryError as error:
        raise _translated(error.cause, what, roles, exceptions) from error
    except exceptions.GoogleAPICallError as error:
        raise _translated(error, what, roles, exceptions) from error
    except auth.TransportError as error:
        raise TransientError(f"Google Cloud cannot be reached: cannot {what}: {error}") from error
    except auth.GoogleAuthError as error:
        raise PermanentError(
            f"There are no usable Google Cloud credentials: cannot {what}: {error}. Set "
            "credentials_file, GOOGLE_APPLICATION_CREDENTIALS or workload identity.",
            reason="NoCredentials",
        ) from error
    except (ConnectionError, TimeoutError) as error:
        raise TransientError(f"Google Cloud cannot be reached: cannot {what}: {error}") from error


def _translated(
    error: Any, what: str, roles: str, exceptions: Any
) -> PermanentError | TransientError:
    said = getattr(error, "message", None) or str(error)
    if isinstance(error, exceptions.Forbidden | exceptions.Unauthorized):
        hint = f" Grant {roles} to the portal's service account." if roles else ""
        return PermanentError(
            f"Google Cloud does not allow the portal to {what}: {said}.{hint}",
            reason="PermissionDenied",
        )
    if isinstance(error, exceptions.TooManyRequests):
        return TransientError(
            f"A Google Cloud quota is used up, so the portal cannot {what} now: {said}",
            reason="QuotaExceeded",
            retry_after=60.0,
        )
    if isinstance(error, exceptions.ServerError | exceptions.Aborted):
        return TransientError(f"Google Cloud failed: cannot {what}: {said}", reason="CloudFailed")
    reason = "NotFound" if isinstance(error, exceptions.NotFound) else "CloudRefused"
    return PermanentError(f"Google Cloud refused: cannot {what}: {said}", reason=reason)


def _grpc_client(
    google: Google, service: str, module: str, client: str, transports: str, transport: str,
    *, default: str = "",
) -> Any:  # fmt: skip
    package = _module(module)
    endpoint = google.endpoint(service) or default
    make: Callable[..., Any] = getattr(package, client)
    if google.anonymous:
        channel = _module("grpc").insecure_channel(endpoint)
        kind = getattr(_module(f"{module}.{transports}"), transport)
        return make(transport=kind(channel=channel))
    options: dict[str, Any] = {}
    if endpoint:
        options["api_endpoint"] = endpoint
    if google.quota_project:
        options["quota_project_id"] = google.quota_project
    with errors("sign in to Google Cloud"):
        return make(credentials=_credentials(google), client_options=options)


@lru_cache(maxsize=16)
def _credentials(google: Google) -> Any:
    if google.anonymous:
        return _module("google.auth.credentials").AnonymousCredentials()
    auth = _module("google.auth")
    if google.credentials_file:
        found, _ = auth.load_credentials_from_file(google.credentials_file, scopes=[SCOPE])
    else:
        found, _ = auth.default(scopes=[SCOPE])
    return found


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise PermanentError(
            "Google Cloud needs packages that are not installed: install hekatoncheir[gcp].",
            reason="PackageMissing",
        ) from error
