#!/usr/bin/env bash
# Installs what demo, tests and benchmarks need and the machine lacks, from Debian's packages, and says what and why.
# Nothing is started: the packages' own services stay off, since every test starts servers of its own in temp folders.
# usage: setup.sh [bench]      as root or with sudo
set -euo pipefail

# package, what it is there for
wanted=(
  "build-essential  the C compiler that links Rust programs"
  "git              to fetch the sources"
  "curl             to look at the pages"
  "openssl          the certificates that tests serve"
  "postgresql-15    the real server of demo and tests, pgbench"
  "prometheus       the real Prometheus of demo and tests, promtool"
  "prometheus-alertmanager the real Alertmanager of demo and tests, amtool"
)
[ "${1:-}" = bench ] && wanted+=("prometheus-postgres-exporter the peer that the benchmark measures beside ours")

if ! command -v cargo >/dev/null; then
  if [ -x "$HOME/.cargo/bin/cargo" ]; then
    echo "set-up: cargo is installed but not on PATH; run: . \"\$HOME/.cargo/env\"" >&2
  else
    echo "set-up: Rust is missing; install it from https://rustup.rs and run this again" >&2
  fi
  exit 1
fi

# The benchmark measures the peer's newest release where Go can build it, else Debian's package.
if [ "${1:-}" = bench ] && command -v go >/dev/null; then
  peers=$(realpath -m "${CARGO_TARGET_DIR:-target}/peers")
  if [ ! -x "$peers/postgres_exporter" ]; then
    if GOBIN=$peers timeout 600 go install github.com/prometheus-community/postgres_exporter/cmd/postgres_exporter@latest >/dev/null 2>&1; then
      echo "set-up: built the newest postgres_exporter, which the benchmark measures beside ours, in $peers"
    fi
  fi
fi

missing=()
if ! command -v dpkg-query >/dev/null; then
  for program in cc git curl openssl /usr/lib/postgresql/15/bin/postgres prometheus promtool prometheus-alertmanager; do
    command -v "$program" >/dev/null || missing+=("$program")
  done
  [ ${#missing[@]} -eq 0 ] && exit 0
  echo "set-up: this is not Debian; please install: ${missing[*]}" >&2
  exit 1
fi

for line in "${wanted[@]}"; do
  read -r package why <<<"$line"
  if [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
    [ ${#missing[@]} -eq 0 ] && echo "set-up: installing with apt:"
    printf '  %-30s %s\n' "$package" "$why"
    missing+=("$package")
  fi
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "set-up: nothing to install"
  exit 0
fi

root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "set-up: run this as root or install sudo" >&2
    exit 1
  fi
  root=(sudo)
fi

# Debian asks this program before a package starts its service: 101 is no. The machine's own one comes back after.
policy=/usr/sbin/policy-rc.d
kept=$policy.before-sage
restore() {
  if [ -e "$kept" ]; then "${root[@]}" mv -f "$kept" "$policy"; else "${root[@]}" rm -f "$policy"; fi
}
if [ -e "$policy" ]; then "${root[@]}" mv -f "$policy" "$kept"; fi
trap restore EXIT
printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$policy" >/dev/null
"${root[@]}" chmod 755 "$policy"

apt=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0)
"${apt[@]}" update
"${apt[@]}" install --no-install-recommends "${missing[@]}"

# Nor at the next boot, where systemd would start what has just been installed.
if [ -d /run/systemd/system ]; then
  for unit in postgresql prometheus prometheus-alertmanager prometheus-postgres-exporter; do
    for package in "${missing[@]}"; do
      case $package in
        "$unit" | "$unit"-15) "${root[@]}" systemctl disable --now "$unit.service" && echo "set-up: $unit.service is off" ;;
      esac
    done
  done
fi
