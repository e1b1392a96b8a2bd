#!/bin/bash
# What the launcher makes of daemons that behave, die, cannot start or will not stop; with stand-ins for daemons.
source "$(dirname "$0")/lib.sh"

cp "$bin/quorate" "$work/quorate"
bin=$work # the launcher looks beside itself
mkfifo "$work/never"
exec {never}<>"$work/never"

# stand_in ROLE BODY: a daemon that says it is ready and then does BODY; $count is how often it was started.
stand_in() {
    cat >"$work/quorate-$1" <<END
#!/bin/bash
echo \$\$ >>"$work/$1.starts"
count=\$(wc -l <"$work/$1.starts")
ready() { printf R >&"\$QUORATE_READY_FD"; exec {QUORATE_READY_FD}>&-; }
trap 'echo $1 >>"$work/stopped"; exit 0' TERM
wait_for_signal() { exec {never}<>"$work/never"; while :; do read -r -u \$never _; done; }
$2
END
    chmod +x "$work/quorate-$1"
    rm -f "$work/$1.starts"
}
good_daemons() {
    local role
    rm -f "$work/stopped"
    for role in proxy raft apply maint; do stand_in "$role" 'ready; wait_for_signal'; done
}
starts() { wc -l <"$work/$1.starts"; }

good_daemons
check "starts and is ready" start_node "$work/a" --proxies 2
check "says so once all are ready" wait_log "$ready"
check "one process a role, two proxies" is "1 1 1 2" echo "$(starts raft) $(starts apply) $(starts maint) $(starts proxy)"
kill -KILL "$(head -1 "$work/apply.starts")"
check "a killed daemon is started again" wait_log '"msg":"daemon is back","daemon":"apply"'
check "at once" like '"gone-ms":[0-9]{1,2}\}' echo "$line"
drain_log
stop_node TERM
check "stops with status 0" is 0 echo "$status"
check "in order: proxies, raft, apply, maint" is "proxy proxy raft apply maint" paste -sd " " "$work/stopped"

good_daemons
stand_in raft '((count < 3)) || ready; ((count < 3)) && kill -KILL $$; wait_for_signal'
start_node "$work/b"
check "one that dies early is tried again" wait_log '"msg":"daemon died; starting it again","daemon":"raft".*"wait-ms":0'
check "and then throttled" wait_log '"msg":"daemon died; starting it again","daemon":"raft".*"wait-ms":100'
check "until it holds" wait_log "$ready"
drain_log
stop_node INT
check "an interrupt stops it too" is 0 echo "$status"

good_daemons
stand_in raft 'echo "{\"level\":\"fatal\",\"msg\":\"corrupt\"}" >&2; exit 1'
start_node "$work/c"
check "a daemon that cannot start stops the node" wait_log 'a daemon cannot start; stopping the node.*raft'
drain_log
status=0
wait "$launcher" || status=$?
wait "$drainer"
check "with status 1" is 1 echo "$status"
check "and its own words are in the log" grep -q '"msg":"corrupt"' "$work/node.log"

good_daemons
rm "$work/quorate-maint"
start_node "$work/d"
check "a missing executable stops the node" wait_log 'a daemon cannot start; stopping the node.*maint'
drain_log
wait "$launcher"

good_daemons
stand_in maint 'trap "" TERM; ready; wait_for_signal'
start_ready "$work/e"
while jobs -rp | grep -qx "$launcher"; do # as a person does who has no patience
    kill -TERM "$launcher"
    read -r -t 0.2 -u "$never" _
done
status=0
wait "$launcher" || status=$?
check "a repeated signal kills a daemon that will not stop" is 0 echo "$status"
check "nothing is left of it" wait_gone "$(head -1 "$work/maint.starts")"

good_daemons
start_ready "$work/f"
stop_node KILL
check "a killed launcher takes its daemons along" wait_gone "$(head -1 "$work/raft.starts")"
check "all of them" wait_gone "$(head -1 "$work/proxy.starts")"
finish
