#!/bin/sh
# Restores SEALED to TARGET by PARTS processes of this machine: processes.sh IDENTITY SEALED TARGET PARTS
set -eu
identity=$1 sealed=$2 target=$3 parts=$4
plan=$target.plan

cofferdam restore -i "$identity" --plan "$plan" --parts "$parts" "$sealed" "$target"
part=0
while [ "$part" -lt "$parts" ]; do
    cofferdam restore --quiet -i "$identity" --plan "$plan" --part "$part" &
    part=$((part + 1))
done
wait
cofferdam restore --plan "$plan" --commit
