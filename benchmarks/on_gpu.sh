#!/usr/bin/env bash
# Every figure of RESULTS.md that needs a GPU, in under six minutes, with nothing but the package's
# own dependencies:
#
#     benchmarks/on_gpu.sh OUT [PHOTOGRAPHS]
#
# OUT is a new folder: figures.jsonl (a line for each program, in the form of benchmarks/*.jsonl),
# summary.txt (what the programs print, and how long each took), and traces/, of which
# `tensorboard --logdir OUT/traces` or Perfetto shows the stages by name; the summary lists the
# longest programs of each. PHOTOGRAPHS is a folder of JPEG files; without it, files of noise.
#
# PYTHON chooses the interpreter. REHEARSE=1 runs everything in tiny sizes, on any device.
set -uo pipefail

if [ $# -lt 1 ] || [ $# -gt 2 ]; then
    sed -n '2,14s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1" || exit 2
out=$(cd "$1" && pwd)
photographs=${2:+$(cd "$2" && pwd)} || exit 2
python=${PYTHON:-python}
if [ -e "$out/summary.txt" ]; then
    echo "$out has results already; give another folder" >&2
    exit 2
fi

# The repository's own package, wherever this was started.
export PYTHONPATH="$(dirname "$here")${PYTHONPATH:+:$PYTHONPATH}"
# What one program has compiled, the next need not.
export JAX_COMPILATION_CACHE_DIR="$out/compiled" JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0

if [ "${REHEARSE:-0}" = 1 ]; then
    dissect=(--quick --repeats 1)
    pictures=(--batch-size 4 --repeats 1) made=8
    feeding=(--limit 8 --repeats 1 --batch-size 4)
    kernels=(--images 1 --units 16 --repeats 1)
    patience=20
else
    dissect=(--images 512 --batch-size 64 --repeats 5)
    pictures=(--batch-size 64 --repeats 2) made=1024
    feeding=(--limit 512 --repeats 3 --threads "$(nproc)")
    kernels=()
    patience=1
fi
if [ -z "$photographs" ]; then
    photographs=$out/made
    pictures+=(--made "$made")
fi

step() {  # name, most seconds, command
    local name=$1 most=$(($2 * patience)) begun=$SECONDS
    shift 2
    printf '\n=== %s\n' "$name"
    if timeout "$most" "$@"; then
        printf '=== %s took %d s\n' "$name" $((SECONDS - begun))
    else
        printf '=== %s FAILED (code %d) after %d s\n' "$name" $? $((SECONDS - begun))
    fi
}

{
    command -v nvidia-smi > /dev/null && nvidia-smi --query-gpu=name,memory.total --format=csv
    step "dissection of VGG-16" 145 "$python" "$here/dissect.py" "${dissect[@]}" \
        --without-memory --record "$out/figures.jsonl" --profile "$out/traces"
    step "photographs" 80 "$python" "$here/photographs.py" "$photographs" \
        "${pictures[@]}" --record "$out/figures.jsonl"
    step "feeding" 30 "$python" "$here/feeding.py" --photographs "$photographs" \
        "${feeding[@]}" --record "$out/figures.jsonl"
    step "stages alone" 40 "$python" "$here/kernels.py" "${kernels[@]}" \
        --record "$out/figures.jsonl"
    step "memory" 60 "$python" "$here/dissect.py" "${dissect[@]}" --only-memory \
        --record "$out/figures.jsonl"
    rm -rf "$out/compiled" "$out/made"
    printf '\nall took %d s; figures are in %s, traces in %s\n' \
        $SECONDS "$out/figures.jsonl" "$out/traces"
} 2>&1 | tee "$out/summary.txt"
! grep -q '^=== .* FAILED' "$out/summary.txt"
