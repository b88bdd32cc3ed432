#!/bin/sh
# Make the virtual environment, with one clear sentence for each thing that can be missing.
set -eu
python=$1 venv=$2
fail() { echo "Cannot set up: $1" >&2; exit 1; }
command -v "$python" >/dev/null 2>&1 || fail "there is no $python; install Python 3.11 or newer."
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
    fail "$($python -V) is too old; install Python 3.11 or newer, or run make PYTHON=/path/to/python3.11."
"$python" -c 'import venv, ensurepip' 2>/dev/null || \
    fail "Python's venv module is missing; on Debian: apt-get install python3-venv."
free=$(df -Pk . | awk 'NR==2 {print $4}')
[ "$free" -gt 2000000 ] || fail "only $((free / 1024)) MiB are free here; 2000 MiB are needed."
echo "Making the virtual environment ..."
"$python" -m venv "$venv"
log=$(mktemp)
if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check uv >"$log" 2>&1; then
    tail -n 3 "$log" >&2
    fail "the package index cannot be reached, or refused; is there a network?"
fi
rm -f "$log"
