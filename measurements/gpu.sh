#!/usr/bin/env bash
# What a CUDA device makes of finegrid, within ten minutes: correctness and memory, then speed.
#
#   measurements/gpu.sh [cuda|cpu] [FOLDER OF THE TABLES]
#
# It needs torch, transformers, peft and what finegrid imports; no network, no Snakemake, no driver's
# tool. Where packages are missing it names them; they can be brought as wheels beside the checkout:
#
#   python3 -m pip download --no-deps --only-binary=:all: --dest .whl NAME==VERSION ...
#   python3 -m pip install --no-index --no-deps --target /tmp/site .whl/*.whl
#   PYTHONPATH=/tmp/site measurements/gpu.sh
set -euo pipefail
cd "$(dirname "$0")/.."
device=${1:-cuda}
tables=${2:-measurements}
python=${PYTHON:-python3}
export CUBLAS_WORKSPACE_CONFIG=:4096:8 PYTHONUNBUFFERED=1 TOKENIZERS_PARALLELISM=false

"$python" - <<'END'
from importlib.util import find_spec
from importlib.metadata import version

needed = """accelerate datasets evaluate filelock jinja2 numpy pandas peft psutil pyarrow pydantic rich
    safetensors scipy sklearn tokenizers torch transformers typer yaml""".split()
missing = [name for name in needed if find_spec(name) is None]
if missing:
    raise SystemExit(f"missing here: {', '.join(missing)}")
print(*(f"{name} {version(name)}" for name in ("torch", "transformers", "peft")), sep=", ")
END

status=0
timeout 330 "$python" -m measurements.device --device "$device" \
    --output "$tables/device-$device.md" || status=$?
timeout 130 "$python" -m measurements.steps --device "$device" --minutes 0.5 --batch 64 --tokens 128 \
    --output "$tables/steps-$device.md" || status=$?
timeout 130 "$python" -m measurements.inference --device "$device" --minutes 0.2 \
    --output "$tables/inference-$device.md" || status=$?
exit "$status"
