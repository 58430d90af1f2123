"""FER2013's tested pictures that Training holds too: what scores, comparisons and ensembles say without them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from fer_lightning.errors import PoolError
from fer_lightning.functional.mixing import mixture_weights
from fer_lightning.reporting import twins
from fer_lightning.reporting.compare import compare, figures
from fer_lightning.reporting.ensemble import fold_weights, write_ensemble
from fer_lightning.reporting.members import read_members
from fer_lightning.reporting.pool import Pool, read_pool
from fer_lightning.reporting.scores import score
from tests.reporting.conftest import CLASSES, images, write
from tests.runs import HOUSE

#: Of the 20 validation and 20 tested pictures of `images`.
TWINS = frozenset(["fer2013/00002", "fer2013/00003", "fer2013/00004", "fer2013/00005", "fer2013/00010"])


@pytest.fixture
def runs(make_run, monkeypatch) -> list[Path]:
    """Two runs as on FER2013; the first knows its twins by heart and guesses else, the second the other way round."""
    monkeypatch.setattr(twins, "read_twins", lambda: TWINS)
    return [_of_fer2013(make_run, name, heart) for name, heart in (("heart", True), ("other", False))]


def _of_fer2013(make_run, name: str, heart: bool) -> Path:
    folder = make_run(images(), "holdout", "inner_val", 0.4, name=name)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["data"]["name"] = "fer2013"
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    for file in (folder / "predictions" / "holdout.csv", folder / "validation" / "holdout.csv"):
        table = pd.read_csv(file)
        right = table["sample_id"].isin(TWINS) == heart
        for place, known in enumerate(table["label"]):
            if right[place]:
                table.loc[place, "predicted"] = known
                table.loc[place, [f"p_{each}" for each in CLASSES]] = [
                    0.9 if each == known else 0.05 for each in CLASSES
                ]
        write(table, file)
    return folder


def hits(pool: Pool) -> pd.Series:
    return (pool.table["label"] == pool.table["predicted"]).set_axis(pool.table["sample_id"])


def test_the_score_without_them_counts_the_others(runs):
    pool = read_pool(runs[0])
    right = hits(pool)
    found = score(pool)["deduplicated"]
    tested = [sample for sample in right.index if sample in TWINS]
    assert 0 < len(tested) < len(right)
    assert found["samples"] == len(right) - len(tested)
    assert found["accuracy"] == pytest.approx(right.drop(tested).mean()) == figures(pool)["accuracy_deduplicated"]
    assert found["accuracy"] < right.mean(), "what is known by heart is left out"


def test_a_comparison_stands_once_more_without_them(runs):
    pools = [read_pool(run) for run in runs]
    found = compare(*pools, ("heart", "other"))
    rights = [hits(pool) for pool in pools]
    kept = [right[~right.index.isin(TWINS)] for right in rights]
    less = found["deduplicated"]
    assert found["accuracy"]["difference"] == pytest.approx(rights[0].mean() - rights[1].mean())
    assert less["accuracy"]["difference"] == pytest.approx(kept[0].mean() - kept[1].mean())
    assert less["samples"] == len(kept[0]) < found["samples"]
    assert less["only_second_right"] == int((kept[1] & ~kept[0]).sum()) > 0 == less["only_first_right"]


def test_weights_and_best_member_do_not_see_those_of_the_validation(runs, tmp_path):
    members = read_members(runs)
    tables = [pool.validation[~pool.validation["sample_id"].isin(TWINS)] for pool in members.pools]
    assert 0 < len(tables[0]) < len(members.pools[0].validation)
    true = [table[[f"p_{name}" for name in CLASSES]].to_numpy()[range(len(table)), table["label"].map(CLASSES.index)]
            for table in tables]  # fmt: skip
    assert fold_weights(members)["holdout"] == pytest.approx(mixture_weights(np.stack(true, axis=1)))
    out, report = write_ensemble(runs, "weights", tmp_path)
    assert report["best"] == "other"
    assert "deduplicated" in report["minus_best"]
    text = (out / "README.md").read_text()
    assert "accuracy without twins" in text
    assert "of the validation pictures are, pixel for pixel, in Training too" in text


def test_other_data_and_generated_data_have_none(make_run, monkeypatch):
    monkeypatch.setattr(twins, "read_twins", lambda: TWINS)
    pool = read_pool(make_run(images(), "holdout", "inner_val"))
    assert pool.data == "megc2019"
    assert "deduplicated" not in score(pool)
    assert "deduplicated" not in compare(pool, pool, ("a", "b"))
    assert twins.twins_of(pool) == frozenset() == twins.twins_of(_synthetic(pool))


def _synthetic(pool: Pool) -> Pool:
    return Pool(**{**vars(pool), "data": "fer2013", "synthetic": True})


def test_a_list_that_is_missing_or_none_is_said(tmp_path):
    with pytest.raises(PoolError, match="not found; python"):
        twins.read_twins(tmp_path / "no.csv")
    file = tmp_path / "other.csv"
    file.write_text("name\na\n")
    with pytest.raises(PoolError, match="no list of sample_id"):
        twins.read_twins(file)


def test_arch1_as_committed():
    """By a count of its own from the committed files: .577 becomes .543."""
    listed = set(pd.read_csv(HOUSE / "experiments" / "fer2013-duplicates.csv").query("split == 'test'")["sample_id"])
    folder = HOUSE / "experiments" / "arch1-fer2013" / "inner_val-seed0"
    table = pd.read_csv(folder / "predictions" / "holdout.csv")
    kept = table[~table["sample_id"].isin(listed)]
    assert len(table) - len(kept) == 288
    found = score(read_pool(folder))["deduplicated"]
    assert found["samples"] == 3301
    assert found["accuracy"] == pytest.approx((kept["label"] == kept["predicted"]).mean())
    assert round(found["accuracy"], 3) == 0.543
