#!/usr/bin/env bash
# Run one method and seed per task of a SLURM job array, each in a run folder of its own. Submit the same line again, and
# every task resumes. `--array` counts tasks from 0: methods x seeds.
#
#   DATASET=bcss-wsss ROOT=/data/BCSS-WSSS OUT=runs sbatch --array=0-11 scripts/job_array.sh
#   METHODS="cam+ qa-clims-path" SEEDS="0 1 2 3 4" ... sbatch --array=0-9 scripts/job_array.sh masks.refiner=crf
#
# GlaS has no `shuffled`, because its images have one class and no answers to exchange: METHODS="cam+ names qa-clims-path".
# Settings after the script's name are passed on. When all tasks are done:
#
#   qaclims compare runs/bcss-wsss/* --against cam+ --out table.csv
#
# One GPU per task keeps each training in one process, so that its numbers do not depend on the number of GPUs. SLURM sends
# TERM two minutes before the end of a task's time; the task saves its state then, and is queued again.
#SBATCH --job-name=qaclims
#SBATCH --gpus=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=12:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
#SBATCH --output=slurm-%A_%a.log
set -euo pipefail

: "${DATASET:?say which data set: DATASET=bcss-wsss}" "${ROOT:?say where its data is: ROOT=/data/BCSS-WSSS}"
read -ra methods <<<"${METHODS:-cam+ names shuffled qa-clims-path}"
read -ra seeds <<<"${SEEDS:-0 1 2}"
task=${SLURM_ARRAY_TASK_ID:?start this with sbatch --array, or set it to try one task}
if ((task >= ${#methods[@]} * ${#seeds[@]})); then
  echo "There are ${#methods[@]} methods x ${#seeds[@]} seeds, so no task $task." >&2
  exit 2
fi
method=${methods[task / ${#seeds[@]}]}
seed=${seeds[task % ${#seeds[@]}]}

settings=(--set "seed=$seed")
for setting in "$@"; do
  settings+=(--set "$setting")
done

asked= run=
trap 'asked=yes; kill -TERM ${run:-$!} 2>/dev/null || true' TERM # the signal goes to this shell
qaclims run "$DATASET/$method" --root "$ROOT" --out "${OUT:-runs}/$DATASET/$method-$seed" --devices 1 \
  --workers "$((${SLURM_CPUS_PER_TASK:-2} - 1))" "${settings[@]}" &
run=$!
code=0
wait "$run" || code=$?
if [ -n "$asked" ]; then # that woke the shell; the run may still be saving
  code=0
  wait "$run" || code=$?
  if ((code)) && [ -n "${SLURM_JOB_ID:-}" ]; then
    scontrol requeue "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}_$task"
  fi
fi
exit "$code"
