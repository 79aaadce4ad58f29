#!/bin/sh
# What a restore by parts costs beside one process: parts.sh DIRECTORY PROGRAM ROUNDS WORKERS…
# DIRECTORY is on the file system that is measured, and has s.cfd, a file or a tree sealed for the key file `key` there.
set -eu
cd "$1"
program=$2
rounds=$3
shift 3
now() { date +%s%N; }
milliseconds() { echo $((($2 - $1) / 1000000)); }
for round in $(seq "$rounds"); do
    for workers in "$@"; do
        rm -rf one two plan plan.*
        sync
        begun=$(now)
        "$program" restore --key-file key s.cfd one >one.log
        one=$(milliseconds "$begun" "$(now)")
        rm -rf one
        sync
        begun=$(now)
        "$program" restore --key-file key --plan plan --parts "$workers" s.cfd two >two.log
        planned=$(now)
        for part in $(seq 0 $((workers - 1))); do
            "$program" restore --key-file key --plan plan --part "$part" >"part.$part.log" &
        done
        wait
        run=$(now)
        "$program" restore --plan plan --commit >>two.log
        committed=$(now)
        all=$(milliseconds "$begun" "$committed")
        echo "$round: $workers workers: one $one ms; plan $(milliseconds "$begun" "$planned")," \
            "parts $(milliseconds "$planned" "$run"), commit $(milliseconds "$run" "$committed"): $all ms;" \
            "ratio $(echo "scale=2; $all / $one" | bc)"
        rm -rf two plan plan.*
    done
done
rm -f one.log two.log part.*.log
