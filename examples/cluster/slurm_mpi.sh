#!/bin/bash
# One training on several cards and machines under Slurm. Submit from a folder that all nodes share:
#
#   sbatch --nodes=2 --ntasks-per-node=4 --gpus-per-node=4 examples/cluster/slurm_mpi.sh --data texts.jsonl --out adapted
#
# Takes the arguments of `minift train`, which was built with the feature mpi. A job that is requeued, or submitted again,
# continues from its last checkpoint, also with another number of tasks.
#SBATCH --job-name=minift
#SBATCH --cpus-per-task=4
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --signal=TERM@120
#SBATCH --output=minift-%j.log
set -euo pipefail
out=""
for argument in "$@"; do
    [ "${previous:-}" = --out ] && out="$argument"
    previous="$argument"
done
[ -n "$out" ] || { echo "give the output folder as --out DIR" >&2 && exit 1; }
if [ -e "$out/run.json" ]; then
    echo "$out is complete"
    exit
fi
resume=()
[ -e "$out.checkpoint" ] && resume=(--resume)
# Slurm starts the tasks itself where it was built with PMIx, which `srun --mpi=list` shows; mpirun works everywhere.
if srun --mpi=list 2>&1 | grep -q pmix; then
    exec srun --mpi=pmix --kill-on-bad-exit=1 "${MINIFT:-minift}" --device "${DEVICE:-gpu:local-rank}" \
        train "$@" "${resume[@]}"
fi
exec mpirun --bind-to none "${MINIFT:-minift}" --device "${DEVICE:-gpu:local-rank}" train "$@" "${resume[@]}"
