#!/usr/bin/env bash
# Installs what the tests need and says what it cannot install. Quick when everything is there.
#
#   scripts/setup.sh           for `make test`
#   scripts/setup.sh chaos     for `make chaos` as well
set -euo pipefail
cd "$(dirname "$0")"

# Command and the Debian package that brings it.
needed=(redis-server:redis-server redis-cli:redis-tools promtool:prometheus valkey-server:valkey-server
    java:default-jre-headless javac:default-jdk-headless mvn:maven)

packages() {
    local missing=() as_root=()
    for entry in "${needed[@]}"; do
        command -v "${entry%%:*}" >/dev/null || missing+=("${entry##*:}")
    done
    [ ${#missing[@]} -eq 0 ] && return
    if [ "$(id -u)" -ne 0 ]; then
        as_root=(sudo --non-interactive)
    fi
    if ! command -v apt-get >/dev/null || { [ "$(id -u)" -ne 0 ] && ! sudo --non-interactive true 2>/dev/null; }; then
        echo "the tests need these packages, and this script may not install them: ${missing[*]}" >&2
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

# A search server: its libraries from Maven, and a small main class that starts one node of it.
search_server() {
    local name=$1 version=$2 target=$cache/$1-$2
    [ -d "$target" ] && return
    echo "installing $name $version"
    mkdir -p "$cache"
    local work
    work=$(mktemp -d "$cache/.$name.XXXXXX")
    cp "$name"/* "$work"
    if ! (cd "$work" && mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib && javac -cp 'lib/*' SearchNode.java) >"$work/log" 2>&1; then
        cat "$work/log" >&2
        echo "$name $version cannot be installed: mvn must reach its repository" >&2
        rm -rf "$work"
        exit 1
    fi
    # Whole or not at all; who was faster is as good.
    mv -T "$work" "$target" 2>/dev/null || rm -rf "$work"
    [ -d "$target" ] || { echo "$name $version cannot be put into $cache" >&2; exit 1; }
}

packages
search_server opensearch 2.19.1
if [ "${1:-}" = chaos ]; then
    search_server elasticsearch 7.17.29
fi
