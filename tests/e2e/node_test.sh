#!/bin/bash
# A node as a whole: its processes, sockets and files; refusals of a second one; how it stops and comes back.
source "$(dirname "$0")/lib.sh"
data=$work/data

# Names of the unix sockets (tcp: addresses) that the node's processes listen on, sorted, on one line.
listening() {
    local pids
    pids=$(pgrep -P "$launcher" | paste -sd '|')
    ss -H -l -p "$1" | grep -E "pid=($launcher|$pids)," | awk '{print $NAME}' NAME="$2" | sort | paste -sd ' '
}
executables() {
    local pid
    for pid in "$launcher" $(pgrep -P "$launcher"); do basename "$(readlink "/proc/$pid/exe")"; done | sort | paste -sd ' '
}
mode() { stat -c %a "$1"; }

check "starts and serves" start_ready "$data"
check "five processes, five executables" is "quorate quorate-apply quorate-maint quorate-proxy quorate-raft" executables
check "the sockets of the talk graph and no others" is \
    "apply.maint apply.proxy-0 maint.proxy-0 raft.apply raft.maint raft.proxy-0" listening -x 5
check "one address for clients, none else" is "$endpoint" listening -t 4
check "data directory is private" is 700 mode "$data"
check "runtime directory is private" is 700 mode "$data/run"
check "nothing in it is open to others" is "" find "$data" ! -type s -perm /077
check "the line before the first client" is OK ctl put key value

other_ports() {
    local data=$1 port=$2
    shift 2
    "$bin/quorate" --data-dir "$data" --listen-client-urls "http://127.0.0.1:$port" \
        --advertise-client-urls "http://127.0.0.1:$port" "$@"
}
check "a second start on the same data is refused" fails 1 "in use by another quorate \(pid $launcher\)" \
    other_ports "$data" 1
check "a second start on the same port is refused" fails 1 "address already in use" other_ports "$work/other" "$client"
check "and harms nothing" is "key
value" ctl get key

check "metrics are those of the node" like '^[1-9][0-9]*$' bash -c \
    "curl -s http://$endpoint/metrics | sed -n 's/^process_resident_memory_bytes //p' | cut -d. -f1"
check "version page" like '"etcdserver":"3.7.1"' curl -s "http://$endpoint/version"
check "health page" like '"health":"true"' curl -s "http://$endpoint/health"

# Each daemon in turn: the node goes on, the daemon is back, the key is still there.
for role in proxy raft apply maint; do
    before=$(daemon_pid "$role")
    kill -KILL "$before"
    wait_gone "$before"
    check "after kill -9 of $role the node serves" is OK ctl put "after-$role" 1
    check "$role is a new process" like "^[0-9]+$" daemon_pid "$role"
done
check "nothing was lost" is "after-apply after-maint after-proxy after-raft key" \
    bash -c "$(declare -f ctl); endpoint=$endpoint; ctl get '' --prefix --keys-only | grep . | sort | paste -sd ' '"

daemons=$(pgrep -P "$launcher")
stop_node TERM
check "stops with status 0" is 0 echo "$status"
check "stopped last of all" like '"msg":"stopped"' tail -1 "$work/node.log"
gone=yes
for pid in $daemons; do kill -0 "$pid" 2>/dev/null && gone=no; done
check "no process is left" is yes echo "$gone"

check "starts again" start_ready "$data"
check "finds its data" is "key
value" ctl get key
daemons=$(pgrep -P "$launcher")
stop_node KILL
for pid in $daemons; do check "killed launcher: process $pid goes too" wait_gone "$pid"; done
check "starts after that" start_ready "$data"
check "finds its data again" is "key
value" ctl get key
stop_node INT
check "an interrupt is an orderly stop" is 0 echo "$status"

check "two proxies serve one node" start_ready "$data" --proxies 2
check "their sockets" is "apply.maint apply.proxy-0 apply.proxy-1 maint.proxy-0 maint.proxy-1 raft.apply raft.maint raft.proxy-0 raft.proxy-1" \
    listening -x 5
kill -KILL "$(daemon_pid proxy | head -1)"
check "one serves while the other is gone" is "key
value" ctl get key
stop_node TERM

start_node "$data"
check "maint has a checkpoint made and checks it" wait_log 'checkpoint made, read back and removed'
check "and leaves nothing behind" is "" ls "$data/member/maint"
drain_log
stop_node TERM

# A byte in the middle of what was durably written, with later writes behind it: no torn tail, but corruption.
cp -r "$data" "$work/corrupt"
wal=$(find "$work/corrupt/member/wal" -name '*-0000000000000000.wal')
offset=$(grep -obUa after-raft "$wal" | head -1 | cut -d: -f1)
printf X | dd of="$wal" bs=1 seek="$offset" conv=notrunc status=none
check "a corrupt log is refused: file and offset are named" fails 1 "$(basename "$wal").*offset" \
    other_ports "$work/corrupt" "$client"

touch "$data/notes.txt"
check "a foreign file is refused and named" fails 1 "notes.txt is not quorate's" other_ports "$data" "$client"
rm "$data/notes.txt"
mkdir -p "$work/etcd/member/snap"
check "a data directory of etcd is refused" fails 1 "data directory of etcd" other_ports "$work/etcd" "$client"
mkdir -m 755 "$work/open"
check "a runtime directory open to others is refused" fails 1 "must be private" other_ports "$data" "$client" \
    --runtime-dir "$work/open"
finish
