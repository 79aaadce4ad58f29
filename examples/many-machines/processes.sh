#!/bin/sh
# Restores SEALED to TARGET by PARTS processes of this machine: processes.sh IDENTITY SEALED TARGET PARTS [PLAN]
# SEALED and TARGET may be URLs. PLAN is a file that is made; it is TARGET.plan, unless TARGET is a URL: then name one.
set -eu
identity=$1 sealed=$2 target=$3 parts=$4 plan=${5:-}
case $target in
    *://*) : "${plan:?name a file: the target is an object}" ;;
    *) plan=${plan:-$target.plan} ;;
esac

cofferdam restore -i "$identity" --plan "$plan" --parts "$parts" "$sealed" "$target"
part=0
while [ "$part" -lt "$parts" ]; do
    cofferdam restore --quiet -i "$identity" --plan "$plan" --part "$part" &
    part=$((part + 1))
done
wait
# If a part has failed, this says which, with exit code 19.
cofferdam restore --plan "$plan" --commit
