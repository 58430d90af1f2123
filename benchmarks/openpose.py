"""What OpenPose's JSON costs: files a processor second of one core, from disk to arrays.

    python benchmarks/openpose.py [--files 5000]

Writes files of one person with body, face and both hands, as OpenPose 1.3 does (about 3.4 kB each), into a temporary
folder. Processor time, so that other work on the machine counts little; the files are in the page cache. The best of
three rounds, then where the time of `PoseArray` goes. The project's target is 5,000 files a second.
"""

import argparse
import cProfile
import json
import pstats
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pandas as pd

from fer_lightning.functional import openpose
from fer_lightning.preprocess.pose_array import PoseArray
from fer_lightning.preprocess.pose_clip import PoseClip
from fer_lightning.preprocess.pose_image import PoseImage

CLIP = 100
drain = deque(maxlen=0).extend  # keeps nothing, so that no garbage is collected but the work's own


def document(rng: np.random.Generator) -> bytes:
    """One person in an image of 1280x720 pixels; a tenth of the points were not found."""
    person: dict[str, list] = {"person_id": [-1]}
    for part, place in openpose.PARTS.items():
        points = rng.uniform(0, (1280, 720, 1), (place.stop - place.start, 3))
        points[rng.random(len(points)) < 0.1] = 0
        digits = [float(f"{value:.6g}") for value in points.ravel()]
        person[openpose.KEYS[part][0]] = [int(value) if value == int(value) else value for value in digits]
    for part in ("pose", "face", "hand_left", "hand_right"):
        person[f"{part}_keypoints_3d"] = []
    return json.dumps({"version": 1.3, "people": [person]}, separators=(",", ":")).encode()


def rate(work: Callable[[], object], files: int) -> float:
    """Files a processor second; the best of three."""
    seconds = []
    for _ in range(3):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return files / min(seconds)


def main() -> None:
    """Write the files, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=5000, help="how many (default: 5000)")
    files = parser.parse_args().files // CLIP * CLIP
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        paths = [f"{number // CLIP:04d}/v_{number % CLIP:012d}_keypoints.json" for number in range(files)]
        for path in paths:
            (root / path).parent.mkdir(exist_ok=True)
            (root / path).write_bytes(document(rng))
        contents = [(root / path).read_bytes() for path in paths]
        rows = pd.DataFrame({"path": paths})
        clips = pd.DataFrame({"path": sorted({path[:4] for path in paths}), "onset": pd.NA, "offset": pd.NA})
        clips["sample_id"] = clips["path"]

        def make(recipe: object, table: pd.DataFrame) -> Callable[[], object]:
            return lambda: drain(recipe.make(root, table))

        print(
            f"{files} files of {np.mean([len(content) for content in contents]):.0f} bytes; files a processor second:"
        )
        for name, work in {
            "json.loads alone": lambda: drain(map(json.loads, contents)),
            "orjson.loads alone": lambda: drain(map(orjson.loads, contents)),
            "parse": lambda: drain(openpose.parse(content, "frame") for content in contents),
            "read and parse": lambda: drain(openpose.read(root / path) for path in paths),
            "PoseArray, box": make(PoseArray(normalise="box"), rows),
            "PoseArray, torso": make(PoseArray(normalise="torso"), rows),
            "PoseArray, as in the file": make(PoseArray(normalise=None), rows),
            "PoseArray, box, track": make(PoseArray(person="track"), rows),
            f"PoseClip, {CLIP} files, all read": make(PoseClip(frames=CLIP), clips),
            "PoseImage, 112 pixels": make(PoseImage(), rows[:500]),
        }.items():
            print(f"  {name:32} {rate(work, 500 if 'Image' in name else files):10,.0f}")
        profile = cProfile.Profile()
        profile.runcall(make(PoseArray(normalise="box"), rows))
        pstats.Stats(profile).sort_stats("tottime").print_stats(12)


if __name__ == "__main__":
    main()
