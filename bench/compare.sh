#!/usr/bin/env bash
# Whole processes beside each other: sealing and restoring one file with Cofferdam, age and openssl, and copying it.
# It knows nothing of what the programs do inside: it takes wall time, processor time and peak memory from outside.
#
#     bench/compare.sh [-s MIB] [-n ROUNDS] [-i real|random|zeros] [-o turns|blocks] [DIRECTORY]
#
# DIRECTORY is where all files lie, /dev/shm by default: tmpfs, so that no disk is measured. Six times the size has to
# be free there. In one run, each program is run once to warm up, and what it restored is compared with the input;
# then so many rounds. In `turns` (the default) every round runs every program once, A B C A B C; in `blocks` each
# program does all its rounds, A A B B C C. Every output is removed before the next program runs, outside the time.
#
# Needs: apt-get install age openssl time
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/prepare.sh"

mib=1024 rounds=5 kind=real order=turns
while getopts s:n:i:o: option; do
    case $option in
        s) mib=$OPTARG ;;
        n) rounds=$OPTARG ;;
        i) kind=$OPTARG ;;
        o) order=$OPTARG ;;
        *) fail "usage: compare.sh [-s MIB] [-n ROUNDS] [-i real|random|zeros] [-o turns|blocks] [DIRECTORY]" ;;
    esac
done
shift $((OPTIND - 1))
parent=${1:-/dev/shm}
case $order in turns | blocks) ;; *) fail "no such order: $order; there are turns and blocks" ;; esac

need age age
need openssl openssl
need /usr/bin/time time
build_release
room "$parent" $((mib * 6))
work=$(mktemp -d "$parent/cofferdam-compare.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"

# The contestants, by number. Each command goes from a file to a file, in a process of its own.
seal_names=("cp" "cp, then sync -f" "openssl enc -aes-256-ctr" "age -r" "cofferdam seal" "cofferdam seal --digest tags")
seal_command() {
    case $1 in
        0) command=(cp plain out) ;;
        1) command=(sh -c 'cp plain out && sync -f out') ;;
        2) command=(openssl enc -e -aes-256-ctr -pbkdf2 -pass pass:compare -in plain -out out) ;;
        3) command=(age -r "$recipient" -o out plain) ;;
        4) command=("$cofferdam" seal --quiet -r "$recipient" -o out plain) ;;
        5) command=("$cofferdam" seal --quiet --digest tags -r "$recipient" -o out plain) ;;
    esac
}

restore_names=("cp" "cp, then sync -f" "openssl enc -d -aes-256-ctr" "age -d" "cofferdam restore" "cofferdam restore, digest tags")
restore_command() {
    case $1 in
        0) command=(cp plain out) ;;
        1) command=(sh -c 'cp plain out && sync -f out') ;;
        2) command=(openssl enc -d -aes-256-ctr -pbkdf2 -pass pass:compare -in sealed.2 -out out) ;;
        3) command=(age -d -i key.txt -o out sealed.3) ;;
        4) command=("$cofferdam" restore --quiet -i key.txt sealed.4 out) ;;
        5) command=("$cofferdam" restore --quiet -i key.txt sealed.5 out) ;;
    esac
}

# measure WHAT NUMBER: runs one contestant once, and adds a line "seconds processor-seconds peak-KiB" to its times.
measure() {
    local start end
    rm -f out
    sync -f . # or the disk would still be busy with what ran before
    "$1_command" "$2"
    start=$EPOCHREALTIME
    /usr/bin/time -o usage -f '%U %S %M' "${command[@]}" || fail "failed: ${command[*]}"
    end=$EPOCHREALTIME
    awk -v wall=$((${end/./} - ${start/./})) '{ print wall / 1e6, $1 + $2, $3 }' usage >>"times.$1.$2"
}

# rounds_of WHAT: all contestants, so often, in the order asked for.
rounds_of() {
    local round number
    if [[ $order == turns ]]; then
        for ((round = 0; round < rounds; round++)); do
            for number in "${numbers[@]}"; do measure "$1" "$number"; done
        done
    else
        for number in "${numbers[@]}"; do
            for ((round = 0; round < rounds; round++)); do measure "$1" "$number"; done
        done
    fi
}

# table WHAT NAME...: medians, and ratios of medians to the first row.
table() {
    local what=$1 number wall base
    shift
    base=$(cut -d' ' -f1 "times.$what.0" | median)
    printf '\n| %s, %s MiB, input: %s | median s | fastest to slowest s | beside cp | CPU s | peak MiB |\n' "$what" "$mib" "$kind"
    printf '|---|---|---|---|---|---|\n'
    for number in "${numbers[@]}"; do
        wall=$(cut -d' ' -f1 "times.$what.$number" | median)
        printf '| %s | %s | %s | %s | %s | %s |\n' "${@:number+1:1}" "$wall" \
            "$(cut -d' ' -f1 "times.$what.$number" | sort -n | sed -n '1p;$p' | awk '{ printf "%s%.3f", sep, $1; sep = " to " }')" \
            "$(awk -v a="$wall" -v b="$base" 'BEGIN { printf "%.2f", a / b }')" \
            "$(cut -d' ' -f2 "times.$what.$number" | median)" \
            "$(cut -d' ' -f3 "times.$what.$number" | sort -n | tail -n 1 | awk '{ printf "%.0f", $1 / 1024 }')"
    done
}

numbers=(0 1 2 3 4 5)
"$cofferdam" keygen -o key.txt >/dev/null
recipient=$(sed -n 's/^# public key: //p' key.txt)
[[ $recipient == age1* ]] || fail "keygen wrote no recipient into its key file"
input "$kind" $((mib * 1048576)) >plain

for number in "${numbers[@]}"; do
    measure seal "$number"
    mv out "sealed.$number"
done
rm -f sealed.0 sealed.1
for number in "${numbers[@]}"; do
    measure restore "$number"
    cmp plain out || fail "row $number of the restores gave other bytes than were sealed"
done
rm -f times.*

printf '%s rounds in %s on %s (%s), %s, %s.\n' "$rounds" "$order" "$parent" \
    "$(df --output=fstype "$parent" | tail -n 1)" "age $(age --version)" "$(openssl version | cut -d' ' -f1,2)"
rounds_of seal
table seal "${seal_names[@]}"
rounds_of restore
table restore "${restore_names[@]}"
