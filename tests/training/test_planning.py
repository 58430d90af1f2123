"""What a run says of its folds before it trains them."""

import shutil
from types import SimpleNamespace

import pandas as pd
import pytest
from omegaconf import OmegaConf

from fer_lightning.datasets import megc2019_flow
from fer_lightning.functional.folds import Fold
from fer_lightning.planning import without_training
from tests.runs import predictions

#: Samples of three subjects; only a has fear, and nobody but a and b is sad.
ROWS = pd.DataFrame({
    "sample_id": ["a1", "a2", "a3", "b1", "b2", "c1"],
    "label": ["joy", "fear", "fear", "joy", "sad", "joy"],
    "joy_votes": [9, 1, 0, 9, 0, 9],
    "sad_votes": [0, 1, 0, 0, 9, 0],
    "fear_votes": [1, 8, 9, 0, 0, 1],
})  # fmt: skip
CLASSES = ["joy", "sad", "fear"]
FOLDS = [
    Fold("a", ("b1", "b2", "c1"), (), ("a1", "a2", "a3")),
    Fold("b", ("a1", "a2", "a3", "c1"), (), ("b1", "b2")),
    Fold("c", ("a1", "a2", "a3"), ("b1", "b2"), ("c1",)),
]


def said(folds: list[Fold], targets: tuple[str, ...] = (), **task) -> list[str]:
    data = SimpleNamespace(manifest=ROWS, classes=CLASSES, targets=list(targets))
    return without_training(OmegaConf.create({"task": task}), data, folds)


def test_a_class_without_a_training_sample_is_said_with_its_folds_and_what_is_tested_there():
    assert said(FOLDS, num_classes=3) == [
        "class sad has no training sample in 2 of 3 fold(s) (b, c): it cannot be learned there, where 1 of its "
        "samples are tested",
        "class fear has no training sample in 1 of 3 fold(s) (a): it cannot be learned there, where 2 of its "
        "samples are tested",
    ]
    assert said([Fold("all", tuple(ROWS["sample_id"]), (), ())], num_classes=3) == []


def test_a_class_without_a_training_sample_in_any_fold_is_said_with_a_few_of_them():
    many = [Fold(f"fold{number}", ("a1", "b2"), (), ("a2", "a3")) for number in range(12)]
    assert said(many, num_classes=3) == [
        "class fear has no training sample in 12 of 12 fold(s) (fold0, fold1, fold2, fold3, fold4 and 7 more): it "
        "cannot be learned there, where 24 of its samples are tested"
    ]


def test_votes_teach_a_class_that_no_label_names_and_values_have_no_classes():
    votes = ("joy_votes", "sad_votes", "fear_votes")
    assert [line.split(":")[0] for line in said(FOLDS, votes, num_classes=3, soft_target=True)] == []
    assert len(said([Fold("c1", ("b2",), (), ("c1",))], votes, num_classes=3, soft_target=True)) == 2
    assert said(FOLDS, ("joy_votes",), num_targets=1) == []


@pytest.mark.slow
def test_it_is_said_once_and_the_run_goes_on_also_with_folds_in_processes(run_here, tmp_path, capsys):
    """Only SAMM's subject 6 is surprised: the fold that tests it learns no surprise, the others do."""
    raw = tmp_path / "raw" / "megc2019"
    megc2019_flow.write_tiny(raw)
    rows = raw / megc2019_flow.LIST
    kept = [line for line in rows.read_text().splitlines() if not line.endswith(",2") or line.startswith("samm,6,")]
    rows.write_text("\n".join(kept) + "\n")
    for folder in raw.glob("*/*/u_test/2"):
        if folder.parts[-3] != "006":
            shutil.rmtree(folder)
    options = [f"paths.raw={raw.parent}", "trainer.max_epochs=1"]
    assert len(predictions(run_here(*options, "protocol.only=[samm-006,samm-007]", "protocol.workers=2"))) == 2
    said = capsys.readouterr().err
    assert said.count("has no training sample") == 1
    assert "class surprise has no training sample in 1 of 2 fold(s) (samm-006): it cannot be" in said
    run_here(*options, "protocol.only=[samm-009]")
    assert "no training sample" not in capsys.readouterr().err
