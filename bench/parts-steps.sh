#!/bin/sh
# What each step of a restore by parts costs by itself: parts-steps.sh DIRECTORY PROGRAM PARTS
# DIRECTORY has s.cfd, a file or a tree sealed for the key file `key` there. The parts are run one after the other, each by a process of its own.
set -eu
cd "$1"
program=$2
parts=$3
now() { date +%s%N; }
microseconds() { echo $((($2 - $1) / 1000)); }
rm -rf two plan plan.*
sync
begun=$(now)
"$program" restore --key-file key --plan plan --parts "$parts" s.cfd two >two.log
planned=$(now)
for part in $(seq 0 $((parts - 1))); do
    "$program" restore --key-file key --plan plan --part "$part" >two.log
done
run=$(now)
"$program" restore --plan plan --commit >two.log
committed=$(now)
echo "$parts parts: plan $(microseconds "$begun" "$planned") us, each part $(($(microseconds "$planned" "$run") / parts)) us," \
    "commit $(microseconds "$run" "$committed") us"
rm -rf two plan plan.* two.log
