#!/usr/bin/env bash
# What it costs to drain a million small records (1.1 kB) from a real Redis: CPU seconds per million,
# records a second, peak memory. Loopback only; some minutes; needs 3 GB of memory.
#   benches/redis-to-files.sh [RECORDS] [RUNS]
set -euo pipefail
cd "$(dirname "$0")/.."
records=${1:-1000000} runs=${2:-3}

cargo build --locked --quiet --profile dist
cargo build --locked --quiet --profile dist --example fill_redis
pump=$PWD/target/dist/pump fill=$PWD/target/dist/examples/fill_redis
work=$(mktemp -d)
port=$((20000 + RANDOM % 20000))
redis-server --port "$port" --bind 127.0.0.1 --save '' --dir "$work" >"$work/redis.log" &
redis=$!
trap 'kill $redis; wait $redis || true; rm -rf "$work"' EXIT
until redis-cli -p "$port" ping >/dev/null 2>&1; do sleep 0.1; done

drain() { # name, sink
    printf 'sources:\n  gateway:\n    type: redis_list\n    url: redis://127.0.0.1:%s/0\nsinks:\n  only:\n%s\nadmin: { listen: "127.0.0.1:0" }\n' \
        "$port" "$2" >"$work/$1.yaml"
    for _ in $(seq "$runs"); do
        rm -rf "$work/out"
        redis-cli -p "$port" flushall >/dev/null
        "$fill" "redis://127.0.0.1:$port/0" "$records" 1100
        (cd "$work" && python3 - "$1" "$records" "$pump" <<'PY'
import resource, subprocess, sys, time
name, records, pump = sys.argv[1], int(sys.argv[2]), sys.argv[3]
begin = time.time()
subprocess.run([pump, "run", "-c", name + ".yaml", "--drain"], check=True, stderr=subprocess.DEVNULL)
took = time.time() - begin
use = resource.getrusage(resource.RUSAGE_CHILDREN)
cpu = (use.ru_utime + use.ru_stime) * 1e6 / records
print(f"{name:<8} {cpu:6.2f} CPU s per million   {records / took:9.0f} records/s   peak {use.ru_maxrss / 1024:5.0f} MiB")
PY
        )
    done
}

drain null '    type: "null"'
drain ndjson '    type: file
    path: out/a.ndjson
    kinds: [transaction]'
drain csv '    type: file
    path: out/a.csv
    encoding: csv'
