#!/usr/bin/env bash
# Runs a small comparison in one process, as a Slurm job array and with GNU parallel, and compares the results. The
# Slurm cluster is real, of one node: this machine. A task of the array is killed on the way.
#
#   tests/cluster.sh PATH/TO/minift [--mpi]
#
# With --mpi, for which minift was built with the feature mpi, it also runs one training on two tasks of a Slurm job.
# Needs the Debian packages slurm-wlm, munge and parallel, and openmpi-bin with --mpi.
set -euo pipefail
export MINIFT="$1" DEVICE=cpu
mpi="${2:-}"
cd "$(dirname "$0")/.."
examples="$PWD/examples/cluster"
work="$(mktemp -d)"
daemons=()
finish() {
    local status=$?
    [ ${#daemons[@]} -eq 0 ] || kill "${daemons[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    if [ "$status" -ne 0 ]; then
        echo "tests/cluster.sh failed; the logs:" >&2
        tail -n 20 "$work"/*.log >&2 || true
    fi
    rm -rf "$work"
}
trap finish EXIT
head -n 60 assets/tickets.jsonl >"$work/tickets.jsonl"
cd "$work"
cat >recipe.toml <<'RECIPE'
budgets = [16]
seeds = [0, 1]
max_length = 24
evaluation_samples = 6

[training]
epochs = 30
batch_size = 4

[[domain]]
name = "tickets"
data = "tickets.jsonl"
hold_out = 10

[[method]]
name = "FT"
method = "ft"

[[method]]
name = "MFT"
method = "mft"
sweep = [0.5]
RECIPE

# Waits until a command succeeds: SECONDS COMMAND…
wait_for() {
    local tries=$(($1 * 10))
    shift
    until "$@"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || { echo "gave up waiting for: $*" >&2 && return 1; }
        sleep 0.1
    done
}

# Results without times, and the report without its figures of time.
timeless() {
    sed -E 's/"(seconds|tokens_per_second)":[^,}]*,?//g' "$1/results.jsonl"
}

# Collects a comparison, and compares it with that of one process.
check() {
    "$MINIFT" compare --device cpu --recipe recipe.toml --out "$1" --collect >"$1.txt"
    grep -q "all complete" "$1.txt"
    diff <(timeless single) <(timeless "$1")
    echo "$1: equal to one process"
}

"$MINIFT" compare --device cpu --recipe recipe.toml --out single >single.txt

echo "== GNU parallel"
"$examples/parallel.sh" recipe.toml parallel --jobs 2 >parallel.log 2>&1
check parallel

echo "== Slurm"
mkdir -p munge slurm/state slurm/spool
dd if=/dev/urandom of=munge/key bs=128 count=1 status=none
chmod 700 munge && chmod 400 munge/key
munged --foreground --force --key-file="$work/munge/key" --socket="$work/munge/socket" \
    --pid-file="$work/munge/pid" --log-file="$work/munge/log" --seed-file="$work/munge/seed" >munge.log 2>&1 &
daemons+=($!)
host="$(hostname -s)"
cat >slurm/slurm.conf <<CONF
ClusterName=minift
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$work/munge/socket
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SlurmctldPort=26817
SlurmdPort=26818
StateSaveLocation=$work/slurm/state
SlurmdSpoolDir=$work/slurm/spool
SlurmctldPidFile=$work/slurm/slurmctld.pid
SlurmdPidFile=$work/slurm/slurmd.pid
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF="$work/slurm/slurm.conf"
wait_for 20 test -S munge/socket
slurmctld -D >slurmctld.log 2>&1 &
daemons+=($!)
slurmd -D >slurmd.log 2>&1 &
daemons+=($!)
is_idle() { sinfo --noheader --format=%t 2>/dev/null | grep -q '^idle'; }
wait_for 60 is_idle

# One core for each task, so that two run at once.
submit() { sbatch --parsable --cpus-per-task=1 --mem=0 "$@" "$examples/slurm.sh" recipe.toml slurm-results; }
job="$(submit --array=1-3)"
# The first task is killed once it has written a checkpoint, as on a node that fails.
has_checkpoint() { compgen -G "slurm-results/cells/*.checkpoint" >/dev/null; }
wait_for 120 has_checkpoint
pkill -KILL -f -- "--shard 1/3" || true
is_done() { [ -z "$(squeue --noheader --job "$1" 2>/dev/null)" ]; }
wait_for 300 is_done "$job"
"$MINIFT" compare --device cpu --recipe recipe.toml --out slurm-results --collect | grep missing
job="$(submit --array=1-3)"
wait_for 300 is_done "$job"
check slurm-results

[ -n "$mpi" ] || exit 0
echo "== one training on two tasks of a Slurm job"
# mpirun as root, as in a container.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
training=(--data tickets.jsonl --max-length 24 --batch-size 4 --max-steps 8 --no-dial)
"$MINIFT" --device cpu train "${training[@]}" --out one-process >one-process.log 2>&1
job="$(sbatch --parsable --ntasks=2 --cpus-per-task=1 --mem=0 --output=ranks.log \
    "$examples/slurm_mpi.sh" "${training[@]}" --out two-ranks)"
wait_for 120 is_done "$job"
grep -q "^Ranks  *2 " ranks.log
# The perplexities of the trained models: equal up to rounding.
perplexities() { "$MINIFT" --device cpu --json eval --model "$1" --data tickets.jsonl --max-length 24 | grep -o '"perplexity":[0-9.]*'; }
paste -d: <(perplexities one-process) <(perplexities two-ranks) | awk -F: '
    { ratio = $2 / $4; print "perplexities:", $2, $4 }
    ratio < 0.9999 || ratio > 1.0001 { wrong = 1 }
    END { exit wrong || NR == 0 }'
