# lib.sh - what ops/check and ops/sanitize share: steps with progress, and one tally over every kind of test.
# Sourced; expects `set -euo pipefail` and $root.

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
began=$SECONDS

say() { printf '[%4ds] %s\n' $((SECONDS - began)) "$*"; }

# record NAME PASSED FAILED: adds to the tally.
record() { echo "$2 $3" >"$results/$(tr -c 'A-Za-z0-9_\n-' _ <<<"$1").tally"; }

# step NAME COMMAND...: one test that passes when the command succeeds; its output is shown only if it fails.
step() {
    local name=$1 output=$results/$BASHPID.output
    shift
    say "$name"
    if "$@" >"$output" 2>&1; then
        record "$name" 1 0
    else
        record "$name" 0 1
        cat "$output"
        say "FAILED: $name"
        return 1
    fi
}

# suite NAME COMMAND...: a program that runs many tests and ends with a line "N passed, N failed".
suite() {
    local name=$1 output=$results/suite.output passed=0 failed=0 status=0
    shift
    say "$name"
    "$@" >"$output" 2>&1 || status=$?
    local pattern='^([0-9]+) passed, ([0-9]+) failed'
    local last
    last=$(grep -E "$pattern" "$output" | tail -1 || true)
    if [[ $last =~ $pattern ]]; then
        passed=${BASH_REMATCH[1]} failed=${BASH_REMATCH[2]}
    elif ((status == 0)); then
        passed=1
    fi
    if ((status != 0 && failed == 0)); then
        failed=1
    fi
    if ((failed > 0)); then
        cat "$output"
        say "FAILED: $name"
    fi
    say "  $passed passed, $failed failed"
    record "$name" "$passed" "$failed"
}

# unit_program PATH: runs one cmocka program; its cases count one by one.
unit_program() {
    local name=${1##*/} output status=0 passed failed
    output=$results/unit_$name.output
    (cd "$results" && timeout 300 "$1") >"$output" 2>&1 || status=$?
    passed=$(sed -nE 's/^\[  PASSED  \] ([0-9]+) test.*/\1/p' "$output" | awk '{n += $1} END {print n + 0}')
    failed=$(sed -nE 's/^\[  FAILED  \] .* ([0-9]+) test.*listed below.*/\1/p' "$output" | awk '{n += $1} END {print n + 0}')
    if ((status != 0 && failed == 0)); then
        failed=1
    fi
    if ((failed > 0)); then
        cat "$output"
        say "FAILED: $name (exit status $status)"
    fi
    record "$2$name" "$passed" "$failed"
}

# unit_tests LABEL BUILD: all unit programs of a build directory, two at a time.
unit_tests() {
    local label=$1 program
    say "unit tests, $label"
    for program in "$2"/tests/*_test; do
        [[ -x $program ]] || continue
        while (($(jobs -rp | wc -l) >= 2)); do wait -n || true; done
        unit_program "$program" "$label" &
    done
    wait
    say "  $(cat "$results/$(tr -c 'A-Za-z0-9_\n-' _ <<<"$label")"*.tally | awk '{p += $1; f += $2} END {print p + 0 " passed, " f + 0 " failed"}')"
}

# build PRESET TARGET...: configures and builds quietly; without targets everything.
build() {
    local preset=$1 directory
    shift
    cmake -S "$root" --preset "$preset" >/dev/null
    directory=$root/build
    [[ $preset == release ]] || directory=$root/build-$preset
    cmake --build "$directory" -j "$(nproc)" ${1:+--target "$@"}
}

# Ends the script with the one line that counts.
finish() {
    local passed failed
    read -r passed failed < <(cat "$results"/*.tally | awk '{p += $1; f += $2} END {print p + 0, f + 0}')
    say "done"
    echo "$passed passed, $failed failed"
    ((failed == 0 && passed > 0))
}
