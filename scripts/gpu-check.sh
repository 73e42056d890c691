#!/bin/sh
# Checks trainings on a machine with a GPU, after `npm run setup`, in under eight minutes: the first loss of preferences (ln 2), peak
# memory beside the estimate of `plan`, a stopped and resumed training, and seconds a step beside TRL's own trainers.
# Nobody has run it on a GPU yet. docs/training.md is where its tables belong.
set -eu
cd "$(dirname "$0")/.."
nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv
npx backspin doctor
timeout 420 npm run bench -- training
