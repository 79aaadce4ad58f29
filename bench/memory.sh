#!/usr/bin/env bash
# Peak resident memory of sealing, verifying and restoring files of two sizes, with a small budget and at defaults.
# It knows no speed. It exits 1 where a bar is missed.
#
#     bench/memory.sh [-s MIB] [-S MIB] [-n ROUNDS] [DIRECTORY]
#
# -s and -S are the two sizes, 1024 and 4096 by default. DIRECTORY is where the files lie, ${TMPDIR:-/tmp} by default;
# twice the larger size has to be free there. Every figure is the largest of so many rounds, 3 by default. The key is an
# X25519 identity: a passphrase takes memory by design, and is not measured here.
#
# Needs: apt-get install time
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/prepare.sh"

# The bars, in KiB, and how much more the larger size may take, in percent: the allocator's noise, not a growth.
small_bar=$((16 * 1024)) default_bar=$((64 * 1024)) growth_bar=10

declare -A settings=([small]="--quiet --memory 4MiB" [default]="--quiet")

small=1024 large=4096 rounds=3
while getopts s:S:n: option; do
    case $option in
        s) small=$OPTARG ;;
        S) large=$OPTARG ;;
        n) rounds=$OPTARG ;;
        *) fail "usage: memory.sh [-s MIB] [-S MIB] [-n ROUNDS] [DIRECTORY]" ;;
    esac
done
shift $((OPTIND - 1))
parent=${1:-${TMPDIR:-/tmp}}

need /usr/bin/time time
build_release
room "$parent" $((large * 2 + 64))
work=$(mktemp -d "$parent/cofferdam-memory.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
"$cofferdam" keygen -o key.txt >/dev/null
recipient=$(sed -n 's/^# public key: //p' key.txt)
[[ $recipient == age1* ]] || fail "keygen wrote no recipient into its key file"

# peak FILE COMMAND...: the peak of one run in KiB, kept in FILE if it is the largest so far.
peak() {
    local file=$1 now before=0
    shift
    /usr/bin/time -v -o usage "$@" || fail "failed: $*"
    now=$(sed -n 's/.*Maximum resident set size (kbytes): //p' usage)
    [[ -f $file ]] && before=$(<"$file")
    printf '%s\n' $((now > before ? now : before)) >"$file"
}

# one_size MIB: seals, verifies and restores so many MiB, with the small budget and without one. The plaintext is made
# anew to compare with, so that no more than two of the three files lie on the disk at once.
one_size() {
    local mib=$1 setting round
    real_bytes $((mib * 1048576)) >plain
    for setting in "${!settings[@]}"; do
        for ((round = 0; round < rounds; round++)); do
            rm -f sealed
            peak "seal.$setting.$mib" "$cofferdam" seal ${settings[$setting]} -r "$recipient" -o sealed plain
        done
    done
    rm -f plain
    for setting in "${!settings[@]}"; do
        for ((round = 0; round < rounds; round++)); do
            rm -f restored
            peak "keyless.$setting.$mib" "$cofferdam" verify ${settings[$setting]} sealed
            peak "verify.$setting.$mib" "$cofferdam" verify ${settings[$setting]} -i key.txt sealed
            peak "restore.$setting.$mib" "$cofferdam" restore ${settings[$setting]} -i key.txt sealed restored
        done
        real_bytes $((mib * 1048576)) | cmp - restored || fail "other bytes were restored than were sealed"
    done
    rm -f sealed restored
}

# row NAME FILE SETTING BAR: a line of the table; missed becomes 1 where a bar is missed.
row() {
    local a b verdict=yes
    a=$(<"$2.$3.$small") b=$(<"$2.$3.$large")
    if ((a >= $4 || b >= $4)); then verdict=no missed=1; fi
    if ((b * 100 > a * (100 + growth_bar))); then verdict="no: it grows" missed=1; fi
    awk -v name="$1" -v a="$a" -v b="$b" -v bar="$4" -v verdict="$verdict" \
        'BEGIN { printf "| %s | %.1f | %.1f | %d | %s |\n", name, a / 1024, b / 1024, bar / 1024, verdict }'
}

one_size "$small"
one_size "$large"
missed=0
printf 'Largest of %s rounds, X25519 identity, %s processors.\n\n' "$rounds" "$(nproc)"
printf '| peak resident memory, MiB | at %s MiB | at %s MiB | must stay under | does |\n|---|---|---|---|---|\n' "$small" "$large"
row '`restore --memory 4MiB`' restore small $small_bar
row '`restore`' restore default $default_bar
row '`seal --memory 4MiB`' seal small $small_bar
row '`seal`' seal default $default_bar
row '`verify -i … --memory 4MiB`' verify small $small_bar
row '`verify -i …`' verify default $default_bar
row '`verify --memory 4MiB`, no key' keyless small $small_bar
row '`verify`, no key' keyless default $default_bar
exit $missed
