#!/bin/sh
# Runs a command in a new cgroup that has so much memory and no swap, then says how much it used at most, how often it ran
# against its limit, and what its exit code was. Needs root, and a memory controller of version 1 or 2.
#
#   bench/in_cgroup.sh 64M cofferdam restore -i key.txt sealed.cfd restored
set -eu
limit=$1
shift
name=cofferdam-$$
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    cgroup=/sys/fs/cgroup/$name
    mkdir "$cgroup"
    echo "$limit" >"$cgroup/memory.max"
    [ ! -f "$cgroup/memory.swap.max" ] || echo 0 >"$cgroup/memory.swap.max"
    peak=memory.peak
    events=memory.events
else
    cgroup=/sys/fs/cgroup/memory/$name
    mkdir "$cgroup"
    echo "$limit" >"$cgroup/memory.limit_in_bytes"
    [ ! -f "$cgroup/memory.memsw.limit_in_bytes" ] || echo "$limit" >"$cgroup/memory.memsw.limit_in_bytes"
    peak=memory.max_usage_in_bytes
    events=memory.oom_control
fi
code=0
sh -c 'echo $$ >"$0/cgroup.procs"; exec "$@"' "$cgroup" "$@" || code=$?
echo "exit code $code, peak $(cat "$cgroup/$peak") bytes; $(tr '\n' ' ' <"$cgroup/$events")"
rmdir "$cgroup"
exit "$code"
