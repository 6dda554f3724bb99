#!/bin/bash
# Makes a fresh Debian 12 machine able to run `python -m infra.deploy`, then runs it with the words given
# (none: it stops after the installation). Done again with nothing to do, it takes a fraction of a second.
set -euo pipefail

say() { printf '%s\n' "$*" >&2; }
fail() { say "✗ $*"; exit 1; }

if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || fail "This needs root, and sudo is not installed. Run it as root."
  exec sudo -E -- "$0" "$@"
fi

cd "$(dirname "$(readlink -f "$0")")/../.."
python=/usr/bin/python3
venv=.venv
lock=requirements/dev.txt
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Runs a command quietly; when it fails, shows how it ended and says what to do.
quietly() {
  local mend=$1
  shift
  "$@" >"$log" 2>&1 </dev/null || { tail -n 15 "$log" >&2; fail "$1 failed. $mend"; }
}

install_packages() {
  local wanted missing
  mapfile -t wanted < <(grep -Ev '^[[:space:]]*(#|$)' infra/deploy/packages.txt)
  mapfile -t missing < <(comm -23 <(printf '%s\n' "${wanted[@]}" | sort) \
    <(dpkg-query --show --showformat '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p' | sort -u))
  [ "${#missing[@]}" -eq 0 ] && return
  say "· installing Debian packages (some minutes): ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  quietly "Check the machine's network and /etc/apt/sources.list." apt-get update
  quietly "Install by hand what it names, then run this again." \
    apt-get install --yes --no-install-recommends "${missing[@]}"
}

make_venv() {
  local hash
  hash=$(sha256sum <"$lock" | cut -d' ' -f1)
  [ "$(cat "$venv/.lock" 2>/dev/null)" = "$hash" ] && return
  say "· bringing $venv to $lock (some minutes)"
  # What runs from a sound environment goes on while it is brought up to date in place.
  "$venv/bin/python" -m pip --version >/dev/null 2>&1 ||
    quietly "Is the package python3-venv complete?" "$python" -m venv --clear "$venv"
  quietly "Can this machine reach a Python package index?" \
    "$venv/bin/pip" install --disable-pip-version-check --require-hashes --no-deps -r "$lock"
  printf '%s\n' "$hash" >"$venv/.lock"
}

# In a function, so that bash has read it all: the file may be replaced while this runs.
main() {
  command -v apt-get >/dev/null || fail "This is no Debian: apt-get is missing. See docs/installation.md."
  install_packages
  make_venv
  rm -f "$log"
  [ "$#" -eq 0 ] || exec "$venv/bin/python" -m infra.deploy "$@"
  exit 0
}
main "$@"
