#!/usr/bin/env bash
# What wants a GPU, on one that is lent for minutes at a time, without a network and without this project's packages.
#
#   bash benchmarks/lent_gpu.sh <carried folder> <out> [minutes]
#
# The carried folder is what `python benchmarks/carry.py pack` wrote, with wheels/*.whl of what the machine lacks, and
# runs.tar.gz of an earlier loan, whose finished folds are not run again. The first call installs, unpacks, and starts
# the queue below in the background; each call waits so many minutes (9) and then writes to <out>: log.txt,
# throughput.csv, and runs.tar.gz, the run folders without checkpoints and weights. Call it again until the log says
# "queue done". At home: unpack runs.tar.gz into $FER_RUNS, then `python -m fer_lightning.reproduce <table> --collect`.
# QUICK=1 runs the same queue on generated data and one epoch, to try it, on a CPU too.
set -euo pipefail
carried="$(realpath "$1")" out="$(realpath "$2")" minutes="${3:-9}"
here="$(cd "$(dirname "$0")/.." && pwd)"
state="${LENT:-/tmp/lent}"
export FER_RAW="$state/raw" FER_RUNS="$state/runs" PYTHONUNBUFFERED=1 NO_ALBUMENTATIONS_UPDATE=1
export PYTHONPATH="$here:$state/site"
half="$((($(nproc) + 1) / 2))" quarter="$((($(nproc) + 3) / 4))"
quick="" steps=100
if [ -n "${QUICK:-}" ]; then quick="debug=tiny trainer.max_epochs=1" steps=2; fi

bench() { python3 benchmarks/throughput.py ${QUICK:+debug=tiny} "data.num_workers=$half" --steps "$steps" --csv "$@"; }
row() { python3 train.py "experiment=$1" "${@:2}" $quick; }
loso() { row "$1" "protocol.workers=$2" "${@:3}"; }

queue() {
  cd "$here"
  # 1. alone on the device, so that the figures are of nothing else
  { bench model=vggnet data=fer2013 --modes fp32 bf16 bf16+channels_last bf16+channels_last+compile fp16+channels_last
    bench model=waspp data=megc2019_flow --modes fp32 bf16 bf16+channels_last
    bench model=waspp data=megc2019_flow model.geometry=vggm --modes fp32 bf16; } > "$state/throughput.csv"
  python3 -m fer_lightning.batch_size model=vggnet data=fer2013 ${QUICK:+debug=tiny}
  # 2. side by side: one long run of FER2013, and the folds of the micro-expression networks on the other cores
  row vggspinal-t14-vggnet "data.num_workers=$half" trainer.checkpoint_minutes=2 &
  loso micro-oracle-htnet-oracle $quarter &
  loso micro-oracle-waspp-oracle $quarter
  row camnet-t6-4-camnet "data.num_workers=$quarter"
  wait
}

if [ ! -e "$state/started" ]; then
  mkdir -p "$state/site" "$FER_RAW" "$FER_RUNS"
  if compgen -G "$carried/wheels/*.whl" > /dev/null; then
    python3 -m pip install -q --no-index --no-deps --no-compile --target "$state/site" "$carried"/wheels/*.whl
  fi
  if [ -e "$carried/runs.tar.gz" ]; then tar -C "$FER_RUNS" -xzf "$carried/runs.tar.gz"; fi
  python3 "$here/benchmarks/carry.py" unpack "$carried" "$FER_RAW"
  touch "$state/started"
  export -f queue bench row loso
  export here state half quarter quick steps
  setsid nohup bash -c 'queue; echo "queue done"' > "$state/log.txt" 2>&1 < /dev/null &
fi

until=$((SECONDS + ${minutes%.*} * 60))
while [ $SECONDS -lt $until ] && ! tail -n 1 "$state/log.txt" | grep -q "queue done"; do
  sleep 5
done
tail -n 20 "$state/log.txt"
mkdir -p "$out"
cp "$state/log.txt" "$out/"
cp "$state/throughput.csv" "$out/" 2> /dev/null || echo "throughput.csv is not there yet"
tar -C "$FER_RUNS" --exclude='*.ckpt' --exclude='*.safetensors' --exclude=cache --exclude=.hydra -czf "$out/runs.tar.gz" .
ls -l "$out"
