#!/bin/bash
# Flags, environment and config file, without starting a node: what is accepted, what is refused, in which words.
source "$(dirname "$0")/lib.sh"
cd "$work" || exit 1
quorate() { "$bin/quorate" "$@"; }
# The value of one key of the resolved configuration.
resolved() {
    local key=$1
    shift
    "$bin/quorate" --write-config "$work/resolved" "$@" && sed -n "s/^$key: //p" "$work/resolved"
}
with() { env "$@"; }

check "--version" is "quorate 0.1.0
etcd Version: 3.7.1" quorate --version
check "--help lists flags" like "--listen-client-urls" quorate --help
check "unknown flag" fails 2 'unknown flag: --dta-dir \(did you mean --data-dir' quorate --dta-dir x
check "a word that is no flag" fails 2 'is not a flag' quorate put
check "a flag without its value" fails 2 'name needs a value' quorate --name
check "bad boolean" fails 2 'invalid boolean value' quorate --pre-vote=maybe
check "bad number" fails 2 'not a number' quorate --max-txn-ops=many
check "bad duration" fails 2 'invalid duration' quorate --grpc-keepalive-timeout=20
check "election timeout too short" fails 2 'at least as 5 times' quorate --heartbeat-interval 300
check "election timeout too long" fails 2 'too long' quorate --election-timeout 60000
check "bad URL" fails 2 'listen-client-urls' quorate --listen-client-urls 127.0.0.1:2379
check "host name to listen on" fails 2 'expected IP in URL' quorate --listen-client-urls http://example.com:2379
check "listen without advertise" fails 2 'advertise-client-urls is required' quorate --listen-client-urls http://127.0.0.1:1
check "unknown feature gate" fails 2 'unrecognized feature gate: Nonsense' quorate --feature-gates Nonsense=true
check "known feature gate" is "" quorate --write-config x --feature-gates PriorityRequest=false
check "bad cluster state" fails 2 'initial-cluster-state' quorate --initial-cluster-state old
check "own name missing in the cluster" fails 2 "couldn't find local name" quorate --initial-cluster a=http://127.0.0.1:1
check "several members" fails 2 'clusters come with a later release' quorate --name a \
    --initial-cluster a=http://localhost:2380,b=http://localhost:2381
check "TLS files" fails 2 'TLS comes with a later release' quorate --cert-file server.crt
check "TLS switch" fails 2 'TLS comes with a later release' quorate --peer-auto-tls
check "https URL" fails 2 'TLS comes with a later release' quorate --listen-client-urls https://127.0.0.1:1
check "empty TLS flags pass" is "" quorate --write-config x --cert-file= --client-cert-auth=false
check "accepted without effect" like 'accepted without effect.*max-wals' quorate --write-config x --max-wals 7
check "too many proxies" fails 2 'proxies takes 1 to 8' quorate --proxies 9

check "default" is default resolved name
check "--flag value" is alpha resolved name --name alpha
check "--flag=value" is alpha resolved name --name=alpha
check "-flag" is alpha resolved name -name alpha
check "the last one counts" is beta resolved name --name alpha --name=beta
check "a boolean alone is true" is true resolved unsafe-no-fsync --unsafe-no-fsync
check "durations become milliseconds" is 90000 resolved watch-progress-interval --watch-progress-notify-interval 1m30s
check "a former name" is 5000 resolved watch-progress-interval --experimental-watch-progress-notify-interval=5s
check "hours of retention" is 7200000 resolved auto-compaction-retention --auto-compaction-retention 2
check "revisions of retention" is 1000 resolved auto-compaction-retention --auto-compaction-mode revision \
    --auto-compaction-retention 1000
check "malformed retention" fails 2 'error parsing CompactionRetention: time: unknown unit' \
    quorate --auto-compaction-retention 1d
check "data directory follows the name" is "$work/alpha.etcd" resolved data-directory --name alpha
check "runtime directory" is "$work/d/run" resolved runtime-directory --data-dir d
check "cluster of one" is "alpha=http://localhost:2380" resolved initial-cluster --name alpha
check "unlimited quota" is 9223372036854775807 resolved quota-bytes --quota-backend-bytes=-1
check "HTTP addresses join the others" is "http://127.0.0.1:1,http://127.0.0.1:2" resolved listen-client-urls \
    --listen-client-urls http://127.0.0.1:1 --listen-client-http-urls http://127.0.0.1:2 \
    --advertise-client-urls http://127.0.0.1:1

from_environment() { ETCD_NAME=env ETCD_MAX_TXN_OPS=7 resolved "$@"; }
check "environment" is 7 from_environment max-txn-operations
check "the command line beats the environment" is flag from_environment name --name flag
own_environment() { QUORATE_PROXIES=2 resolved "$@"; }
check "our own environment" is 2 own_environment proxies
odd_environment() { ETCD_NONSENSE=1 quorate --write-config x; }
check "an unknown variable is named" like 'unrecognized environment variable.*ETCD_NONSENSE' odd_environment

cat >config.yaml <<'END'
# as in etcd's sample
name: 'yaml'
data-dir:
heartbeat-interval: 200
election-timeout: 2000
quota-backend-bytes: 0
listen-client-urls: http://127.0.0.1:1
advertise-client-urls: http://127.0.0.1:1
strict-reconfig-check: false
grpc-keepalive-min-time: 10000000000
log-outputs: [stderr]
proxy: 'off'
client-transport-security:
  cert-file:
  client-cert-auth: false
peer-transport-security:
  cert-file:
  auto-tls: false
END
check "config file" is yaml resolved name --config-file config.yaml
check "a list in the config file" is false resolved strict-reconfig --config-file config.yaml
check "nanoseconds in the config file" is 10000 resolved grpc-keepalive-min-time --config-file config.yaml
file_and_flags() { ETCD_SNAPSHOT_COUNT=5 "$bin/quorate" --write-config "$work/resolved" --config-file config.yaml \
    --name flag --proxies 3 2>/dev/null && grep -E '^(name|snapshot-count|proxies):' resolved; }
check "the config file replaces flags and environment, not our own flags" is "name: yaml
snapshot-count: 10000
proxies: 3" file_and_flags
file_by_environment() { ETCD_CONFIG_FILE=config.yaml resolved "$@"; }
check "config file named by the environment" is yaml file_by_environment name
printf 'name: a\nelection-timout: 5\n' >typo.yaml
check "unknown key in the config file" fails 2 'typo.yaml line 2: unknown key: election-timout \(did you mean election-timeout' \
    quorate --config-file typo.yaml
printf 'name: [a\n' >broken.yaml
check "broken YAML" fails 2 'broken.yaml line [0-9]+: not YAML' quorate --config-file broken.yaml
check "missing config file" fails 2 'cannot read the config file' quorate --config-file nowhere.yaml
finish
