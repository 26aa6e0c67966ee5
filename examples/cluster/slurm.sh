#!/bin/bash
# A comparison as a Slurm job array. Submit from a folder that all nodes share:
#
#   sbatch --array=1-8 examples/cluster/slurm.sh recipes/embedded.toml comparison
#   minift compare --recipe recipes/embedded.toml --out comparison --collect
#
# Each task of the array runs its share of the trainings. A task that is requeued, or submitted again, continues its
# unfinished training from the last checkpoint; complete ones are not run again.
#SBATCH --job-name=minift
#SBATCH --cpus-per-task=2
#SBATCH --mem=4G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --signal=B:TERM@60
#SBATCH --output=minift-%A_%a.log
set -euo pipefail
recipe="$1" out="$2"
# The array has to begin with 1 and to have no gaps.
share="$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT"
exec "${MINIFT:-minift}" compare --recipe "$recipe" --out "$out" --shard "$share" ${DEVICE:+--device "$DEVICE"}
