"""Every number in experiments/<table>/paper.csv stands in the reference texts, and none of their tables is left out.

The reference texts lie beside the real data (FER_RAW); without them, test_experiment_rows.py checks what follows from
the numbers themselves.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.test_experiment_rows import NUMERALS, PRINTED

Key = tuple[str, str, str, str]
PARTS = {"combined": "all", "CASME II": "casme2", "SAMM": "samm", "SMIC": "smic"}
WASPP = {"original": "original"} | {f"{kind}-Net": kind.lower() for kind in ("DSPP", "WSPP", "DASPP", "WASPP")}
COMPARED = WASPP | {
    "VGG-M": "vgg-m", "DualInception": "dual-inception", "AlexNet": "alexnet", "STSTNet": "ststnet",
    "OffApexNet": "off-apexnet",
}  # fmt: skip
CAMNET = {
    "Residual Masking": "resmasking", "ResNet34": "resnet34", "CAMNet": "camnet", "SeResNet34": "seresnet34",
    "CBAM_ResNet50": "cbam-resnet50", "SeResNeXt101": "seresnext101", "BAM_ResNet50": "bam-resnet50",
    "DenseNet121": "densenet121", "ensemble": "ensemble", "VGG16": "vgg16", "VGG19": "vgg19",
    "BAM (ResNet50)": "bam-resnet50", "CBAM (ResNet50)": "cbam-resnet50", "ResNet50": "resnet50",
    "SeResNet50": "seresnet50", "CAMNet + ensemble": "ensemble",
}  # fmt: skip
SPINAL = {
    "ViT-L/32(21k)": "vit-l32", "ViT-L/32(21k)-SpinalNet": "vit-l32-spinalnet", "EfficientNetV2-S": "efficientnetv2-s",
    "EfficientNetV2-S-SpinalNet": "efficientnetv2-s-spinalnet", "VGGSpinalNet": "vggspinalnet",
    "VGGProgressiveSpinalNet": "vggprogressivespinalnet",
    "VGGNet (re-trained on training + validation data)": "vggnet",
}  # fmt: skip
#: Methods of others that the tables cite and that are no rows here.
CITED = {
    "Pramerdorfer et al.", "Khanzada et al.", "Pham et al.", "DenseNet", "VGG-16", "Attention CNN",
    "MNF CNN + L2 SVM", "ResNet with gates",
}  # fmt: skip
GESTURE = {"ANN (JSON)": "ann", "ResNet18": "resnet18", "ResNet50": "resnet50", "DenseNet121": "densenet121"}
ORACLE = {
    "Off-ApexNet": "off-apexnet",
    "Dual-Inception": "dual-inception",
    "STSTNet": "ststnet",
    "HTNet": "htnet-oracle",
}


@pytest.fixture(scope="session")
def reference(fer_raw) -> Path:
    folder = fer_raw.parent / "reference"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there: no texts to compare with")
    return folder


def tables(text: str) -> Iterator[tuple[str, list[list[str]]]]:
    """(the last line of text before it, its rows with the titles first) of each Markdown table."""
    title, rows = "", []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip().strip("*") for cell in line.strip("| ").split(" | ")])
        elif rows:
            yield title, [row for row in rows if not set("".join(row)) <= set("-:| ")]
            title, rows = line, []
        elif line.strip():
            title = line


def find(text: str, start: str) -> list[list[str]]:
    found = [rows for title, rows in tables(text) if title.startswith(start)]
    assert len(found) == 1, f"{start!r}: {len(found)} tables"
    return found[0]


def share(percent: str) -> str:
    """Percent as the share of one, digits kept: 80.50 % -> 0.8050."""
    return str(Decimal(percent.removesuffix("%").strip()).scaleb(-2))


def plain(cell: str) -> str:
    """Without a remark in brackets and the commas of thousands."""
    return cell.partition(" (")[0].replace(",", "")


def waspp(text: str) -> Iterator[tuple[Key, str]]:
    grids = [("Table 6,", "waspp-t6", "spp", True), ("Table 7,", "waspp-t6", "spp", False)]
    grids += [("Table 8,", "waspp-t8", "aspp", True), ("Table 9,", "waspp-t8", "aspp", False)]
    for start, table, kind, percent in grids:
        rows = ["original", *(f"{kind}-{numeral}" for numeral in NUMERALS)]
        for part, *values in find(text, start)[1:]:
            for row, value in zip(rows, values, strict=True):
                metric = "accuracy_one_vs_rest" if percent else "accuracy"
                yield (table, row, PARTS[part], metric), share(plain(value)) if percent else plain(value)
    (_, *titles), *lines = find(text, "Tables 10 and 11,")
    for part, *values in lines:
        for title, value in zip(titles, values, strict=True):
            in_both = ("waspp-t10", "waspp-t11")
            for table in [f"waspp-t{title[-3:-1]}"] if "(" in title else in_both:
                yield (table, WASPP[plain(title)], PARTS[part], "accuracy_one_vs_rest"), share(value)
    for name, seconds, frames in find(text, "Table 12,")[1:]:
        yield ("waspp-t12", WASPP[name], "all", "seconds_per_fold"), seconds
        yield ("waspp-t12", WASPP[name], "all", "samples_per_second"), frames
    for name, accuracy, f1 in find(text, "Table 13,")[1:]:
        yield ("waspp-t13", COMPARED[name], "all", "accuracy_one_vs_rest"), share(accuracy)
        yield ("waspp-t13", COMPARED[name], "all", "accuracy"), f1
    for name, count in re.findall(r"(\w+-Net) ([\d,]+\d)", re.search("Table 14, parameters: .*", text)[0]):
        yield ("waspp-t14", WASPP[name], "all", "parameters_total"), plain(count)


def camnet(text: str) -> Iterator[tuple[Key, str]]:
    training, validation = re.search(r"Chapter 4, .*: baseline ([\d.]+) / ([\d.]+);", text).groups()
    yield ("camnet-ch4", "baseline", "all", "train_accuracy"), share(training)
    yield ("camnet-ch4", "baseline", "all", "accuracy"), share(validation)
    for optimizer, _, _, accuracy in find(text, "Table 6.3,")[1:]:
        yield ("camnet-t6-3", optimizer.lower(), "all", "accuracy"), share(accuracy)
    sentence = re.search(r"Table 6\.4, no pretrained weights: (.*)\.\n", text)[1]
    for name, accuracy in re.findall(r"([\w ]+) ([\d.]+) %", sentence):
        yield ("camnet-t6-4", CAMNET[name.strip()], "all", "accuracy"), share(accuracy)
    for name, training, validation, *_ in find(text, "Table 6.5,")[1:]:
        if training != "-":
            yield ("camnet-t6-5", CAMNET[name], "all", "train_accuracy"), share(training)
        yield ("camnet-t6-5", CAMNET[name], "all", "accuracy"), share(validation)
    without = re.search(r"The ensemble has ([\d.]+) % without and ([\d.]+) % with TTA", text)
    yield ("camnet-t6-5", "ensemble-no-tta", "all", "accuracy"), share(without[1])
    for name, accuracy in find(text, "Table 6.6,")[1:]:
        if name not in CITED:
            yield ("camnet-t6-6", CAMNET[name], "all", "accuracy"), share(accuracy)


def separable(text: str) -> Iterator[tuple[Key, str]]:
    for data, training, testing, *_ in find(text, "ARCH-1 in detail:")[1:]:
        table = f"separable-{data.lower().replace('+', 'plus')}"
        yield (table, "arch1", "all", "train_accuracy"), share(training)
        yield (table, "arch1", "all", "accuracy"), share(testing)
    for name, mean, _, train, total in find(text, "(The losses are printed")[1:]:
        row = name.lower().replace("-", "")
        yield ("separable-fer2013", row, "all", "accuracy_three_sets"), share(mean)
        yield ("separable-fer2013", row, "all", "parameters_train"), plain(train)
        yield ("separable-fer2013", row, "all", "parameters_total"), plain(total)
    flat = " ".join(text.split())
    lowest = re.search(r"lowest accuracy ([\d.]+) % \(ARCH-4, FER2013\)", flat)[1]
    yield ("separable-fer2013", "arch4", "all", "accuracy"), share(lowest)
    yield ("separable-imed", "arch4", "all", "hours"), re.search(r"longest ([\d.]+) h \(ARCH-4, IMED\)", flat)[1]
    shortest = re.search(r"shortest ([\d.]+) h = [\d.]+ min \(ARCH-1, CK\+\)", flat)[1]
    yield ("separable-ckplus", "arch1", "all", "hours"), shortest


def vggspinal(text: str) -> Iterator[tuple[Key, str]]:
    for _, method, accuracy in find(text, "Table 14, FER2013 test accuracy:")[1:]:
        if method not in CITED:
            yield ("vggspinal-t14", SPINAL[method], "all", "accuracy"), share(accuracy)
    for model, accuracy, precision, recall, f1, _ in find(text, "### 8.4")[1:]:
        row = SPINAL[plain(model)]
        yield ("vggspinal-t14", row, "all", "accuracy"), share(accuracy)
        figures = {"macro_precision": precision, "uar": recall, "uf1": f1}
        yield from ((("vggspinal-t14", row, "all", metric), value) for metric, value in figures.items())


def gesture(text: str) -> Iterator[tuple[Key, str]]:
    sections = [("Section 6.1,", "gesture-6-1", "uf1", ("affwild2", "dfew"))]
    sections += [("Section 6.2,", "gesture-6-2", "ccc", ("affwild2",))]
    for start, table, metric, sets in sections:
        for model, *values in find(text, start)[1:]:
            for optimizer, value in zip(("sgd", "adam"), values, strict=True):
                for data in sets if value != "N/A" else ():
                    yield (table, f"{GESTURE[model]}-{optimizer}-{data}", "all", metric), value


def oracle(text: str) -> Iterator[tuple[Key, str]]:
    (_, *parts, _), *lines = find(text, "### 1.3")
    places = {"full": "all", "SMIC": "smic", "CASME II": "casme2", "SAMM": "samm"}
    for method, *cells in lines:
        for title, cell in zip(parts, cells, strict=False):
            if method in ORACLE and "/" in cell:
                for metric, value in zip(("uf1", "uar"), cell.partition(" ")[0].split("/"), strict=True):
                    yield ("micro-oracle", ORACLE[method], places[title], metric), f"0{value.strip('*')}"
        if method == "MEB re-run with peeking":
            for name, value in re.findall(r"([\w-]+) (\.\d+)", cells[0]):
                yield ("micro-oracle", f"{ORACLE[name]}-oracle", "all", "uf1"), f"0{value}"


def test_the_printed_numbers_are_those_of_the_papers(reference):
    text = (reference / "architectures.md").read_text()
    results = text[text.index("## 8. Printed results") : text.index("## 9. ")]
    expected: dict[Key, str] = {}
    for source in (waspp, camnet, separable, vggspinal, gesture):
        for key, value in source(results):
            assert expected.setdefault(key, value) == value, f"{key}: the reference has {expected[key]} and {value}"
    expected |= dict(oracle((reference / "published-numbers.md").read_text()))
    assert len(expected) > 270
    assert expected == PRINTED
