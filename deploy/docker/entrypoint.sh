#!/bin/sh
# The image's roles. `exec`, so that the process gets the container's signals itself.
set -eu
role=${1:-web}
[ $# -eq 0 ] || shift
home=${PORTAL_HOME:-/var/lib/hekatoncheir}
note() { printf '%s' "$1" >/tmp/hekaton-role; }

# A role's pulse: an answer over HTTP or the socket where there is one, else a living process.
health() {
    case $(cat /tmp/hekaton-role 2>/dev/null || echo none) in
    web) url=http://127.0.0.1:${PORTAL_PORT:-8000}/livez
        host=${PORTAL_HOSTS:-localhost}
        python -c 'import sys, httpx
httpx.get(sys.argv[1], headers={"Host": sys.argv[2]}, timeout=4).raise_for_status()' "$url" "${host%%,*}" ;;
    node) python -c 'import sys
from pathlib import Path
from node.client import NodeClient
from node.config import runtime_folder
NodeClient(runtime_folder(Path(sys.argv[1])) / "node.sock").info()' "$home" ;;
    *) kill -0 1 ;;
    esac
}

case $role in
web)
    note web
    exec python -m uvicorn portal.asgi:application --host 0.0.0.0 --port "${PORTAL_PORT:-8000}" \
        --no-access-log --log-level warning --lifespan off --no-server-header \
        --timeout-graceful-shutdown 20 "$@" ;;
worker)
    note worker
    exec python -m celery -q -A portal worker -P threads -c "${PORTAL_WORKER_THREADS:-4}" \
        --loglevel warning --without-gossip --without-mingle --without-heartbeat "$@" ;;
scheduler) note scheduler; exec python manage.py scheduler "$@" ;;
node)
    note node
    exec python -m node --home "$home" --gateway-host 0.0.0.0 \
        --gateway-port "${PORTAL_GATEWAY_PORT:-8080}" --gateway-url "${PORTAL_GATEWAY_URL:-}" "$@" ;;
migrate) exec python manage.py migrate --no-input "$@" ;;
manage) exec python manage.py "$@" ;;
health) health ;;
*)
    echo "Unknown role $role: use web, worker, scheduler, node, migrate, manage or health." >&2
    exit 64 ;;
esac
