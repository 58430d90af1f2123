"""The page of the papers' tables: its numbers are those of the committed files, and a browser draws them."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import confusion_matrix

from fer_lightning.compose import CONF
from fer_lightning.report import main
from fer_lightning.reporting.page.papers import collect_papers, read_places, written_by_people
from fer_lightning.reporting.papers.collect import collect, read_table
from fer_lightning.reporting.papers.readme import markdown, read_results, write_readme
from fer_lightning.reporting.papers.results import write_results
from fer_lightning.reporting.scores import write_scores
from tests.reporting.conftest import CLASSES, images, predictions, write
from tests.reporting.test_page import EVIL, Parts, browse, data_of, finished  # noqa: F401  (fixtures)
from tests.runs import HOUSE, NO_TORCH

PAPER = """row,part,metric,printed,source,note
spp-i,all,accuracy,0.6644,Table 7,
spp-vi,all,accuracy,0.6689,Table 7,
spp-vi,smic,accuracy,0.6159,Table 7,a remark
oracle,all,uf1,0.9,Table 9,
never,all,accuracy,0.5,Table 7,
"""
DEVIATIONS = """# Two models

<!-- generated -->
<!-- end -->

## Deviations

Text with `code`, **bold** and [a page](https://example.org/x), [a table](../other), [a trap](javascript:alert(3)).
- first,
  still first
- second:

  ```sh
  python train.py -m
  ```
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Where `table` keeps what it has made, for the next test."""
    return tmp_path_factory.mktemp("made") / "table"


@pytest.fixture
def table(make_run, tmp_path, made) -> Path:
    """experiments/waspp-t6 with two seeds of spp-vi, one of the others and no result of the row `never`."""
    if not made.exists():
        for (row, seed), skill in {
            ("spp-i", 0): 0.3,
            ("spp-vi", 0): 0.6,
            ("spp-vi", 1): 0.4,
            ("oracle", 0): 0.2,
        }.items():
            run = make_run(name=f"{row}-{seed}", skill=skill, selection="oracle_test" if row == "oracle" else "last")
            for file in [run / "config.yaml", *run.glob("predictions/*.json")]:
                file.write_text(re.sub(r'(seed"?): 0', rf"\1: {seed}", file.read_text()))
            write_scores(run)
            collect(run, made / "predictions", about(row, seed))
        (made / "paper.csv").write_text(PAPER)
        (made / "README.md").write_text(DEVIATIONS)
        rebuild(made)
    return Path(shutil.copytree(made, tmp_path / "experiments" / "waspp-t6"))


def about(row: str, seed: int) -> dict:
    return {
        "row": row,
        "seed": seed,
        "budget": "cpu",
        "asked": "",
        "run": f"{row}-{seed}",
        "command": "python train.py",
    }


def rebuild(folder: Path) -> None:
    write_results(folder)
    write_readme(folder, {})


def png(file: Path, side: int) -> Path:
    file.parent.mkdir(exist_ok=True)
    noise = np.random.default_rng(0).integers(256, size=(side, side, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file)
    return file


# --- committed curves and pictures


def test_curves_are_means_over_the_folds_and_count_them(make_run, tmp_path):
    run = make_run(epochs=250)
    stopped = run / "curves" / "smic-sub1.csv"
    stopped.write_text("".join(stopped.read_text().splitlines(keepends=True)[:11]))  # the head and ten epochs
    write_scores(run)
    file = collect(run, tmp_path / "predictions", about("x", 0))
    found = pd.read_csv(file.with_name("x-seed0-cpu-curves.csv")).set_index("epoch")
    folds = [pd.read_csv(each).set_index("epoch") for each in run.glob("curves/*.csv")]
    assert list(found) == ["folds", "train_loss", "train_accuracy"]
    assert (len(found), found.index[0], found.index[-1]) == (200, 1, 250)
    assert found.loc[[1, 250], "folds"].tolist() == [8, 7]
    for epoch in (1, 250):
        losses = [fold.at[epoch, "train_loss"] for fold in folds if epoch in fold.index]
        assert found.at[epoch, "train_loss"] == pytest.approx(np.mean(losses), rel=1e-5)


def test_curves_and_picture_are_added_to_a_run_that_was_collected_before_and_removed_with_it(
    make_run, tmp_path, capsys
):
    run = make_run()
    write_scores(run)
    (run / "curves").rename(run / "kept")
    file = collect(run, tmp_path / "predictions", about("x", 0))
    names = {each.name for each in file.parent.iterdir()}
    (run / "kept").rename(run / "curves")
    picture = png(run / "figures" / "grad_cam_classes.png", 20)
    collect(run, file.parent, about("x", 0))
    more = {"x-seed0-cpu-curves.csv", "x-seed0-cpu-grad_cam_classes.png"}
    assert {each.name for each in file.parent.iterdir()} == names | more
    assert file.with_name("x-seed0-cpu-grad_cam_classes.png").read_bytes() == picture.read_bytes()
    shutil.rmtree(run / "curves")
    png(picture, 500)  # 750 kB
    scores = json.loads((run / "scores.json").read_text())
    (run / "scores.json").write_text(json.dumps(scores | {"seconds": 99}))
    collect(run, file.parent, about("x", 0))
    assert {each.name for each in file.parent.iterdir()} == names, "those of the older run are gone"
    assert "grad_cam_classes.png (75" in capsys.readouterr().err


def test_a_run_of_two_commits_and_machines_says_so(make_run, tmp_path):
    run = make_run()
    facts = json.loads((run / "predictions" / "smic-sub1.json").read_text())
    other = facts["versions"] | {"commit": "def-dirty"}
    (run / "predictions" / "smic-sub1.json").write_text(json.dumps(facts | {"versions": other, "device": "NVIDIA"}))
    write_scores(run)
    said = json.loads(collect(run, tmp_path / "predictions", about("x", 0)).read_text())
    assert set(said["device"]) == {"cpu", "NVIDIA"}
    assert {version["commit"] for version in said["versions"]} == {"abc", "def-dirty"}
    assert said["threads"] == 1


def test_what_was_carved_out_for_validation_was_not_trained_on(make_run, tmp_path):
    manifest = images().assign(split=lambda rows: rows["split"].where(rows["split"] != "val", "train"))
    run = make_run(images(), "holdout")
    written = pd.read_csv(run / "manifest.csv", dtype=str, keep_default_na=False)
    written.assign(split=manifest["split"]).to_csv(run / "manifest.csv", index=False)
    validated = images().query("split == 'val'")
    rows = predictions(tuple(validated["sample_id"]), "holdout", validated["label"].to_numpy(), np.eye(3)[[0] * 20])
    write(rows, run / "validation" / "holdout.csv")
    write_scores(run)
    said = json.loads(collect(run, tmp_path / "predictions", about("x", 0)).read_text())
    assert said["folds"]["train"] == [20]  # of 40 rows whose split is train


# --- what is on the page


def test_the_numbers_of_the_page_are_those_of_the_files(table, tmp_path):
    assert main(["--papers", str(table.parent)]) == 0
    found = data_of(table.parent / "report.html")["tables"][0]
    (budget,) = found["budgets"]
    results = read_results(table).set_index(["row", "part", "metric", "selection"]).sort_index()
    for point in budget["points"]:
        metric = {"UF1": "uf1", "UAR": "uar"}.get(point["metric"], point["metric"])
        rule = "oracle_test" if point["row"] == "oracle" else "last"
        printed = [line.split(",")[3] for line in PAPER.splitlines()
                   if line.startswith(f"{point['row']},{point['part']},{metric},")]  # fmt: skip
        assert point["paper"] == (float(printed[0]) if printed else None)
        assert point["leaky"] == (rule == "oracle_test")
        if point["row"] == "never":
            assert point["value"] is None
            continue
        ours = results.loc[(point["row"], point["part"], metric, rule)]
        for name, of_mean in {"value": "value", "low": "mean_low", "high": "mean_high"}.items():
            assert point[name] == pytest.approx(ours[of_mean].mean(), abs=1e-6)
    assert {(point["row"], point["metric"]) for point in budget["points"]} >= {("spp-vi", "UF1"), ("never", "accuracy")}
    beside = budget["heads"].index("selection")
    lines = [line[:beside] for line in budget["lines"]]
    assert "\n".join(markdown(budget["heads"][:beside], lines)) in (table / "README.md").read_text()
    assert [line[beside] for line in budget["lines"]] == ["last", "last", "last", "oracle_test †", ""]
    assert budget["found"] == [True, True, True, True, False]
    assert "not run" in budget["lines"][4]
    assert (found["places"]["spp-i"], found["places"]["spp-vi"]) == (["conv1", 2], ["conv2", 3])
    assert found["remarks"].endswith("- spp-vi smic (accuracy): a remark")
    assert budget["gaps"][1][0][0] == "oracle"


def test_matrices_are_of_all_seeds_together_and_of_the_parts_that_are_printed(table):
    found = collect_papers(table.parent, {}, {})["tables"][0]["budgets"][0]
    seeds = [read_table(table / "predictions" / f"spp-vi-seed{seed}-cpu.csv.gz", []) for seed in (0, 1)]
    both = pd.concat(seeds)
    of_part = {each["part"]: each for each in found["confusions"] if each["row"] == "spp-vi"}
    assert set(of_part) == {"all", "smic"}
    for part, rows in {"all": both, "smic": both[both["dataset"] == "smic"]}.items():
        counts = confusion_matrix(rows["label"], rows["predicted"], labels=CLASSES)
        assert of_part[part]["confusion"] == counts.tolist()
        assert (of_part[part]["seeds"], of_part[part]["classes"]) == (2, CLASSES)


def test_curves_of_seeds_meet_at_the_epochs_of_both(table):
    for seed, lines in ((0, "1,8,1.0\n3,8,3.0\n"), (1, "1,8,3.0\n2,8,4.0\n3,8,5.0\n")):
        file = table / "predictions" / f"spp-vi-seed{seed}-cpu-curves.csv"
        file.write_text(f"epoch,folds,train_loss\n{lines}")
    found = collect_papers(table.parent, {}, {})["tables"][0]["budgets"][0]["curves"]
    curves = {each["row"]: each for each in found}["spp-vi"]
    assert curves == {"row": "spp-vi", "epochs": [1, 2, 3], "seeds": 2, "folds": 8, "lines": {
        "train_loss": {"mean": [2.0, 3.0, 4.0], "folds": [[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]]}}}  # fmt: skip


def test_broken_tables_are_named_and_the_others_shown(table, capsys):
    root = table.parent
    for name in ("edited", "bare", "torn", "stray", "renamed"):
        shutil.copytree(table, root / name)
    results = (root / "edited" / "results.csv").read_text()
    line = next(line for line in results.splitlines() if line.startswith("spp-i,0") and ",accuracy,0." in line)
    better = line.replace(",accuracy,0.", ",accuracy,0.9")
    (root / "edited" / "results.csv").write_text(results.replace(line, better))
    (root / "bare" / "results.csv").unlink()
    (root / "torn" / "predictions" / "spp-i-seed0-cpu.csv.gz").write_bytes(b"\x1f\x8b")
    (root / "stray" / "predictions" / "spp-i-seed0-cpu.json").unlink()
    (root / "renamed" / "paper.csv").write_text("a,b\n1,2\n")
    assert main(["--papers", str(root)]) == 0
    data = data_of(root / "report.html")
    assert [each["name"] for each in data["tables"]] == ["waspp-t6"]
    reasons = {refused["path"]: refused["reason"] for refused in data["broken"]}
    for name, part in {"edited": "spp-i-seed0-cpu has accuracy", "bare": "bare/results.csv", "torn": "cannot be read",
                       "stray": "not of the same runs (first: ('spp-i', '0', 'cpu'))",
                       "renamed": "cannot be read"}.items():  # fmt: skip
        assert part in reasons.pop(name)
    assert reasons == {}
    assert "refused: edited: " in capsys.readouterr().err
    shutil.rmtree(table)
    assert main(["--papers", str(root)]) == 2
    assert "no table in" in capsys.readouterr().err


def test_texts_from_files_stay_texts(table):
    for name in ("paper.csv", "README.md"):
        text = (table / name).read_text().replace("a remark", f'"{EVIL.replace(chr(34), chr(34) * 2)}"')
        (table / name).write_text(text.replace("Text with", f"{EVIL} Text with"))
    rebuild(table)
    out = table.parent / "page.html"
    assert main(["--papers", str(table.parent), "--out", str(out)]) == 0
    parts = Parts(out)
    assert (parts.tags.count("script"), parts.tags.count("img")) == (2, 0)
    assert not {"src", "href", "onerror", "onclick", "onload"} & set(parts.attributes)
    found = data_of(out)["tables"][0]
    assert EVIL in found["remarks"]
    assert EVIL in found["deviations"]
    assert "innerHTML =" not in out.read_text()


def test_the_same_files_give_the_same_bytes(table, tmp_path):
    assert main(["--papers", str(table.parent)]) == 0
    first = (table.parent / "report.html").read_bytes()
    shutil.copytree(table.parent, tmp_path / "again", copy_function=shutil.copyfile)
    assert main(["--papers", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again" / "report.html").read_bytes() == first


def test_places_and_branches_are_those_of_tables_3_and_4():
    numbers = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii")  # I to IV after Conv1, V to VIII after Conv2, 2 to 5
    models = {number: (f"conv{1 + i // 4}", 2 + i % 4) for i, number in enumerate(numbers)}
    expected = {("waspp-t6", f"spp-{number}"): place for number, place in models.items()}
    expected |= {("waspp-t8", f"aspp-{number}"): place for number, place in models.items()}
    assert {key: place for key, place in read_places(CONF / "experiment").items() if key in expected} == expected


def test_only_what_people_wrote_is_below_a_table(tmp_path):
    file = tmp_path / "README.md"
    assert written_by_people(file) == ""
    file.write_text("# Title\n\nBefore.\n\n<!-- generated -->\n| a |\n<!-- end -->\n\n## After\n")
    assert written_by_people(file) == "Before.\n\n## After"


def test_the_committed_tables_are_all_on_the_page_without_torch_and_matplotlib(tmp_path):
    out = tmp_path / "page.html"
    code = f"{NO_TORCH}from fer_lightning.report import main; sys.exit(main(['--papers', '--out', {str(out)!r}]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    data = data_of(out)
    assert data["broken"] == []
    assert {each["name"] for each in data["tables"]} == {
        file.parent.name for file in (HOUSE / "experiments").glob("*/paper.csv")
    }
    (table,) = [each for each in data["tables"] if each["name"] == "waspp-t14"]
    assert table["budgets"][0]["lines"][0][2:4] == ["8,378,659", "8,378,659"]


def test_what_does_not_go_together_is_refused(tmp_path, capsys):
    for arguments in ([], [str(tmp_path), "--papers"], ["--papers", str(tmp_path), "--check"]):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 2
    assert main(["--papers", str(tmp_path / "absent")]) == 2
    assert "is no folder" in capsys.readouterr().err


# --- pictures of the page of runs


def test_a_cell_has_its_pictures_if_they_are_small(finished, tmp_path):  # noqa: F811
    run = finished("run")
    maps = png(run / "figures" / "feature_maps.png", 30)
    png(run / "figures" / "grad_cam.png", 600)  # 1.1 MB
    png(run / "figures" / "confusion_matrix.png", 30)
    (finished("odd") / "figures").mkdir()
    (tmp_path / "odd" / "figures" / "grad_cam.png").write_text("<svg>")
    assert main([str(tmp_path)]) == 0
    data = data_of(tmp_path / "report.html")
    (cell,) = data["cells"]
    large, small = cell["pictures"]
    assert (large["name"], large["source"], small["name"]) == ("grad_cam", "", "feature_maps")
    assert small["source"].startswith("data:image/png;base64,iVBOR")
    assert small["size"] == maps.stat().st_size
    assert [(each["path"], "is no PNG" in each["reason"]) for each in data["broken"]] == [("odd", True)]


# --- in a browser


@pytest.mark.slow
def test_a_browser_draws_tables_and_pictures(table, tmp_path, browse: Callable[[str], str]):  # noqa: F811
    png(table / "predictions" / "spp-i-seed0-cpu-grad_cam_classes.png", 20)
    (tmp_path / "experiments" / "other").mkdir()
    (tmp_path / "experiments" / "other" / "paper.csv").write_text(PAPER.splitlines()[0] + "\nx,all,uf1,0.5,,\n")
    (tmp_path / "experiments" / "other" / "results.csv").write_text((table / "results.csv").read_text().split("\n")[0])
    readme = table / "README.md"
    readme.write_text(readme.read_text().replace("Text with", f"{EVIL} Text with"))
    assert main(["--papers", str(tmp_path / "experiments"), "--out", str(tmp_path / "page.html")]) == 0
    found = browse("waspp-t6")
    accuracy = read_results(table).query("row == 'spp-vi' and part == 'all' and metric == 'accuracy'")["value"].mean()
    for part in ("2 tables, 1 of them with results of ours", "Two models", f"{accuracy:.4f}", "spp-vi, smic, 2 seeds",
                 "accuracy: paper and ours", "over branches and place", "What the leak is worth", "mean of 8 folds",
                 "mean Grad-CAM of each class", "still first", "python train.py -m", "alert(2)"):  # fmt: skip
        assert part in found, part
