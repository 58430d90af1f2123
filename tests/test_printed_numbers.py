"""Every number in experiments/<table>/paper.csv stands in the reference texts, and none of their tables is left out.

What no run here computes (losses, epochs at which a training stopped, times over several sets) stands in the notes.

The reference texts lie beside the real data (FER_RAW); without them, test_experiment_rows.py checks what follows from
the numbers themselves.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.test_experiment_rows import NUMERALS, PRINTED, TABLES, composed

Key = tuple[str, str, str, str]
#: No part of a name, such as FER2013.
NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?")
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
    "SeResNet50": "seresnet50", "CAMNet + ensemble": "ensemble", "BAM": "bam-resnet50",
    "CBAM": "cbam-resnet50",
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
    for name in ("VGG19", "ResNet50"):
        training = re.search(rf" {name} ([\d.]+) / ", " ".join(text.split()))[1]
        yield ("camnet-t6-6", CAMNET[name], "all", "train_accuracy"), share(training)
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


def camnet_remarks(text: str) -> Iterator[tuple[Key, str]]:
    flat = " ".join(text.split())
    training, validation = re.search(r"ResNet50 [\d./ ]+\(the compared paper: ([\d.]+) / ([\d.]+)\)", flat).groups()
    yield ("camnet-t6-6", "resnet50", "all", "train_accuracy"), training
    yield ("camnet-t6-6", "resnet50", "all", "accuracy"), validation
    for item in re.search(r"Contradictions inside the thesis: (.*?); the best", flat)[1].split("; "):
        name, training, places = re.fullmatch(r"(\w+)( training)? (.*)", item).groups()
        for table in ("camnet-t6-5", "camnet-t6-6"):
            key = table, CAMNET[name], "all", "train_accuracy" if training else "accuracy"
            for number in NUMBER.findall(re.sub(r"\(.*?\)", "", places)) if key in PRINTED else ():
                if Decimal(share(number)) != Decimal(PRINTED[key]):
                    yield key, number


def separable_remarks(text: str) -> Iterator[tuple[Key, str]]:
    for data, _, _, training, testing, stopped in find(text, "ARCH-1 in detail:")[1:]:
        key = f"separable-{data.lower().replace('+', 'plus')}", "arch1", "all"
        yield (*key, "train_accuracy"), training
        for number in [testing, *NUMBER.findall(stopped)]:
            yield (*key, "accuracy"), number
    for name, _, hours, train, _ in find(text, "(The losses are printed")[1:]:
        key = "separable-fer2013", name.lower().replace("-", ""), "all"
        for number in NUMBER.findall(hours):
            yield (*key, "accuracy_three_sets"), number
        for number in re.findall(r"\(sic, ([\d,]+)\)", train):
            yield (*key, "parameters_train"), plain(number)
    flat = " ".join(text.split())
    for number in re.search(r"total training time over (\d+) h for the 12 runs, mean ([\d.]+) h", flat).groups():
        yield ("separable-fer2013", "arch2", "all", "accuracy_three_sets"), number
    lowest = re.search(r'range on FER2013 "([\d.]+) - ', flat)[1]
    yield ("separable-fer2013", "arch4", "all", "accuracy"), share(lowest)
    yield ("separable-ckplus", "arch1", "all", "hours"), re.search(r"h = ([\d.]+) min \(ARCH-1, CK\+\)", flat)[1]
    least = re.search(r"CK\+ and IMED > (\d+) % for all", flat)[1]
    for data in ("ckplus", "imed"):
        yield from (((f"separable-{data}", f"arch{number}", "all", "accuracy"), least) for number in (2, 3, 4))


def vggspinal(text: str) -> Iterator[tuple[Key, str]]:
    for _, method, accuracy in find(text, "Table 14, FER2013 test accuracy:")[1:]:
        if method not in CITED:
            yield ("vggspinal-t14", SPINAL[method], "all", "accuracy"), share(accuracy)
    for model, accuracy, precision, recall, f1, _ in find(text, "### 8.4")[1:]:
        row = SPINAL[plain(model)]
        yield ("vggspinal-t14", row, "all", "accuracy"), share(accuracy)
        figures = {"macro_precision": precision, "uar": recall, "uf1": f1}
        yield from ((("vggspinal-t14", row, "all", metric), value) for metric, value in figures.items())


def vggspinal_remarks(text: str) -> Iterator[tuple[Key, str]]:
    between = re.search(r"Training accuracy of EfficientNetV2 and ViT reaches (.*)\.", text)[1]
    for model, *_, epochs in find(text, "### 8.4")[1:]:
        key = "vggspinal-t14", SPINAL[plain(model)], "all", "accuracy"
        both = [epochs, between] if model.startswith(("EfficientNetV2", "ViT")) else [epochs]
        yield from ((key, number) for cell in both for number in NUMBER.findall(cell))


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


def printed_results(reference: Path) -> str:
    text = (reference / "architectures.md").read_text()
    return text[text.index("## 8. Printed results") : text.index("## 9. ")]


def test_the_printed_numbers_are_those_of_the_papers(reference):
    results = printed_results(reference)
    expected: dict[Key, str] = {}
    for source in (waspp, camnet, separable, vggspinal, gesture):
        for key, value in source(results):
            assert expected.setdefault(key, value) == value, f"{key}: the reference has {expected[key]} and {value}"
    expected |= dict(oracle((reference / "published-numbers.md").read_text()))
    assert len(expected) > 270
    assert expected == PRINTED


def test_the_notes_hold_the_other_printed_numbers(reference):
    results = printed_results(reference)
    expected: dict[Key, set[str]] = {}
    for source in (camnet_remarks, separable_remarks, vggspinal_remarks):
        for key, number in source(results):
            expected.setdefault(key, set()).add(number)
    found = {}
    for table, lines in TABLES.items():
        for line in lines if table.startswith(("camnet", "separable", "vggspinal")) else ():
            note = re.sub(r"(section|Table|chapter) [\d.]+\d|chapter \d", "", line["note"])
            found[table, line["row"], line["part"], line["metric"]] = set(NUMBER.findall(note))
    assert {key: numbers for key, numbers in found.items() if numbers} == expected


def test_the_settings_in_two_tables_of_the_thesis_are_those_of_its_rows(reference):
    results = printed_results(reference)
    said = re.search(r"Table 6\.3, .* \((\d+) epochs, weight decay ([\d.]+), momentum ([\d.]+)\)", results)
    epochs, decay, momentum = map(float, said.groups())
    for optimizer, batch, rate, _ in find(results, "Table 6.3,")[1:]:
        cfg = composed(f"camnet-t6-3-{optimizer.lower()}")
        assert (cfg.data.batch_size, cfg.optimizer.lr) == (int(batch), float(rate))
        assert (cfg.trainer.max_epochs, cfg.optimizer.weight_decay) == (epochs, decay)
        assert cfg.optimizer.get("momentum", momentum) == momentum
    for name, _, _, epochs, weights in find(results, "Table 6.5,")[1:]:
        if epochs != "-":
            cfg = composed(f"camnet-t6-5-{CAMNET[name]}")
            assert (cfg.trainer.max_epochs, cfg.model.get("pretrained", False)) == (int(epochs), weights == "WPW")
