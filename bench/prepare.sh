# What the scripts beside this file share: the programs they need, the input they work on, the binary they measure.
# It measures nothing; it is sourced, not run.

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cofferdam=${CARGO_TARGET_DIR:-$repository/target}/release/cofferdam

fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 2
}

# need PROGRAM PACKAGE: ends the script, with how to install it, where a program is missing.
need() {
    command -v "$1" >/dev/null || fail "$1 is missing; on Debian: apt-get install $2"
}

build_release() {
    (cd "$repository" && cargo build --quiet --release -p cofferdam-cli)
}

# real_bytes LEN: so many bytes of the toolchain's own largest files, again from the front where they do not suffice.
real_bytes() {
    local files
    mapfile -t files < <(
        find "$(rustc --print sysroot)" -type f -printf '%s %p\n' | sort -rn | sed -n '1,32s/^[0-9]* //p'
    )
    # head closes the pipe when it has enough, which is no failure.
    (set +o pipefail; while cat "${files[@]}"; do :; done 2>/dev/null | head -c "$1")
}

# input KIND LEN: bytes of one of the three kinds, to standard output.
input() {
    case $1 in
        real) real_bytes "$2" ;;
        random) head -c "$2" /dev/urandom ;;
        zeros) head -c "$2" /dev/zero ;;
        *) fail "no such input: $1; there are real, random and zeros" ;;
    esac
}

# room DIRECTORY MIB: ends the script where there is less.
room() {
    local free
    free=$(df --output=avail -BM "$1" | sed -n '2s/[^0-9]//gp')
    ((free >= $2)) || fail "$1 has $free MiB left and $2 are needed"
}

# median, of numbers one a line.
median() {
    sort -n | awk '{ v[NR] = $1 } END { printf "%.3f", NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

machine() {
    printf -- '- %s, %s processors, %s of memory\n' \
        "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)" \
        "$(awk '/^MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)"
    printf -- '- Linux %s, %s, load %s when this began\n' \
        "$(uname -r)" "$(rustc --version)" "$(cut -d' ' -f1 /proc/loadavg)"
    printf -- '- Cofferdam at commit %s\n' "$(git -C "$repository" rev-parse --short HEAD)"
    awk '$1 > 0.7 { print "- **The machine was busy with other work: the figures below are a trial, and no result.**" }' /proc/loadavg
}
