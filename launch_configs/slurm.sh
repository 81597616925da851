#!/bin/bash
# Train on several nodes under Slurm, over as many time limits as it takes. From the root of the repository:
#   sbatch launch_configs/slurm.sh runs/my_run --config whisper_tiny_minds14 [other settings]
# The run folder must be on a file system that all nodes share. Ten minutes before the time limit every rank stops after
# the same step, with a checkpoint, and the job queues again, until the run folder holds last/. A run that fails before
# the limit is not queued again.
#SBATCH --job-name=accel-asr
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=32
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@600
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=slurm-%j.log

set -u
run=${1:?give the run folder first, then the settings}
shift
gpus_per_node=${SLURM_GPUS_ON_NODE:-8}
main_node=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)

# without the first the signal would end the launchers and orphan their ranks; without the second they would kill the
# ranks 30 seconds after it, in the middle of a long step or of an evaluation
export PET_SIGNALS_TO_HANDLE=SIGTERM,SIGINT,SIGUSR1
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=540

warned=
trap 'warned=yes; scancel --signal=USR1 "$SLURM_JOB_ID"' USR1 # to the launchers, one on each node, which pass it on

# exec: the signal is for the launcher, not for a shell around it
srun --kill-on-bad-exit=1 bash -c 'exec accelerate launch --config_file launch_configs/multi_node.yaml \
    --num_machines "$SLURM_NNODES" --machine_rank "$SLURM_NODEID" --num_processes "$0" \
    --main_process_ip "$1" --main_process_port 29500 accel_asr/train.py "${@:2}"' \
    "$((SLURM_NNODES * gpus_per_node))" "$main_node" "$@" --output_dir "$run" --checkpoint.resume true &
step=$!
wait "$step"
code=$?
while kill -0 "$step" 2>/dev/null; do # the trap ended the wait
    wait "$step"
    code=$?
done

if [ -d "$run/last" ]; then
    exit 0
fi
if [ -n "$warned" ]; then
    scontrol requeue "$SLURM_JOB_ID"
    exit 0
fi
exit "$code"
