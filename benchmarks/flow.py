"""How right and how fast the optical-flow path is, on drawn clips whose displacement and apex are known.

    python benchmarks/flow.py           end-point error and strain by data set and method, then clips a second
    python benchmarks/flow.py --apex    how far the spotted apex lies from the true one

The clips are those of the data sets' `write_tiny`: 90x80 pixels, moved by `synthetic.MOVEMENTS`, stored as jpg or bmp
and read back as a recipe reads them. Speed is measured at CASME II's size, 280x340, in one process on one thread.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from unittest import mock

import cv2
import numpy as np
import pandas as pd

from fer_lightning.datasets import casme2, samm, smic, synthetic
from fer_lightning.functional import flow as maths
from fer_lightning.functional.frames import clip_frames
from fer_lightning.preprocess import apex, flow

DATA = {"casme2": casme2, "samm": samm, "smic": smic}
HEIGHT, WIDTH = 340, 280
#: Frames of the long clips, and their apexes.
LENGTH, APEXES = 31, (8, 15, 22)


def tiny_with_truth(data: ModuleType, root: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Let a data set write its tiny layout; returns clip folder below `root` -> (u, v) at the apex in pixels.

    The field that was drawn last is noted when a folder's first picture is written.
    """
    movement, write, drawn, fields = synthetic.movement, synthetic.write_image, [], {}

    def noted_movement(*arguments: object, **named: object) -> tuple[np.ndarray, np.ndarray]:
        drawn.append(movement(*arguments, **named))
        return drawn[-1]

    def noted_write(file: Path, image: np.ndarray) -> None:
        write(file, image)
        below = file.parent.parts[len(root.parts) :]  # root itself has another name until it is complete
        fields.setdefault("/".join(below), drawn[-1])

    with mock.patch.multiple(synthetic, movement=noted_movement, write_image=noted_write):
        data.write_tiny(root)
    return fields


def accuracy(data: ModuleType, root: Path, method: str, clips: int | None = None) -> dict[str, float]:
    """Means over the tiny clips of one data set, or over the first of them.

    Returns:
        ``motion``: length of the true displacement, which is what a flow of zeros would err by; ``error``: end-point
        error; both in pixels. ``strain`` of the true displacement; ``strain error``: absolute difference to it;
        ``strain r``: correlation with it over the pixels of a clip.
    """
    fields = tiny_with_truth(data, root)
    measured = []
    for row in data.build_manifest(root).head(clips).itertuples():
        u, v = fields[row.path]
        pair = flow.read_pair(root, row.sample_id, row.path, row.onset, row.apex)
        found = flow.optical_flow(*pair, method)
        strain, found_strain = maths.strain(u, v), maths.strain(*found)
        measured.append(
            {
                "motion": maths.magnitude(u, v).mean(),
                "error": maths.end_point_error(*found, u, v),
                "strain": strain.mean(),
                "strain error": np.abs(found_strain - strain).mean(),
                "strain r": np.corrcoef(found_strain.ravel(), strain.ravel())[0, 1],
            }
        )
    return pd.DataFrame(measured).mean().to_dict() | {"clips": len(measured)}


def strain_of_a_bump(radius: float = 6.4, pixels: float = 2.5) -> tuple[float, float]:
    """Strain of ``u = 0.6 g, v = -0.8 g`` with ``g = pixels exp(-r^2 / (2 radius^2))``, on 90x80 pixels.

    Returns:
        Its greatest value by the formula's derivatives, and the greatest difference of `maths.strain` to them.
    """
    y, x = np.mgrid[-45:45.0, -40:40.0]
    bump = pixels * np.exp(-(x**2 + y**2) / (2 * radius**2))
    g_x, g_y = -x / radius**2 * bump, -y / radius**2 * bump
    exact = np.sqrt((0.6 * g_x) ** 2 + (0.8 * g_y) ** 2 + 0.5 * (0.6 * g_y - 0.8 * g_x) ** 2)
    return float(exact.max()), float(np.abs(maths.strain(0.6 * bump, -0.8 * bump) - exact).max())


def speed(root: Path, method: str, clips: int, height: int = HEIGHT, width: int = WIDTH) -> dict[str, float]:
    """What `OnsetApexFlow` needs for drawn clips in this process.

    Returns:
        Clips a second of wall time and of processor time, and the share of wall time of each part of the work.
    """
    rng, rows = np.random.default_rng(0), []
    for number, kind in zip(range(clips), list(synthetic.MOVEMENTS) * clips, strict=False):
        neutral = synthetic.textured_face(rng, height, width)
        for frame, image in enumerate(synthetic.clip(rng, neutral, kind, pixels=3.0)):
            synthetic.write_image(root / f"clip{number}" / f"img{frame}.jpg", image)
        rows.append({"sample_id": f"clip{number}", "path": f"clip{number}", "onset": 0, "apex": 3})
    recipe = flow.OnsetApexFlow(size=28, channels=["u", "v", "strain"], method=method)
    wall, processor = time.perf_counter(), time.process_time()
    for _ in recipe.make(root, pd.DataFrame(rows)):
        pass
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    shares = {part: seconds / wall for part, seconds in recipe._seconds.items()}
    return {"clips/s": clips / wall, "clips/CPU s": clips / processor} | shares


def tiny_spotting(data: ModuleType, root: Path, methods: Sequence[str] = apex.METHODS) -> dict[str, list[int]]:
    """Method -> frames between the spotted and the true apex of each tiny clip of one data set."""
    data.write_tiny(root)
    rows = data.build_manifest(root, apex="spot")
    errors = {}
    for method in methods:
        spotted = [int(made[0]) for made in apex.SpotApex(method).make(root, rows)]
        numbers = [list(clip_frames(root, row.path, row.sample_id)) for row in rows.itertuples()]
        true = synthetic.COURSE.index(1.0)
        errors[method] = [abs(n.index(number) - true) for n, number in zip(numbers, spotted, strict=True)]
    return errors


def long_spotting(methods: Sequence[str] = apex.METHODS, seeds: int = 3) -> dict[str, list[int]]:
    """Method, or middle -> error in frames on clips of 31 frames whose apex is frame 8, 15 or 22.

    Each moves by 2 pixels until its apex and back, smoothly, with noise of half a grey level.
    """
    errors = {name: [] for name in (*methods, "middle")}
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        face = synthetic.textured_face(rng, 90, 80)
        for kind in synthetic.MOVEMENTS:
            u, v = synthetic.movement(rng, 90, 80, kind, pixels=2.0)
            for at in APEXES:
                steps = np.arange(LENGTH)
                course = np.sin(np.pi / 2 * np.minimum(steps / at, (LENGTH - 1 - steps) / (LENGTH - 1 - at))) ** 2
                moved = np.stack([synthetic.warp(face, share * u, share * v) for share in course])
                frames = np.clip(moved + rng.normal(0, 0.5, moved.shape), 0, 255).round().astype(np.uint8)
                for method in methods:
                    errors[method].append(abs(apex.SpotApex(method).index(frames) - at))
                errors["middle"].append(abs(LENGTH // 2 - at))
    return errors


def print_flow(clips: int) -> None:
    """The tables of accuracy and speed."""
    columns = ("motion", "error", "strain", "strain error", "strain r")
    print(f"{'data':8}{'method':10}{'clips':>6}" + "".join(f"{column:>14}" for column in columns))
    with tempfile.TemporaryDirectory() as folder:
        for name, data in DATA.items():
            for method in flow.METHODS:
                mean = accuracy(data, Path(folder) / name, method)
                cells = "".join(f"{mean[column]:14.3f}" for column in columns)
                print(f"{name:8}{method:10}{mean['clips']:6}{cells}", flush=True)
    print("strain of a drawn bump: greatest value {:.4f}, our greatest error {:.5f}\n".format(*strain_of_a_bump()))
    print(f"{'method':11}{'clips/s':>9}{'clips/CPU s':>13}   share of the time ({WIDTH}x{HEIGHT}, {clips} clips)")
    for method in flow.METHODS:
        with tempfile.TemporaryDirectory() as folder:
            measured = speed(Path(folder), method, clips)
        shares = ", ".join(f"{part} {measured[part]:.1%}" for part in ("optical flow", "reading", "strain and resize"))
        print(f"{method:11}{measured['clips/s']:9.2f}{measured['clips/CPU s']:13.2f}   {shares}", flush=True)


def print_apex() -> None:
    """The table of spotting: mean error in frames, and the share of clips that err by at most one."""
    print(f"{'data':20}{'clips':>6}" + "".join(f"{method:>22}" for method in (*apex.METHODS, "middle")))
    with tempfile.TemporaryDirectory() as folder:
        found = {f"{name}, 7 frames": tiny_spotting(data, Path(folder) / name) for name, data in DATA.items()}
    for name, errors in (found | {"long, 31 frames": long_spotting()}).items():
        cells = [f"{np.mean(e):.2f} ({np.mean(np.array(e) <= 1):.0%})" for e in errors.values()]
        print(f"{name:20}{len(errors['flow']):6}" + "".join(f"{cell:>22}" for cell in cells))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--apex", action="store_true", help="the table of spotting instead")
    parser.add_argument("--clips", type=int, default=12, help="clips that the speed is measured on (default: 12)")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    print_apex() if given.apex else print_flow(given.clips)


if __name__ == "__main__":
    main()
