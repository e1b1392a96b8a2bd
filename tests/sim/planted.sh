#!/bin/sh
# Shows that the simulator's checks can fail: plants each bug it knows and expects it to be found.
#   planted.sh <quorate-sim> [seeds]
set -eu
sim=$1
seeds=${2:-300}
missed=0
for bug in $("$sim" --list-plants); do
    summary=$("$sim" --seeds "$seeds" --plant "$bug" --stop | tail -n 1) || true
    case $summary in
        *" failures=0 "*) echo "MISSED $bug: $summary"; missed=$((missed + 1)) ;;
        *" failures="*) echo "found $bug: ${summary%% operations=*}" ;;
        *) echo "MISSED $bug: no summary"; missed=$((missed + 1)) ;;
    esac
done
[ "$missed" -eq 0 ]
