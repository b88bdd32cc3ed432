"""All settings, read from the environment through `portal.env`, with safe embedded defaults.

`PORTAL_PRODUCTION=1` makes the secrets and addresses mandatory and refuses DEBUG.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from node.config import runtime_folder
from portal import env as environment
from portal.core.crypto_keys import create_key_file, create_text_secret

BASE_DIR = Path(__file__).resolve().parent.parent
env = environment.Environment()

PRODUCTION = env.flag("PORTAL_PRODUCTION")
DEBUG = env.flag("PORTAL_DEBUG")
HOME = Path(env.text("PORTAL_HOME", str(BASE_DIR / "var"))).resolve()
HOME.mkdir(parents=True, exist_ok=True)
RUNTIME = runtime_folder(HOME)
PORT = env.integer("PORTAL_PORT", 8000)
GATEWAY_PORT = env.integer("PORTAL_GATEWAY_PORT", 8080)
BIND = env.text("PORTAL_BIND", "127.0.0.1")

if PRODUCTION:
    SECRET_KEY = env.required("PORTAL_SECRET_KEY", "sessions are signed with it")
    ALLOWED_HOSTS = env.listing("PORTAL_HOSTS")
    if not ALLOWED_HOSTS:
        env.problems.append("PORTAL_HOSTS is missing: the host names that browsers use.")
    DATABASE_URL = env.required("DATABASE_URL", "a production portal needs MySQL or MariaDB")
    REDIS_URL = env.required("REDIS_URL", "the queue and live updates need it")
    SECRETS_KEY_FILE = env.required(
        "PORTAL_SECRETS_KEY_FILE", "project secrets are encrypted with it"
    )
    if DEBUG:
        env.problems.append("PORTAL_DEBUG is on; it must be off in production.")
    if SECRET_KEY and len(SECRET_KEY) < 32:
        env.problems.append("PORTAL_SECRET_KEY is too short; use 50 random characters.")
else:
    SECRET_KEY = env.text("PORTAL_SECRET_KEY") or create_text_secret(
        HOME / "keys" / "django-secret", lambda: secrets.token_urlsafe(50)
    )
    ALLOWED_HOSTS = env.listing("PORTAL_HOSTS", ("127.0.0.1", "localhost", "[::1]"))
    DATABASE_URL = env.text("DATABASE_URL", f"sqlite:///{HOME / 'portal.sqlite3'}")
    REDIS_URL = env.text("REDIS_URL", f"unix://{RUNTIME / 'valkey.sock'}")
    SECRETS_KEY_FILE = env.text("PORTAL_SECRETS_KEY_FILE", str(HOME / "keys" / "fernet.keys"))
    create_key_file(Path(SECRETS_KEY_FILE))

URL = env.text("PORTAL_URL", f"http://127.0.0.1:{PORT}").rstrip("/")
GATEWAY_URL = env.text("PORTAL_GATEWAY_URL", f"http://127.0.0.1:{GATEWAY_PORT}").rstrip("/")
ENDPOINT_KEY_FILE = env.text("PORTAL_ENDPOINT_KEY_FILE", str(HOME / "keys" / "endpoint-es256.pem"))
SECURE = URL.startswith("https://")

# Django ------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "social_django",
    "portal.core",
    "portal.accounts",
    "portal.projects",
    "pipelines",
    "serving",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "portal.core.middleware.SecurityHeaders",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "portal.accounts.middleware.SessionEpoch",
    "django.contrib.messages.middleware.MessageMiddleware",
    "social_django.middleware.SocialAuthExceptionMiddleware",
]
ROOT_URLCONF = "portal.urls"
ASGI_APPLICATION = "portal.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "portal" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES: dict[str, dict[str, Any]] = {"default": environment.database(DATABASE_URL, env.problems)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
USE_I18N = False
APPEND_SLASH = False
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FILES = 20_000
FILE_UPLOAD_TEMP_DIR = str(HOME / "uploads")
Path(FILE_UPLOAD_TEMP_DIR).mkdir(exist_ok=True)
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

# Assets: frontend/dist holds index.html and hashed files under /assets.
FRONTEND_DIST = Path(env.text("PORTAL_FRONTEND_DIST", str(BASE_DIR / "frontend" / "dist")))
STATIC_URL = "/static/"
STATIC_ROOT = HOME / "static"
STATIC_ROOT.mkdir(exist_ok=True)
WHITENOISE_ROOT = FRONTEND_DIST if FRONTEND_DIST.is_dir() else None
WHITENOISE_INDEX_FILE = False
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
WHITENOISE_IMMUTABLE_FILE_TEST = r"^/assets/.+-[\w-]{8}\.\w+$"

# Security ----------------------------------------------------------------------------------

SESSION_COOKIE_NAME = "hekaton_session"
CSRF_COOKIE_NAME = "hekaton_csrf"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 14 * 86400
SESSION_SAVE_EVERY_REQUEST = False
CSRF_TRUSTED_ORIGINS = [URL] if "://" in URL else []
CSRF_FAILURE_VIEW = "portal.core.api.problems.csrf_failure"
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_SSL_REDIRECT = PRODUCTION and SECURE and not env.flag("PORTAL_BEHIND_PROXY", True)
SECURE_HSTS_SECONDS = 31536000 if SECURE else 0
if env.flag("PORTAL_BEHIND_PROXY", PRODUCTION):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

# Sign-in -----------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS: list[dict[str, Any]] = []
LOGIN_URL = "/sign-in"
LOGIN_REDIRECT_URL = "/"
LOGIN_ERROR_URL = "/sign-in"
SOCIAL_AUTH_LOGIN_ERROR_URL = "/sign-in?error=refused"
SOCIAL_AUTH_URL_NAMESPACE = "social"
SOCIAL_AUTH_JSONFIELD_ENABLED = True
SOCIAL_AUTH_SANITIZE_REDIRECTS = True
SOCIAL_AUTH_REDIRECT_IS_HTTPS = SECURE
SOCIAL_AUTH_PROTECTED_USER_FIELDS = ["username", "is_operator", "is_staff", "is_superuser"]
SOCIAL_AUTH_PIPELINE = (
    "social_core.pipeline.social_auth.social_details",
    "social_core.pipeline.social_auth.social_uid",
    "portal.accounts.sign_in.check_allowed",
    "social_core.pipeline.social_auth.social_user",
    "portal.accounts.sign_in.associate_by_verified_email",
    "social_core.pipeline.user.get_username",
    "social_core.pipeline.user.create_user",
    "social_core.pipeline.social_auth.associate_user",
    "social_core.pipeline.social_auth.load_extra_data",
    "social_core.pipeline.user.user_details",
    "portal.accounts.sign_in.apply_groups",
    "portal.accounts.sign_in.record",
)
SIGN_IN_METHODS: list[dict[str, str]] = []
if env.text("PORTAL_OIDC_ENDPOINT"):
    AUTHENTICATION_BACKENDS.insert(0, "portal.accounts.oidc.CompanyOpenIdConnect")
    SOCIAL_AUTH_COMPANY_OIDC_ENDPOINT = env.text("PORTAL_OIDC_ENDPOINT").rstrip("/")
    SOCIAL_AUTH_COMPANY_KEY = env.required("PORTAL_OIDC_CLIENT_ID", "PORTAL_OIDC_ENDPOINT is set")
    SOCIAL_AUTH_COMPANY_SECRET = env.required(
        "PORTAL_OIDC_CLIENT_SECRET", "PORTAL_OIDC_ENDPOINT is set"
    )
    SIGN_IN_METHODS.append(
        {"id": "company", "name": env.text("PORTAL_OIDC_NAME", "your company account")}
    )
for _id, _name, _backend, _setting in (
    ("google-oauth2", "Google", "social_core.backends.google.GoogleOAuth2", "GOOGLE_OAUTH2"),
    ("github", "GitHub", "social_core.backends.github.GithubOAuth2", "GITHUB"),
):
    _variable = _setting.split("_")[0]
    if env.text(f"PORTAL_{_variable}_CLIENT_ID"):
        AUTHENTICATION_BACKENDS.insert(0, _backend)
        globals()[f"SOCIAL_AUTH_{_setting}_KEY"] = env.text(f"PORTAL_{_variable}_CLIENT_ID")
        globals()[f"SOCIAL_AUTH_{_setting}_SECRET"] = env.required(
            f"PORTAL_{_variable}_CLIENT_SECRET", f"PORTAL_{_variable}_CLIENT_ID is set"
        )
        globals()[f"SOCIAL_AUTH_{_setting}_SCOPE"] = (
            ["user:email", "read:org"] if _id == "github" else ["openid", "email", "profile"]
        )
        SIGN_IN_METHODS.append({"id": _id, "name": _name})
SIGN_IN_DOMAINS = [d.lower() for d in env.listing("PORTAL_SIGN_IN_DOMAINS")]
SIGN_IN_GROUPS = env.listing("PORTAL_SIGN_IN_GROUPS")
SIGN_IN_GROUPS_CLAIM = env.text("PORTAL_SIGN_IN_GROUPS_CLAIM", "groups")
# "group=team:role" pairs, and "group=operator".
SIGN_IN_GROUP_ROLES = env.listing("PORTAL_SIGN_IN_GROUP_ROLES")
if PRODUCTION and not SIGN_IN_METHODS:
    env.problems.append(
        "No sign-in is configured: set PORTAL_OIDC_ENDPOINT, PORTAL_GOOGLE_CLIENT_ID or "
        "PORTAL_GITHUB_CLIENT_ID."
    )

# API ---------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "portal.accounts.api.authentication.TokenAuthentication",
        "portal.accounts.api.authentication.BrowserSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": [
        "rest_framework.parsers.JSONParser",
        "rest_framework.parsers.MultiPartParser",
    ],
    "DEFAULT_PAGINATION_CLASS": "portal.core.api.pagination.KeyPagination",
    "DEFAULT_FILTER_BACKENDS": [
        "django_filters.rest_framework.DjangoFilterBackend",
        "rest_framework.filters.SearchFilter",
    ],
    "DEFAULT_SCHEMA_CLASS": "portal.core.api.schema.PortalSchema",
    "DEFAULT_THROTTLE_CLASSES": ["portal.core.api.throttling.PrincipalThrottle"],
    "DEFAULT_THROTTLE_RATES": {"principal": env.text("PORTAL_RATE_LIMIT", "6000/min")},
    "EXCEPTION_HANDLER": "portal.core.api.problems.handle",
    "UNAUTHENTICATED_USER": None,
    "COERCE_DECIMAL_TO_STRING": False,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Hekatoncheir",
    "DESCRIPTION": "From a data scientist's code to a verified, authenticated, autoscaled web API.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1/",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_ADD_EXPLICIT_BLANK_NULL_CHOICE": False,
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums"],
    "ENUM_NAME_OVERRIDES": {},
}

# Queue -------------------------------------------------------------------------------------

CELERY_BROKER_URL = (
    REDIS_URL.replace("unix://", "redis+socket://", 1)
    if REDIS_URL.startswith("unix://")
    else REDIS_URL
)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_STORE_ERRORS_EVEN_IF_IGNORED = False
CELERY_TASK_SOFT_TIME_LIMIT = 120
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_TIMEOUT = 0.2
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_timeout": 5,
    "socket_connect_timeout": 0.2,
    "visibility_timeout": 3600,
}
CELERY_TASK_PUBLISH_RETRY = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
WORKER_THREADS = env.integer("PORTAL_WORKER_THREADS", 4)
SWEEP_S = 2.0
PORTAL_SWEEPS = ["pipelines.tasks.sweep", "serving.tasks.sweep"]
PORTAL_NODE_EVENTS = ["pipelines.tasks.node_event", "serving.tasks.node_event"]
PORTAL_STATUS_PARTS = ["pipelines.status.parts", "serving.status.parts"]

# Backends ----------------------------------------------------------------------------------

OBJECT_STORAGE: dict[str, Any] = {
    "class": "portal.core.storage.FolderStorage",
    "root": env.text("PORTAL_OBJECTS", str(HOME / "objects")),
}
_backend_file = env.text("PORTAL_BACKENDS_FILE")
_backends = environment.backends_file(_backend_file, env.problems)
OBJECT_STORAGE = _backends.get("storage", OBJECT_STORAGE)
PIPELINES: dict[str, Any] = {
    "EXECUTOR": _backends.get("executor", "local"),
    "EXECUTORS": {
        "local": {"class": "pipelines.executors.local.LocalExecutor", "home": str(HOME)},
        **_backends.get("executors", {}),
    },
    "BUILDER": _backends.get("builder", "local"),
    "BUILDERS": {
        "local": {"class": "pipelines.builders.local.adapter.LocalBuilder", "home": str(HOME)},
        **_backends.get("builders", {}),
    },
    "STEP_HANDLERS": {
        "verify": "serving.handlers.VerifyHandler",
        "deploy": "serving.handlers.DeployHandler",
    },
    "PLATFORM_RETRIES": 3,
    "CACHE": True,
}
SERVING: dict[str, Any] = {
    "BACKEND": _backends.get("backend", "local"),
    "BACKENDS": {
        "local": {"class": "serving.backends.local.LocalBackend", "home": str(HOME)},
        **_backends.get("backends", {}),
    },
    "KEEP_WARM_S": env.integer("PORTAL_KEEP_WARM_S", 3600),
    "KEPT_REVISIONS": env.integer("PORTAL_KEPT_REVISIONS", 10),
}

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "{levelname[0]} {name}: {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["stderr"], "level": env.text("PORTAL_LOG_LEVEL", "INFO")},
    "loggers": {
        "httpx": {"level": "WARNING"},
        "django.request": {"level": "ERROR"},
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
    },
}

env.check()
