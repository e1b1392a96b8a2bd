# lib.sh - what the end-to-end scripts share: a node on free ports in a directory of its own, and checks.
#
# Sourced by tests/e2e/*_test.sh, which then call `check` for each case and end with `finish`. Nothing sleeps:
# readiness is a line in the log (a pipe), an end is waited for by the process itself. Everything a script
# started is gone when it ends.
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
bin=${QUORATE_BUILD:-$root/build}/bin
work=$(mktemp -d "${TMPDIR:-/tmp}/quorate-e2e-XXXXXX")
passed=0 failed=0
launcher=0 client=0 endpoint=

export ETCDCTL_API=3

cleanup() {
    local pid
    for pid in "${started[@]}"; do
        kill -KILL "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
    done
    rm -rf "$work"
}
started=()
trap cleanup EXIT
trap 'exit 1' INT TERM

# Two ports nobody uses now, in $client and $peer.
free_ports() {
    read -r client peer < <(/usr/bin/python3 -c '
import socket
sockets = [socket.socket() for _ in range(2)]
for one in sockets:
    one.bind(("127.0.0.1", 0))
print(*[one.getsockname()[1] for one in sockets])')
    endpoint=127.0.0.1:$client
}

# start_node DATA [FLAG...]: starts quorate in the background ($launcher) on $client. Its log is DATA.log.
start_node() {
    local data=$1
    shift
    ((client != 0)) || free_ports
    mkfifo "$data.fifo" 2>/dev/null
    : >>"$data.log"
    "$bin/quorate" --data-dir "$data" --listen-client-urls "http://$endpoint" \
        --advertise-client-urls "http://$endpoint" --listen-peer-urls "http://127.0.0.1:$peer" \
        --initial-advertise-peer-urls "http://127.0.0.1:$peer" "$@" 2>"$data.fifo" &
    launcher=$!
    started+=("$launcher")
    exec {log_fd}<"$data.fifo"
}

# wait_log PATTERN: reads the running node's log until a line matches (in $line). False when the node ends first.
wait_log() {
    local pattern=$1
    while IFS= read -r -t 60 -u "$log_fd" line; do
        printf '%s\n' "$line" >>"$work/node.log"
        [[ $line =~ $pattern ]] && return 0
    done
    return 1
}

ready='"msg":"ready to serve client requests"'

# start_ready DATA [FLAG...]: start_node, and waits until it serves. Then its log flows to $work/node.log.
start_ready() {
    start_node "$@"
    if ! wait_log "$ready"; then
        echo "# the node did not get ready:"
        tail -20 "$work/node.log" | sed 's/^/# /'
        return 1
    fi
    drain_log
}

# Keeps the pipe empty from here on, in the background; ends with the node.
drain_log() {
    cat <&"$log_fd" >>"$work/node.log" &
    drainer=$!
    exec {log_fd}<&-
}

# stop_node [SIGNAL]: ends the node and waits for it; its exit status is in $status.
stop_node() {
    kill "-${1:-TERM}" "$launcher" 2>/dev/null
    status=0
    wait "$launcher" 2>/dev/null || status=$?
    [[ -z ${drainer:-} ]] || wait "$drainer" 2>/dev/null
    drainer=
}

# Pid of a daemon of the running node: daemon_pid raft, daemon_pid proxy.
daemon_pid() { pgrep -P "$launcher" -x "quorate-$1"; }

# wait_gone PID: until the process has ended (30 s at most), by pidfd.
wait_gone() {
    /usr/bin/python3 -c '
import os, select, sys
try:
    descriptor = os.pidfd_open(int(sys.argv[1]))
except ProcessLookupError:
    sys.exit(0)
poll = select.poll()
poll.register(descriptor, select.POLLIN)
sys.exit(0 if poll.poll(30000) else 1)' "$1"
}

ctl() { /usr/bin/etcdctl --endpoints "$endpoint" --command-timeout 10s "$@"; }

# check NAME COMMAND...: one case; what the command printed is shown when it fails. Runs in this very shell.
check() {
    local name=$1
    shift
    if "$@" >"$work/check.output" 2>&1; then
        passed=$((passed + 1))
        echo "ok - $name"
    else
        failed=$((failed + 1))
        echo "not ok - $name"
        head -40 "$work/check.output" | sed 's/^/#   /'
    fi
}

# is EXPECTED COMMAND...: the command succeeds and prints exactly this.
is() {
    local expected=$1 actual status=0
    shift
    actual=$("$@" 2>&1) || status=$?
    [[ $status == 0 && $actual == "$expected" ]] && return 0
    printf 'expected: %s\nactual:   %s (exit status %s)\n' "$expected" "$actual" "$status"
    return 1
}

# like PATTERN COMMAND...: what the command prints (whether it succeeds or not) matches.
like() {
    local pattern=$1 actual
    shift
    actual=$("$@" 2>&1)
    [[ $actual =~ $pattern ]] && return 0
    printf 'expected a match of: %s\nactual: %s\n' "$pattern" "$actual"
    return 1
}

# fails STATUS PATTERN COMMAND...: the command ends with this status and says this.
fails() {
    local expected=$1 pattern=$2 actual status=0
    shift 2
    actual=$("$@" 2>&1) || status=$?
    [[ $status == "$expected" && $actual =~ $pattern ]] && return 0
    printf 'expected status %s and a match of: %s\nactual status %s: %s\n' "$expected" "$pattern" "$status" "$actual"
    return 1
}

# A daemon that a sanitizer ended was started again, and all may have gone well nevertheless.
no_sanitizer_reports() { ! grep -A 20 -E 'ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:' "$work/node.log"; }

# Ends a script: the tally, and the status.
finish() {
    [[ ! -f $work/node.log ]] || check "no daemon was reported by a sanitizer" no_sanitizer_reports
    ((failed == 0)) || { echo "# log of the node:"; tail -30 "$work/node.log" 2>/dev/null | sed 's/^/#   /'; }
    echo "$passed passed, $failed failed"
    ((failed == 0 && passed > 0))
}
