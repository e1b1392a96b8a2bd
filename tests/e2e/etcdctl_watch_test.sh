#!/bin/bash
# Debian's etcdctl 3.4 against a node: watch, lease, lock and elect with their options.
source "$(dirname "$0")/lib.sh"

start_ready "$work/data" || exit 1

# The revision that the next change makes: a watch from there misses nothing, whenever it begins.
next() { echo $(($(ctl get x -w json | sed -nE 's/.*"revision":([0-9]+).*/\1/p') + 1)); }

# follow ARGUMENT...: a command of etcdctl in the background ($follower), which takes its input from $input and
# whose output `heard` reads.
mkfifo "$work/input"
exec {input}<>"$work/input"
follow() {
    rm -f "$work/follow"
    mkfifo "$work/follow"
    /usr/bin/etcdctl --endpoints "$endpoint" "$@" <"$work/input" >"$work/follow" 2>&1 &
    follower=$!
    started+=("$follower")
    exec {follow_fd}<"$work/follow"
}
# heard COUNT: so many lines of what the follower says, on one line; 10 s for each.
heard() {
    local count=$1 line text=
    while ((count-- > 0)) && IFS= read -r -t 10 -u "$follow_fd" line; do text+="$line "; done
    echo "${text% }"
}
# unfollow [SIGNAL]: ends the follower; what it still says is lost.
unfollow() {
    kill "-${1:-TERM}" "$follower" 2>/dev/null
    exec {follow_fd}<&-
    wait "$follower" 2>/dev/null
}

follow watch w --prefix --rev "$(next)"
{ ctl put w/a 1 && ctl put x 0 && ctl put w/b 2 && ctl del w/a; } >/dev/null
check "watch of a prefix" is "PUT w/a 1 PUT w/b 2 DELETE w/a " heard 9
printf 'value("w/b") = "2"\n\nput w/c 3\nput w/d 4\ndel w/b\n\n\n' | ctl txn -i >/dev/null
check "watch of a transaction" is "PUT w/c 3 PUT w/d 4 DELETE w/b " heard 9
unfollow
follow watch w/c --prev-kv --rev "$(next)"
{ ctl put w/c 5 && ctl del w/c; } >/dev/null
check "watch --prev-kv" is "PUT w/c 3 w/c 5 DELETE w/c 5 w/c " heard 10
unfollow
follow watch r1 r3 --rev "$(next)"
{ ctl put r0 a && ctl put r1 b && ctl put r3 c && ctl put r2 d; } >/dev/null
check "watch of a range" is "PUT r1 b PUT r2 d" heard 6
unfollow
from=$(next)
for value in 1 2 3; do ctl put past "$value" >/dev/null; done
follow watch past --rev "$from"
check "watch of the past" is "PUT past 1 PUT past 2 PUT past 3" heard 9
ctl put past 4 >/dev/null
check "and of the present after it" is "PUT past 4" heard 3
unfollow
follow watch exec --rev "$(next)" -- sh -c 'echo $ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY $ETCD_WATCH_VALUE'
ctl put exec yes >/dev/null
check "watch that runs a command" is 'PUT exec yes "PUT" "exec" "yes"' heard 4
unfollow
follow watch future --rev $(($(next) + 2))
for value in 1 2 3 4; do ctl put future "$value" >/dev/null; done
check "watch from a future revision" is "PUT future 3 PUT future 4" heard 6
unfollow
from_two=$(next)
follow watch -i
printf 'watch i/a --rev %s\nwatch i/b --rev %s\n' "$from_two" "$from_two" >&"$input"
ctl put i/a 1 >/dev/null
check "watch -i of a key" is "PUT i/a 1" heard 3
ctl put i/b 2 >/dev/null
check "and of another on the same stream" is "PUT i/b 2" heard 3
unfollow
ctl compaction "$(($(next) - 1))" >/dev/null
check "watch of a compacted revision" fails 5 'required revision has been compacted' ctl watch past --rev "$from"

granted() { ctl lease grant "$@" | awk '{print $2}'; }
check "lease grant" like '^lease [0-9a-f]+ granted with TTL\(60s\)$' ctl lease grant 60
check "lease grant below the minimum" like 'granted with TTL\(2s\)$' ctl lease grant 1
check "lease grant of a negative TTL" like 'granted with TTL\(2s\)$' ctl lease grant -- -5
check "lease grant above the maximum" fails 1 'etcdserver: too large lease TTL' ctl lease grant 9000000001
lease=$(granted 600)
check "put --lease" is OK ctl put leased/a 1 --lease="$lease"
check "put --lease of another key" is OK ctl put leased/b 1 --lease="$lease"
check "the key tells its lease" like "\"lease\":$((16#$lease))" ctl get leased/a -w json
check "lease timetolive" like "^lease $lease granted with TTL\(600s\), remaining\((599|600)s\)$" ctl lease timetolive "$lease"
check "lease timetolive --keys" like "attached keys\(\[leased/a leased/b\]\)$" ctl lease timetolive "$lease" --keys
check "lease list" like "$lease" ctl lease list
check "lease keep-alive --once" is "lease $lease keepalived with TTL(600)" ctl lease keep-alive --once "$lease"
ctl put leased/b 2 >/dev/null
check "a put without a lease detaches" like 'attached keys\(\[leased/a\]\)$' ctl lease timetolive "$lease" --keys
ctl put leased/a 2 --ignore-lease >/dev/null
check "put --ignore-lease does not" like 'attached keys\(\[leased/a\]\)$' ctl lease timetolive "$lease" --keys
follow watch leased --prefix --rev "$(next)"
check "lease revoke" is "lease $lease revoked" ctl lease revoke "$lease"
check "its key is gone" is "DELETE leased/a" heard 2
unfollow
check "lease revoke again" fails 1 'etcdserver: requested lease not found' ctl lease revoke "$lease"
check "lease timetolive of none" is "lease $lease already expired" ctl lease timetolive "$lease"
check "lease keep-alive of none" fails 2 'requested lease not found' ctl lease keep-alive --once "$lease"
check "put with a revoked lease" fails 1 'etcdserver: requested lease not found' ctl put leased/a 1 --lease="$lease"
short=$(granted 2)
kept=$(granted 2)
follow watch expires --prefix --rev "$(next)"
/usr/bin/etcdctl --endpoints "$endpoint" lease keep-alive "$kept" >/dev/null 2>&1 &
keeper=$!
started+=("$keeper")
{ ctl put expires/kept 1 --lease="$kept" && ctl put expires/short 1 --lease="$short"; } >/dev/null
check "a lease expires, one kept alive does not" is \
    "PUT expires/kept 1 PUT expires/short 1 DELETE expires/short" heard 8
exec {follow_fd}<&-
kill "$keeper" "$follower" 2>/dev/null
wait "$keeper" "$follower" 2>/dev/null
check "lease list after all" like 'found [0-9]+ leases' ctl lease list

check "lock runs a command" is "ran" ctl lock name echo ran
follow lock name
check "lock prints its key" like '^name/[0-9a-f]+$' heard 1
holder=$follower holder_fd=$follow_fd
follow lock name echo mine
waits() { until [[ $(ctl get name --prefix --keys-only | grep -c .) == 2 ]]; do :; done; }
check "a second one waits" waits
silent() { ! read -r -t 0.3 -u "$follow_fd" line; }
check "and has nothing yet" silent
kill -INT "$holder"
check "until the first lets go" is mine heard 1
exec {holder_fd}<&- {follow_fd}<&-
wait "$holder" "$follower" 2>/dev/null

follow elect post first
check "elect prints the leader" like '^post/[0-9a-f]+ first$' heard 2
leader=$follower leader_fd=$follow_fd
check "elect --listen" like '^post/[0-9a-f]+.first' timeout 1 /usr/bin/etcdctl --endpoints "$endpoint" elect -l post
follow elect post second
both_stand() { until [[ $(ctl get post --prefix --keys-only | grep -c .) == 2 ]]; do :; done; }
check "a second one stands" both_stand
kill -INT "$leader"
check "and leads when the first resigns" like '^post/[0-9a-f]+ second$' heard 2
unfollow INT
exec {leader_fd}<&-
wait "$leader" 2>/dev/null
stop_node TERM
finish
