#!/usr/bin/env bash
# All figures of RESULTS.md by one command: it runs every measurement here and puts what they print into the file.
# It knows no figure and judges none; what stands between the marks is replaced, the text around them stays.
#
#     bench/results.sh [-s MIB] [-n ROUNDS] [-d DISK_DIRECTORY] [SECTION...]
#
# Sections: machine compare random disk memory cancel ratios parts sinks durability mapped; all of them if none is named. The
# machine has to do nothing else meanwhile. -s makes the files of compare, random, disk and memory smaller, for a trial. DISK_DIRECTORY is
# where `disk`, `memory` and the second table of `cancel` put their files, ${TMPDIR:-/tmp} by default.
#
# Needs: apt-get install age openssl time
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/prepare.sh"

mib=1024 rounds=5 disk=${TMPDIR:-/tmp}
while getopts s:n:d: option; do
    case $option in
        s) mib=$OPTARG ;;
        n) rounds=$OPTARG ;;
        d) disk=$OPTARG ;;
        *) fail "usage: results.sh [-s MIB] [-n ROUNDS] [-d DISK_DIRECTORY] [SECTION...]" ;;
    esac
done
shift $((OPTIND - 1))
(($#)) || set -- machine compare random disk memory cancel ratios parts sinks durability mapped

cd "$repository"
results=bench/RESULTS.md
printed=$(mktemp)
trap 'rm -f "$printed"' EXIT

# criterion_table: criterion's report as a table, from standard input.
criterion_table() {
    printf '| bench | time | throughput |\n|---|---|---|\n'
    awk '/^[^ ].*\// && !/^Benchmarking/ { name = $0; sub(/ +time:.*/, "", name) }
        /time: *\[/ && !/%/ { split($0, part, /[][]/); split(part[2], field, " "); time = field[3] " " field[4] }
        /thrpt: *\[/ && !/%/ { split($0, part, /[][]/); split(part[2], field, " ")
            printf "| %s | %s | %s %s |\n", name, time, field[3], field[4] }'
}

# cancel: the bench on tmpfs, and on the disk.
cancel() {
    TMPDIR=/dev/shm cargo bench --quiet -p cofferdam-bench --bench cancel
    echo
    TMPDIR=$disk cargo bench --quiet -p cofferdam-bench --bench cancel
}

section() {
    case $1 in
        machine) machine ;;
        compare) bench/compare.sh -o blocks -s "$mib" -n "$rounds" /dev/shm ;;
        random) bench/compare.sh -o blocks -s "$mib" -n "$rounds" -i random /dev/shm ;;
        disk) bench/compare.sh -o blocks -s "$mib" -n "$rounds" "$disk" ;;
        memory) bench/memory.sh -s "$mib" -S $((mib * 4)) "$disk" || (($? == 1)) ;;
        cancel) cancel ;;
        ratios) cargo bench --quiet -p cofferdam-bench --bench ratios ;;
        parts)
            cargo bench --quiet -p cofferdam-bench --bench pipeline -- --discard-baseline '^(split|fragment|segment|frame)' |
                criterion_table
            ;;
        sinks) COFFERDAM_BENCH_DIRECTORY=/dev/shm cargo bench --quiet -p cofferdam-bench --bench sinks ;;
        durability) COFFERDAM_BENCH_DIRECTORY=$disk cargo bench --quiet -p cofferdam-bench --bench durability ;;
        mapped) COFFERDAM_BENCH_DIRECTORY=/dev/shm cargo bench --quiet -p cofferdam-bench --bench mapped ;;
        *) fail "no such section: $1" ;;
    esac
}

# replace SECTION: what stands between its marks becomes what was printed.
replace() {
    grep -q "^<!-- begin $1 -->$" "$results" || fail "$results has no marks for $1"
    awk -v name="$1" -v printed="$printed" '
        $0 == "<!-- end " name " -->" { inside = 0 }
        !inside { print }
        $0 == "<!-- begin " name " -->" { inside = 1; while ((getline line < printed) > 0) print line }
    ' "$results" >"$results.new"
    mv "$results.new" "$results"
}

for name in "$@"; do
    printf '%s: measuring %s\n' "${0##*/}" "$name" >&2
    section "$name" >"$printed"
    replace "$name"
done
