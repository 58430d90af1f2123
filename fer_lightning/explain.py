"""What a network looks at: `python -m fer_lightning.explain RUN`, for a run made with trainer.save_weights=true.

Every sample is explained by the network of the fold that tested it. A network that trained on a sample may have learned
it by heart, and its map would say where that face differs from the others, not where an expression is seen.

Writes into RUN/figures/: grad_cam.png (some samples, with their faces), feature_maps.png (the first of them),
grad_cam_classes.png (the mean over the test samples of each class: shows nobody's face) and explain.json.
"""

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from fer_lightning.errors import ConfigError, FERError

EPILOG = """
Samples are drawn at random: of each class as many as --samples says, half of them rightly predicted where there are
both. Before anything is drawn, the network has to give the stored predictions of all samples it explains within 1e-4.
The maps are Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391) of the last layer that makes maps of 3x3 pixels or
more; of two parallel streams, of both. Of a clip the middle frame is shown; the means are over all frames.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 where the run cannot be explained."""
    parser = argparse.ArgumentParser(
        prog="python -m fer_lightning.explain", description=__doc__, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder (holds weights/ and predictions/)")
    parser.add_argument("--layer", nargs="+", metavar="NAME", help="layer(s) to explain, instead of the last one")
    parser.add_argument("--samples", type=int, default=2, help="samples of each class (2)")
    parser.add_argument("--ids", nargs="+", metavar="ID", help="these samples instead")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (0)")
    parser.add_argument("--target", default="predicted", choices=("predicted", "label"),
                        help="what speaks for the predicted class, or for the true one (predicted)")  # fmt: skip
    parser.add_argument("--classes-from", type=int, metavar="N",
                        help="make the means of N test samples of each class, drawn at random (all)")  # fmt: skip
    parser.add_argument("--root", help="raw data of the data set, where it has moved since")
    parser.add_argument("--cache", help="folder of cached arrays, where it has moved since")
    asked = parser.parse_args(arguments)
    try:
        if importlib.util.find_spec("captum") is None:
            raise ConfigError("this command needs Captum: pip install 'fer_lightning[explain]'")
        if asked.samples < 1 or (asked.classes_from is not None and asked.classes_from < 1):
            raise ConfigError("--samples and --classes-from must be at least 1")
        # torch, Lightning and Captum take seconds to import; --help needs none of them
        from fer_lightning.explaining.finished import FinishedRun
        from fer_lightning.explaining.write import write_explanation

        run = FinishedRun(asked.run, asked.root, asked.cache)
        files = write_explanation(
            run, asked.layer, asked.ids, asked.samples, asked.seed, asked.target, asked.classes_from
        )
    except FERError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    print("\n".join(map(str, files)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
