#!/bin/sh
# What a restore by parts into a store costs beside one process: parts-store.sh DIRECTORY PROGRAM ROUNDS WORKERS BUCKET
# DIRECTORY has s.cfd, sealed for the key file `key` there; the store is the one that AWS_… name, and BUCKET is empty.
set -eu
cd "$1"
program=$2
rounds=$3
workers=$4
bucket=$5
now() { date +%s%N; }
milliseconds() { echo $((($2 - $1) / 1000000)); }
for round in $(seq "$rounds"); do
    rm -f plan plan.*
    begun=$(now)
    "$program" restore --key-file key s.cfd "s3://$bucket/one-$round" >one.log
    one=$(milliseconds "$begun" "$(now)")
    begun=$(now)
    "$program" restore --key-file key --plan plan --parts "$workers" s.cfd "s3://$bucket/two-$round" >two.log
    planned=$(now)
    pids=
    for part in $(seq 0 $((workers - 1))); do
        "$program" restore --key-file key --plan plan --part "$part" >"part.$part.log" &
        pids="$pids $!"
    done
    for pid in $pids; do wait "$pid"; done
    run=$(now)
    "$program" restore --plan plan --commit >>two.log
    committed=$(now)
    all=$(milliseconds "$begun" "$committed")
    echo "$round: $workers workers: one $one ms; plan $(milliseconds "$begun" "$planned")," \
        "parts $(milliseconds "$planned" "$run"), commit $(milliseconds "$run" "$committed"): $all ms;" \
        "ratio $(echo "scale=2; $all / $one" | bc)"
done
rm -f plan plan.* one.log two.log part.*.log
