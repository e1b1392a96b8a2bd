#!/bin/bash
# Debian's etcdctl 3.4 against a node: every command and option that this release serves.
source "$(dirname "$0")/lib.sh"

start_ready "$work/data" || exit 1
header() { ctl "$@" -w json | sed -nE 's/.*"revision":([0-9]+).*/\1/p'; }
txn() { printf '%b' "$1" | ctl txn -i | sed -n '/^\(SUCCESS\|FAILURE\)$/,$p' | grep . | paste -sd ' '; }
one_line() { "$@" | paste -sd ' '; }

check "put" is OK ctl put a 1
check "put again shows the previous value" is "OK
a
1" ctl put a 2 --prev-kv
check "put from standard input" is OK bash -c "printf v | ETCDCTL_API=3 etcdctl --endpoints $endpoint put from-stdin"
check "put of a value with every kind of byte" is OK ctl put binary $'\x01\xff\xc3\xa9 \n'
check "put --ignore-lease" is OK ctl put a 3 --ignore-lease
check "put --ignore-value" is OK ctl put a --ignore-value
check "put --ignore-value of a missing key" fails 1 'etcdserver: key not found' ctl put missing --ignore-value
check "put of an empty key" fails 1 'etcdserver: key is not provided' ctl put "" x
check "put with an unknown lease" fails 1 'etcdserver: requested lease not found' ctl put a 1 --lease=123
for key in k1 k2 k3 k4 k5; do ctl put "$key" "v$key" >/dev/null; done

check "get" is "k1
vk1" ctl get k1
check "get of a missing key" is "" ctl get missing
check "get --print-value-only" is vk1 ctl get k1 --print-value-only
check "get --prefix --keys-only" is "k1  k2  k3  k4  k5 " one_line ctl get k --prefix --keys-only
check "get of a range" is "k2 vk2 k3 vk3" one_line ctl get k2 k4
check "get --from-key" is "k4 vk4 k5 vk5" one_line ctl get k4 --from-key
check "get --limit" is "k1 vk1 k2 vk2" one_line ctl get k --prefix --limit 2
check "get --limit says there is more" like '"more":true,"count":5' ctl get k --prefix --limit 2 -w json
check "get --order DESCEND" is "k5 vk5 k4 vk4 k3 vk3 k2 vk2 k1 vk1" one_line ctl get k --prefix --order DESCEND
check "get --sort-by VALUE" is "k5 vk5" one_line ctl get k --prefix --sort-by VALUE --order DESCEND --limit 1
check "get --sort-by MODIFY" is "k1 vk1" one_line ctl get k --prefix --sort-by MODIFY --limit 1
check "get --sort-by VERSION" is "k1 vk1" one_line ctl get k --prefix --sort-by VERSION --limit 1
check "get --sort-by CREATE" is "k5 vk5" one_line ctl get k --prefix --sort-by CREATE --order DESCEND --limit 1
check "get --consistency=s" is "k1
vk1" ctl get k1 --consistency=s
check "get --rev" is "a
1" ctl get a --rev 2
check "get of a future revision" fails 1 'required revision is a future revision' ctl get a --rev 1000
check "get -w json" like '"kvs":\[\{"key":"azE=","create_revision":[0-9]+,"mod_revision":[0-9]+,"version":1,"value":"dmsx"\}\],"count":1' \
    ctl get k1 -w json
check "get --hex" is '\x6b\x31
\x76\x6b\x31' ctl get k1 --hex
check "get -w fields" like '"Key" : "k1"' ctl get k1 -w fields

check "del" is 1 ctl del k1
check "del of a missing key" is 0 ctl del k1
check "del --prev-kv" is "1
k2
vk2" ctl del k2 --prev-kv
check "del of a range" is 2 ctl del k3 k5
check "del --from-key" is 1 ctl del k5 --from-key
check "nothing is left" is "" ctl get k --prefix

check "txn that succeeds" is "SUCCESS OK" txn 'value("a") = "3"\n\nput t 1\n\nput t 2\n\n'
check "txn that fails" is "FAILURE OK t 2" txn 'value("a") = "other"\n\nput t 1\n\nput t 2\nget t\n\n'
check "txn on a missing key" is "SUCCESS OK" txn 'create("new") = "0"\n\nput new 1\n\nget new\n\n'
check "txn on mod and version" is "SUCCESS 1" txn 'version("new") = "1"\nmod("new") > "1"\n\ndel new\n\n\n'
check "txn with the same key twice" fails 1 'duplicate key given in txn request' \
    bash -c "printf '\n\nput x 1\nput x 2\n\n\n' | ETCDCTL_API=3 etcdctl --endpoints $endpoint txn -i"

revision=$(header get a)
check "compaction" is "compacted revision $revision" ctl compaction "$revision"
check "compaction again" fails 1 'required revision has been compacted' ctl compaction "$revision"
check "compaction of the future" fails 1 'future revision' ctl compaction 100000
check "get of a compacted revision" fails 1 'required revision has been compacted' ctl get a --rev 2
check "get at the compacted revision" is "a
3" ctl get a --rev "$revision"
ctl put a 4 >/dev/null
check "physical compaction" is "compacted revision $((revision + 1))" ctl compaction --physical $((revision + 1))

check "member list" like '^[0-9a-f]{1,16}, started, default, http://127.0.0.1:'"$peer, http://$endpoint, false$" ctl member list
check "member list -w json" like '"name":"default"' ctl member list -w json
check "endpoint status" like "^$endpoint, [0-9a-f]+, 3.7.1, .*, true, false, 2, " ctl endpoint status
check "endpoint status -w table" like 'IS LEADER' ctl endpoint status -w table
check "endpoint status --cluster" like '3.7.1' ctl endpoint status --cluster
check "endpoint health" like 'is healthy: successfully committed proposal' ctl endpoint health
check "alarm list" is "" ctl alarm list
stop_node TERM
finish
