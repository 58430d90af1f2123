"""`make demo`: the main job, end to end, on a synthetic CASME II that is written in the real raw layout.

    python train.py model=waspp data=casme2 -m

with the CPU geometry of the network and few epochs, so that all eight cells of the placement study are done in
minutes. Everything it writes is below `demo-runs/`. It may be killed and started again: finished folds are kept.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from fer_lightning.datasets.casme2 import write_tiny
from fer_lightning.errors import FERError

HERE = Path(__file__).resolve().parent.parent
#: What the demo changes in the main job: vggm has the same parameters at a hundredth of the cost, and the synthetic
#: motion is learned in few epochs. One process with all cores is quickest where a fold takes two seconds.
SMALLER = [
    "model.geometry=vggm", "trainer.max_epochs=6", "optimizer.lr=0.0003", "data.batch_size=8",
    "data.recipe.method=dis", "protocol.threads=null",
]  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the synthetic raw folder, run the main job on it, say where the results are."""
    parser = argparse.ArgumentParser(prog="python -m fer_lightning.demo", description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=HERE / "demo-runs", help="where to write (default: demo-runs)")
    folder = parser.parse_args(arguments).folder.resolve()
    raw = folder / "raw"
    try:
        if not (raw / "casme2").is_dir():
            write_tiny(raw / "casme2")
    except FERError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        reason = f"{raw} could not be written ({error.strerror or error})"
        print(f"StorageError: {reason}. Make room, or choose another folder with --folder", file=sys.stderr)
        return 2
    command = [sys.executable, "train.py", "model=waspp", "data=casme2", *SMALLER, "-m"]
    print(f"FER_RAW={raw} FER_RUNS={folder / 'runs'} python {' '.join(command[1:])}\n", flush=True)
    environment = os.environ | {"FER_RAW": str(raw), "FER_RUNS": str(folder / "runs")}
    code = subprocess.run(command, cwd=HERE, env=environment, check=False).returncode
    if code == 0:
        print(f"\nRun folders: {folder / 'runs' / 'casme2' / 'waspp'}")
        print(
            "The data of this demo is SYNTHETIC (drawn by fer_lightning/datasets/casme2.py): its scores show that the"
        )
        print("pipeline works and say nothing about faces. With the real release: FER_RAW=<folder> python train.py ...")
    return code


if __name__ == "__main__":
    sys.exit(main())
