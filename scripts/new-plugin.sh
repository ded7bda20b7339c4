#!/usr/bin/env bash
# A new sink or source, such that it compiles, runs and passes its tests, with what is to be filled in marked FILL IN.
#
#   scripts/new-plugin.sh sink NAME
#   scripts/new-plugin.sh source NAME
#
# Everything is written beside the project first and moved into it at the end: either all of it is there, or nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    echo "error: $*" >&2
    exit 2
}

what=${1:-} name=${2:-}
case $what in
    sink | source) ;;
    *) fail "say \`sink\` or \`source\`" ;;
esac
[ -n "$name" ] || fail "say its name: make new-$what NAME=my_$what"
[[ $name =~ ^[a-z][a-z0-9_]{0,31}$ ]] ||
    fail "\`$name\` is no name of a plugin: small letters, digits and \`_\`, a letter first, 32 at the most"
[[ " as async await box break const continue crate do dyn else enum extern false final fn for gen if impl in let loop \
macro match mod move mut override priv pub ref return self static struct super trait true try type typeof unsafe \
unsized use virtual where while yield default test tests core std zstd " != *" $name "* ]] || fail "\`$name\` is taken: it means something else in Rust or in the manifests"

crate=${what}s
if [ "$what" = sink ]; then example=configs/demo-to-$name.yaml; else example=configs/$name-to-stdout.yaml; fi
for path in "$crate/src/$name" "$crate/src/$name.rs" "docs/$crate/$name.md" "$example"; do
    [ ! -e "$path" ] || fail "$path is there already: choose another name"
done
for manifest in Cargo.toml "$crate/Cargo.toml"; do
    ! grep -q "^$name = " "$manifest" || fail "$manifest has something of the name \`$name\`: choose another"
done
! grep -Eq "mod $name;" "$crate/src/lib.rs" || fail "$crate/src/lib.rs has a module \`$name\`: choose another name"

# redis_hash is RedisHash in Rust.
type=
IFS=_ read -ra words <<<"$name"
for word in "${words[@]}"; do type+=${word^}; done

stage=$(mktemp -d ./.new-plugin.XXXXXX)
trap 'rm -rf "$stage"' EXIT
mkdir -p "$stage/$crate/src/$name" "$stage/src" "$stage/docs/$crate" "$stage/configs"

# As `cargo fmt` has it, sorted modules and all.
format() {
    rustfmt --edition 2024 --config-path . --emit stdout
}
fill() {
    sed -e "s/__name__/$name/g" -e "s/__Name__/$type/g" "scripts/new-plugin/$what/$1"
}
for file in mod.rs config.rs tests.rs; do
    fill "$file" | format >"$stage/$crate/src/$name/$file"
done
fill page.md >"$stage/docs/$crate/$name.md"
fill example.yaml >"$stage/$example"

# Puts a line into a list of features, and what it stands for at the end of the section.
feature() {
    awk -v name="$name" -v lines="$2" '
        /^\[/ { inside = ($0 == "[features]") }
        inside && /^default = \[$/ { open = 1 }
        open && /^\]/ { print "    \"" name "\","; open = 0; listed = 1 }
        inside && /^default = \[.*\]$/ { sub(/\]$/, ", \"" name "\"]"); listed = 1 }
        inside && /^$/ && !written { print lines; written = 1 }
        { print }
        END { exit !(listed && written) }' "$1" >"$stage/$1" || fail "$1 has no list of features as this script knows it"
}
feature "$crate/Cargo.toml" "$name = []"
feature Cargo.toml "# The \`$name\` $what.\\n$name = [\"pump-$crate/$name\"]"

{
    cat "$crate/src/lib.rs"
    printf '#[cfg(feature = "%s")]\npub mod %s;\n' "$name" "$name"
} | format >"$stage/$crate/src/lib.rs"

# The list of plugins: sources before sinks; the last one of all is the end of the expression.
if [ "$what" = sink ]; then before='registry.sink::<pump_sinks::file::FileSink>'; else before='registry.sink::<pump_sinks::'; fi
awk -v before="$before" -v name="$name" -v line="    let registry = registry.$what::<pump_$crate::$name::$type${what^}>();" '
    { lines[NR] = $0 }
    !at && index($0, before) { at = (lines[NR - 1] ~ /#\[cfg/) ? NR - 1 : NR }
    END {
        for (number = 1; number <= NR; number++) {
            if (number == at) { print "    #[cfg(feature = \"" name "\")]"; print line }
            print lines[number]
        }
        exit !at
    }' src/lib.rs >"$stage/src/lib.rs" || fail "src/lib.rs has no list of plugins as this script knows it"

mv "$stage/$crate/src/$name" "$crate/src/$name"
for file in "docs/$crate/$name.md" "$example" "$crate/Cargo.toml" Cargo.toml "$crate/src/lib.rs" src/lib.rs; do
    mv "$stage/$file" "$file"
done

cat <<NEXT
The $what \`$name\` is there, and works:

  UPDATE_DOCUMENTS=1 cargo test -p pump-$crate --no-default-features --features $name --lib $name::
  cargo run -- check -c $example
  grep -rn "FILL IN" $crate/src/$name docs/$crate/$name.md $example   # what is yours to write

When it is written: a row in README.md, a line in CHANGELOG.md, and
INSTA_UPDATE=always UPDATE_DOCUMENTS=1 make test, which brings tables and snapshots up to date.
NEXT
