#!/bin/sh
# Install a locked requirements file (hashes checked, wheels alone) and the command line tool.
set -eu
venv=$1 file=$2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
wheels="--only-binary :all:"
[ "$file" = requirements.txt ] || wheels=""
# shellcheck disable=SC2086
if ! "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --require-hashes $wheels -r "$file" >"$log" 2>&1; then
    cat "$log" >&2
    echo "Cannot set up: the packages of $file cannot be installed (see above); is there a network?" >&2
    exit 1
fi
"$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --no-deps -e ./cli >"$log" 2>&1 || {
    cat "$log" >&2
    echo "Cannot set up: the command line tool cannot be installed (see above)." >&2
    exit 1
}
