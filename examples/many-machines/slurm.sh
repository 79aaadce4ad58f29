#!/bin/sh
# Restores SEALED to TARGET by a job array of PARTS tasks: slurm.sh IDENTITY SEALED TARGET PARTS
# All paths are on a file system that every node has. Tasks that a node loses are queued again, and do what is left.
set -eu
identity=$(realpath "$1") sealed=$(realpath "$2") target=$(realpath -s "$3") parts=$4
plan=$target.plan
run="cofferdam restore --plan '$plan'"

planned=$(sbatch --parsable --job-name=restore-plan \
    --wrap="$run -i '$identity' --parts $parts '$sealed' '$target'")
restored=$(sbatch --parsable --job-name=restore-part --requeue --array="0-$((parts - 1))" \
    --dependency="afterok:${planned%%;*}" \
    --wrap="$run -i '$identity' --part \$SLURM_ARRAY_TASK_ID")
# After any end: if parts are missing, it says which, with exit code 19.
sbatch --parsable --job-name=restore-commit --dependency="afterany:${restored%%;*}" --wrap="$run --commit"
