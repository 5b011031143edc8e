#!/bin/sh
# Resolves pyproject.toml into the lock files beside this script: for every platform and every supported Python at
# once, with the hash of each file. `make lock` runs it.
#
# development.txt  everything, tools included      `make setup`
# demo.txt         the service and the demo        `make demo`
# runtime.txt      the service, PostgreSQL too     `make serve`, the image for CUDA
# without-torch.txt  the same less PyTorch, which comes from its CPU wheel index   the image for the CPU
set -eu
cd "$(dirname "$0")/.."
uv="${VENV:-.venv}/bin/uv"

# No configuration of the machine it runs on may find its way in.
unset UV_INDEX UV_INDEX_URL UV_EXTRA_INDEX_URL UV_DEFAULT_INDEX UV_FIND_LINKS UV_CONSTRAINT UV_OVERRIDE 2>/dev/null || true

resolve() {
    output="requirements/$1"
    shift
    "$uv" pip compile pyproject.toml --no-config --quiet --universal --python-version 3.11 \
        --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
        --custom-compile-command 'make lock' "$@" --output-file "$output"
    echo "$output"
}

rm -f requirements/*.txt
resolve development.txt --all-extras
resolve demo.txt --extra postgres --extra demo --constraint requirements/development.txt
resolve runtime.txt --extra postgres --constraint requirements/development.txt

cuda=$(sed -nE 's/^(nvidia-[a-z0-9-]+|cuda-[a-z]+|triton)==.*/\1/p' requirements/runtime.txt)
set --
for package in torch torchvision $cuda; do
    set -- "$@" --no-emit-package "$package"
done
resolve without-torch.txt --extra postgres --constraint requirements/runtime.txt "$@"
