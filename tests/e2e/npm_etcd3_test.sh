#!/bin/bash
# The npm client "etcd3" (installed into a temporary directory) against a node, also while its daemons are killed.
# Skipped, and says so, when it cannot be had.
source "$(dirname "$0")/lib.sh"

version=1.1.2

skip() {
    echo "# skipped: $1"
    echo "0 passed, 0 failed"
    exit 0
}

command -v node >/dev/null && command -v npm >/dev/null || skip "node and npm are not installed"
export npm_config_cache=${npm_config_cache:-$work/npm-cache}
timeout 60 npm install --prefix "$work/npm" --no-audit --no-fund --no-save --fetch-retries 1 "etcd3@$version" \
    >"$work/npm.output" 2>&1 || skip "npm cannot install etcd3@$version: $(grep -m 1 . "$work/npm.output")"

start_ready "$work/data" || exit 1
NODE_PATH=$work/npm/node_modules timeout 120 node "$root/tests/e2e/npm_etcd3.js" "$endpoint" "$launcher" \
    >"$work/cases" 2>&1 || echo "not ok - the script ended with status $?" >>"$work/cases"
cat "$work/cases"
passed=$(grep -c '^ok - ' "$work/cases")
failed=$(grep -c '^not ok - ' "$work/cases")
stop_node TERM
finish
