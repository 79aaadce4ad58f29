#!/bin/sh
# Restores SEALED to TARGET by a job array of PARTS tasks: slurm.sh IDENTITY SEALED TARGET PARTS [PLAN]
# All paths are on a file system that every node has. SEALED and TARGET may be URLs; PLAN, a file that is made, is TARGET.plan, unless
# TARGET is a URL: then name one. Tasks that a node loses are queued again, and do what is left.
set -eu
identity=$(realpath -e -- "$1")
case $2 in
    *://*) sealed=$2 ;;
    *) sealed=$(realpath -e -- "$2") ;;
esac
plan=${5:-}
case $3 in
    *://*)
        target=$3
        : "${plan:?name a file that every node has: the target is an object}"
        ;;
    *)
        target=$(realpath -s -- "$3")
        plan=${plan:-$target.plan}
        ;;
esac
plan=$(realpath -s -- "$plan")
parts=$4
# Of each task, and of the commit: all of them are used.
cpus=${CPUS:-4}

# A word for the shell that runs the job, whatever is in it.
quoted() { printf %s "$1" | sed "s/'/'\\\\''/g; 1s/^/'/; \$s/\$/'/"; }
run="cofferdam restore --plan $(quoted "$plan")"
with_key="$run -i $(quoted "$identity")"

planned=$(sbatch --parsable --job-name=restore-plan \
    --wrap="$with_key --parts $parts $(quoted "$sealed") $(quoted "$target")")
# If the plan fails, the tasks are cancelled, where they would wait for ever.
restored=$(sbatch --parsable --job-name=restore-part --requeue --array="0-$((parts - 1))" --cpus-per-task="$cpus" \
    --dependency="afterok:${planned%%;*}" --kill-on-invalid-dep=yes \
    --wrap="$with_key --part \$SLURM_ARRAY_TASK_ID")
# After any end: if parts are missing, it says which, with exit code 19.
sbatch --parsable --job-name=restore-commit --cpus-per-task="$cpus" --dependency="afterany:${restored%%;*}" --wrap="$run --commit"
