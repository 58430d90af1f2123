"""What `python -m fer_lightning.models` prints: the networks and what each costs, or the layers of one."""

import argparse
import inspect
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf
from torch.nn import functional as F

from fer_lightning.compose import CONF, options
from fer_lightning.files import write_atomically
from fer_lightning.models.counting import layers, total_parameters, train_parameters
from fer_lightning.network import example_shape
from fer_lightning.protocols.build import build_net
from fer_lightning.resolvers import register

BATCH = 16
MARKDOWN = CONF.parent / "docs" / "models.md"
#: Totals that the papers print, with the running statistics (WASPP, Table 14; separable CNN, Tables 1 to 4).
PRINTED = {
    "dspp": 8_378_659, "wspp": 8_231_203, "daspp": 8_378_659, "waspp": 8_117_794,
    "arch1": 293_951, "arch2": 1_142_463, "arch3": 306_831, "arch4": 1_155_343,
}  # fmt: skip
HEADER = """# Networks

Written by `python -m fer_lightning.models --markdown`; `python -m fer_lightning.models <model>` prints its layers.
*Train* are the parameters an optimizer may change, *total* adds the running statistics of batch norms, *printed* is the
total in the paper, where it has one. GMAC: billions of multiplications with their additions in convolutions, dense
layers and attention, for one sample of the size *input* (channels x height x width). Networks for flow have 3 classes
here, the others 7, or the 2 values of valence and arousal (`_va`), or both (`_joint`). *Paper* is that of the network;
the settings are those of `conf/model/<model>.yaml`.
"""


def main(arguments: list[str] | None = None) -> int:
    """List all models, or the layers of one; exit code 0, or 2 for a wrong name."""
    parser = argparse.ArgumentParser(
        prog="python -m fer_lightning.models",
        description="The networks with their parameters and multiplications, or the layers of one.",
    )
    parser.add_argument("name", nargs="?", help="the layers of this one (default: a line for each)")
    parser.add_argument("--markdown", action="store_true", help="write docs/models.md")
    parser.add_argument("--measure", action="store_true", help="time training and inference too (minutes on a CPU)")
    given = parser.parse_args(arguments)
    if given.name is not None and given.name not in options("model"):
        print(f"no model {given.name!r}; there are {options('model')}", file=sys.stderr)
        return 2
    if given.name is not None:
        if given.markdown or given.measure:
            parser.error("--markdown and --measure are for the table of all models: leave the name out")
        print_layers(given.name)
        return 0
    lines = table(given.measure)
    note = f"Samples a second: {device_name()}, batches of {BATCH}, 32-bit floats.\n\n" if given.measure else ""
    if given.markdown:
        MARKDOWN.parent.mkdir(exist_ok=True)
        write_atomically(MARKDOWN, f"{HEADER}\n{note}{markdown(lines)}")
        print(MARKDOWN)
    else:
        print(note + aligned(lines))
    return 0


def load(name: str) -> DictConfig:
    """One model YAML with its task, and the channels and the number of classes of the data it is made for."""
    register()
    cfg = OmegaConf.load(CONF / "model" / f"{name}.yaml")
    paper = cfg.get("paper", {})
    channels = [paper.get(f"{kind}_channels") for kind in ("flow", "face", "pose")]
    channels = next(filter(None, [cfg.needs.get("channels"), *channels]), ["gray"])
    classes = list(range(3 if cfg.needs.kind == "flow" else 7))
    cfg.data = {"channels": channels, "classes": classes, "targets": ["valence", "arousal"]}
    chosen = [entry["override /task"] for entry in cfg.get("defaults", []) if "override /task" in entry]
    cfg.task = OmegaConf.load(CONF / "task" / f"{(chosen or ['classification'])[0]}.yaml")
    return cfg


def paper(cfg: DictConfig) -> str:
    """The paper that the file of the network names, without what else stands in that line."""
    text = inspect.getmodule(get_object(cfg.model["_target_"])).__doc__
    found = re.search(r'^(?:Paper|Report): ((?:"[^"]*"|[^";\n])+?)(?=;|\n|\. [A-Z]|$)', text, re.MULTILINE)
    return " ".join(found[1].split()) if found else "-"


def table(measure: bool) -> list[list[str]]:
    """The line of titles, then one for each model."""
    titles = ["model", "input", "train", "total", "printed", "GMAC", "paper"]
    lines = [titles[:-1] + (["training/s", "inference/s"] if measure else []) + titles[-1:]]
    names = options("model")
    for number, name in enumerate(names, start=1):
        if measure:  # minutes: say where it is
            print(f"measuring {name} ({number}/{len(names)})", file=sys.stderr, flush=True)
        cfg = load(name)
        shape = example_shape(cfg)
        with torch.device("meta"):
            net = build_net(cfg)
            macs = sum(layer.macs for layer in layers(net, torch.zeros(1, *shape)))
        printed = f"{PRINTED[name]:,}" if name in PRINTED else ""
        counts = [f"{train_parameters(net):,}", f"{total_parameters(net):,}", printed]
        speeds = [f"{value:.3g}" for value in samples_per_second(cfg)] if measure else []
        lines.append([name, "x".join(map(str, shape)), *counts, f"{macs / 1e9:.3g}", *speeds, paper(cfg)])
    return lines


def aligned(lines: list[list[str]]) -> str:
    """Columns side by side; numbers end, texts begin at the same place."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    sides = ["<", *[">"] * (len(widths) - 2), "<"]
    formats = [f"{{:{side}{width}s}}" for side, width in zip(sides, widths, strict=True)]
    return "\n".join("  ".join(formats).format(*line).rstrip() for line in lines)


def markdown(lines: list[list[str]]) -> str:
    """The same as a table of Markdown."""
    rule = ["---", *["--:"] * (len(lines[0]) - 2), "---"]
    return "\n".join("| " + " | ".join(line) + " |" for line in [lines[0], rule, *lines[1:]]) + "\n"


def print_layers(name: str) -> None:
    """A line for each layer, then the sums."""
    cfg = load(name)
    shape = example_shape(cfg)
    with torch.device("meta"):
        net = build_net(cfg)
        rows = layers(net, torch.zeros(1, *shape))
    lines = [["layer", "output", "parameters", "MAC", "kind"]]
    lines += [
        [row.name or "(itself)", "x".join(map(str, row.shape[1:])), f"{row.parameters:,}", f"{row.macs:,}", row.kind]
        for row in rows
        if row.name or row.parameters or row.macs
    ]
    sums = f"{sum(row.parameters for row in rows):,}", f"{sum(row.macs for row in rows):,}"
    lines.append(["all", "x".join(map(str, rows[-1].shape[1:])), *sums, type(net).__name__])
    print(f"{name}: {paper(cfg)}\ninput {'x'.join(map(str, shape))}")
    print(aligned(lines))


def samples_per_second(cfg: DictConfig, seconds: float = 1.0) -> tuple[float, float]:
    """Training (forward, backward, a step of SGD) and inference, each at least `seconds` long."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with device:
        net, x = build_net(cfg), torch.rand(BATCH, *example_shape(cfg))
        labels = torch.zeros(BATCH, dtype=torch.long)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-6)

    def train() -> None:
        F.cross_entropy(net(x), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    def infer() -> None:
        with torch.inference_mode():
            net(x)

    net.train()
    training = _rate(train, seconds)
    net.eval()
    return training, _rate(infer, seconds)


def _rate(step: Callable[[], None], seconds: float) -> float:
    """Samples a second over at least `seconds`, after one step to warm up."""
    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    step()
    wait()
    steps, started = 0, time.perf_counter()
    while steps == 0 or time.perf_counter() - started < seconds:
        step()
        wait()
        steps += 1
    return BATCH * steps / (time.perf_counter() - started)


def device_name() -> str:
    """The GPU, or the processor and the number of threads."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.*)$", info.read_text(), re.MULTILINE) if info.is_file() else None
    return f"{found[1] if found else 'CPU'}, {torch.get_num_threads()} of {os.cpu_count()} threads"
