#!/bin/sh
# System packages that only tests need. Where this is not root on Debian, those tests are skipped,
# loudly; in CI such a skip is a failure (tests/conftest.py).
set -eu
packages="mariadb-server libmariadb-dev pkg-config build-essential chromium fonts-liberation fonts-noto-cjk docker-registry redis-server"
missing=""
for package in $packages; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q "ok installed" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "Not installed (needs root on Debian):$missing. The tests that need them will be skipped." >&2
    exit 0
fi
echo "Installing for the tests:$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing >/dev/null
