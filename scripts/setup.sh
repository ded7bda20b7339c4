#!/usr/bin/env bash
# Installs what the tests need and says what it cannot install. Quick when everything is there.
set -euo pipefail

# Command and the Debian package that brings it.
needed=(redis-server:redis-server redis-cli:redis-tools promtool:prometheus valkey-server:valkey-server)

missing=()
for entry in "${needed[@]}"; do
    command -v "${entry%%:*}" >/dev/null || missing+=("${entry##*:}")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
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
    # shellcheck source=/dev/null
    release=$(. /etc/os-release && echo "$VERSION_CODENAME")
    echo "deb $(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | head -n 1) $release-backports main" |
        "${as_root[@]}" tee /etc/apt/sources.list.d/pump-tests-backports.list >/dev/null
    "${as_root[@]}" apt-get update -qq
fi
# Their services stay off: the tests start servers of their own, on free ports.
"${as_root[@]}" env RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
