"""The rows of the papers' tables: conf/experiment has what is run, experiments/<table>/paper.csv what was printed."""

import csv
import re
from decimal import Decimal
from functools import cache

import pytest
import torch
import yaml
from omegaconf import DictConfig, OmegaConf

from fer_lightning.errors import ConfigError
from fer_lightning.identity import run_folder
from fer_lightning.models.counting import total_parameters, train_parameters
from fer_lightning.paper_rows import read_rows
from fer_lightning.protocols.build import build_net
from fer_lightning.run import check_options
from fer_lightning.stages import earlier
from tests.runs import HOUSE, configure

YAMLS = {file.stem: yaml.safe_load(file.read_text()) for file in sorted((HOUSE / "conf/experiment").glob("*.yaml"))}
TABLES = {
    file.parent.name: list(csv.DictReader(file.read_text().splitlines()))
    for file in sorted(HOUSE.glob("experiments/*/paper.csv"))
}
#: (table, row, part, metric) -> as printed.
PRINTED = {
    (table, line["row"], line["part"], line["metric"]): line["printed"]
    for table, lines in TABLES.items()
    for line in lines
    if line["printed"]
}
NUMERALS = ["i", "ii", "iii", "iv", "v", "vi", "vii", "viii"]
#: Samples of the WASPP paper, by its results.
COUNTS = {"all": 441, "casme2": 145, "samm": 132, "smic": 164}
ROWS = read_rows()


def budget_file(name: str) -> str:
    """The file of conf/budget that a row takes."""
    return next(entry["/budget"] for entry in YAMLS[name]["defaults"] if "/budget" in entry)


#: One row of each file of budgets, with each of its budgets.
SAMPLE = [
    (name, budget) for name in {budget_file(name): name for name in YAMLS}.values() for budget in ROWS[name].budgets
]


@cache
def composed(name: str, budget: str = "full") -> DictConfig:
    changes = ROWS[name].budgets.get(budget, {})
    return configure(
        f"experiment={name}", *(f"{key}={'null' if value is None else value}" for key, value in changes.items())
    )


# What can be said without the papers


def test_every_row_has_a_yaml_and_every_yaml_a_line():
    assert len(TABLES) == 25
    printed = {f"{table}-{line['row']}" for table, lines in TABLES.items() for line in lines}
    assert printed == set(YAMLS)
    for name, row in YAMLS.items():
        assert f"{row['table']}-{row['row']}" == name
        assert row["table"] in TABLES


def test_the_lines_say_what_they_mean():
    for table, lines in TABLES.items():
        keys = [(line["row"], line["part"], line["metric"]) for line in lines]
        assert len(set(keys)) == len(keys), table
        for line in lines:
            assert list(line) == ["row", "part", "metric", "printed", "source", "note"]
            assert line["part"] in COUNTS
            assert line["printed"] == "" or Decimal(line["printed"]).is_finite()
            assert line["printed"] or line["note"], "why is nothing printed?"
            assert line["source"] or not line["printed"], "printed where?"


def meant(line: dict[str, str]) -> float:
    """The printed value, or what it must be where it is a misprint."""
    correction = re.fullmatch(r"sic, (0\.\d+) by the hit count", line["note"])
    return float(correction[1] if correction else line["printed"])


def hits(line: dict[str, str]) -> int:
    """Hits of a value of WASPP: its F1 is the hit rate h, its accuracy 1 - 2/3 (1 - h). They must be whole."""
    value = meant(line)
    rate = value if line["metric"] == "accuracy" else 1 - 1.5 * (1 - value)
    found = rate * COUNTS[line["part"]]
    assert abs(found - round(found)) < 1.5e-4 * COUNTS[line["part"]], line
    return round(found)


WASPP = [table for table in TABLES if table in ("waspp-t6", "waspp-t8", "waspp-t10", "waspp-t11", "waspp-t13")]


@pytest.mark.parametrize("table", WASPP)
def test_accuracy_and_f1_of_waspp_count_the_same_hits_and_its_parts_add_up(table):
    found: dict[str, dict[str, int]] = {}
    for line in TABLES[table]:
        counts = found.setdefault(line["row"], {})
        assert counts.setdefault(line["part"], hits(line)) == hits(line), line
    for row, counts in found.items():
        assert table == "waspp-t13" or counts["all"] == sum(counts[part] for part in ("casme2", "samm", "smic")), row


def test_what_stands_in_two_tables_of_waspp_is_the_same():
    same = [("waspp-t10", "original", "waspp-t6", "original"), ("waspp-t11", "original", "waspp-t8", "original")]
    same += [("waspp-t10", "dspp", "waspp-t6", "spp-v"), ("waspp-t11", "daspp", "waspp-t8", "aspp-vi")]
    same += [("waspp-t6", "original", "waspp-t8", "original"), ("waspp-t13", "waspp", "waspp-t11", "waspp")]
    for table, row, other, twin in same:
        ours = {key[2:]: value for key, value in PRINTED.items() if key[:2] == (table, row)}
        theirs = {key[2:]: value for key, value in PRINTED.items() if key[:2] == (other, twin)}
        assert ours.keys() & theirs.keys()
        assert all(ours[key] == theirs[key] for key in ours.keys() & theirs.keys()), (table, row)


@pytest.mark.parametrize("name", [f"{t}-{row}" for t, row, _, metric in PRINTED if metric == "parameters_total"])
def test_printed_parameters_are_those_of_the_network(name):
    cfg = composed(name)
    with torch.device("meta"):
        net = build_net(cfg)
    found = {"parameters_total": total_parameters(net), "parameters_train": train_parameters(net)}
    for line in TABLES[cfg.table]:
        if line["row"] == cfg.row and line["metric"] in found:
            sic = re.match(r"sic, (\d+)", line["note"])
            assert found[line["metric"]] == int(sic[1] if sic else line["printed"])


def test_the_grids_are_complete():
    cells = {f"{optimizer}-{rule}" for optimizer in ("sgd", "ranger", "adam") for rule in ("plateau", "cosine", "step")}
    cells |= {"ranger21"}  # has its own schedule
    rows = {table: {line["row"] for line in lines} for table, lines in TABLES.items()}
    assert rows["vggspinal-t4"] == cells
    assert rows["vggspinal-t5"] == {f"{head}-{cell}" for head in ("spinal", "progressive") for cell in cells}
    for table in ("vggspinal-t6", "vggspinal-t7"):
        assert rows[table] == {f"{activation}-{cell}" for activation in ("swish", "mish") for cell in cells}
    for table, kind in (("waspp-t6", "spp"), ("waspp-t8", "aspp")):
        assert rows[table] == {"original", *(f"{kind}-{numeral}" for numeral in NUMERALS)}
    assert {row.removesuffix("-oracle") for row in rows["micro-oracle"]} == micro_expression_networks()


def micro_expression_networks() -> set[str]:
    models = {file.stem: OmegaConf.load(file).needs.kind for file in (HOUSE / "conf/model").glob("*.yaml")}
    return {"random-guess"} | {name.replace("_", "-") for name, kind in models.items() if kind == "flow"}


# What is run


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("waspp-t6-spp-iii", {"model.pyramid": "spp", "model.position": "conv1", "model.branches": 4}),
        ("waspp-t8-aspp-viii", {"model.pyramid": "aspp", "model.position": "conv2", "model.branches": 5}),
        ("waspp-t11-waspp", {"optimizer.lr": 1e-4, "data.batch_size": 32, "protocol.selection": "last"}),
        ("waspp-t13-ststnet", {"optimizer.lr": 1e-4, "data.batch_size": 32, "trainer.max_epochs": 500}),
        ("micro-oracle-ststnet-oracle", {"protocol.selection": "oracle_test", "trainer.max_epochs": 800}),
        ("camnet-t6-3-adadelta", {"optimizer.lr": 1.0, "optimizer.weight_decay": 1e-4, "data.batch_size": 32}),
        ("camnet-t6-3-sgd", {"optimizer.lr": 0.01, "optimizer.momentum": 0.9, "trainer.max_epochs": 50}),
        ("camnet-t6-5-seresnext101", {"optimizer.lr": 1e-4, "data.batch_size": 48, "trainer.max_epochs": 43}),
        ("camnet-t6-5-bam-resnet50-tta", {"optimizer.lr": 1e-4, "optimizer.weight_decay": 1e-4}),
        ("camnet-t6-6-vgg19", {"parts.freeze": ["features"], "model.pretrained": True}),
        ("separable-ckplus-arch2", {"optimizer.lr": 0.01, "data.batch_size": 10, "protocol.selection": "inner_val"}),
        ("vggspinal-t4-adam-step", {"optimizer.lr": 0.01, "data.batch_size": 64, "trainer.max_epochs": 200}),
        ("vggspinal-t7-mish-ranger21", {"model.activation": "mish", "optimizer.warm_down_start": 0.72}),
        ("vggspinal-t14-vggspinalnet", {"optimizer.lr": 1e-3, "optimizer.norm_loss_factor": 6e-4}),
        ("vggspinal-t14-vggprogressivespinalnet", {"optimizer.lr": 1e-5, "trainer.max_epochs": 20}),
        ("vggspinal-t14-vit-l32", {"optimizer.lr": 2e-5, "scheduler.scheduler.gamma": 0.9, "data.batch_size": 19}),
        ("gesture-6-1-ann-sgd-dfew", {"data.builder.every": 10, "data.recipe.normalise": None}),
    ],
)
def test_a_row_has_the_settings_that_its_paper_states(name, settings):
    cfg = composed(name)
    assert {key: OmegaConf.select(cfg, key) for key in settings} == settings


@pytest.mark.parametrize("name", ["vggspinal-t14-vggprogressivespinalnet", "vggspinal-t14-vit-l32-spinalnet"])
def test_the_stage_before_a_row_is_the_run_of_another_row(name):
    rows = {"vggspinal-t14-vit-l32", "vggspinal-t5-progressive-sgd-cosine"}
    first = earlier(composed(name))
    assert run_folder(first) in {run_folder(composed(row)) for row in rows}
    if first.before:
        assert run_folder(earlier(first)) == run_folder(composed("vggspinal-t4-sgd-plateau"))


def test_tables_with_the_same_row_share_its_run():
    twins = ["waspp-t6-original", "waspp-t8-original", "waspp-t12-original", "micro-oracle-base-cnn"]
    assert len({run_folder(composed(name)) for name in twins}) == 1


def test_a_row_that_is_an_ensemble_is_not_trained():
    with pytest.raises(ConfigError, match=r"camnet-t6-5-ensemble is an ensemble of .*reproduce camnet-t6-5"):
        check_options(composed("camnet-t6-5-ensemble"))


def test_only_tables_that_are_ours_alone_are_of_no_paper():
    assert {row.table for row in ROWS.values() if not row.of_paper} == {"micro-best", "micro-optimizers"}


def test_ensembles_are_of_rows():
    ensembles = {name: row["ensemble"] for name, row in YAMLS.items() if "ensemble" in row}
    assert len(ensembles) == 6
    for name, ensemble in ensembles.items():
        assert set(ensemble["members"]) <= set(YAMLS)
        small = name in ("micro-best-ensemble", "micro-best-ensemble-seeds")
        assert len(set(ensemble["members"])) == (3 if small else 6)


def check(name: str, budget: str) -> None:
    cfg = composed(name, budget)
    assert f"{cfg.table}-{cfg.row}" == name
    assert "smoke" in cfg.budget, "every row is tried out"
    assert set(cfg.budget) <= {"night", "cpu", "smoke"}
    if cfg.protocol.selection == "inner_val":
        assert cfg.protocol.metric.removeprefix("val_") in ROWS[name].metrics, "chosen by what is compared"
    while cfg is not None and not cfg.ensemble:
        check_options(cfg)
        assert budget != "smoke" or not ROWS[name].trained or (cfg.tiny and cfg.trainer.max_epochs in (1, 3))
        cfg = earlier(cfg)


@pytest.mark.parametrize(("name", "budget"), SAMPLE)
def test_a_row_of_each_budget_composes(name, budget):
    check(name, budget)


@pytest.mark.full
@pytest.mark.parametrize("name", YAMLS)
def test_every_row_composes_in_every_budget(name):
    assert composed(name).budget == ROWS[name].budgets
    for budget in ("full", *ROWS[name].budgets):
        check(name, budget)
