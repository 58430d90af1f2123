"""The page of all runs: its data equal the files, it is safe and the same each time, and a browser draws it."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import root_mean_squared_error

from fer_lightning.report import main
from fer_lightning.reporting.page.cell import named
from fer_lightning.reporting.page.curves import read_curves
from fer_lightning.reporting.scores import write_scores
from tests.reporting.conftest import images
from tests.reporting.test_regression_scores import make as make_values  # noqa: F401  (a fixture)
from tests.runs import HOUSE

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&\"'{{DATA}}"


class Parts(HTMLParser):
    """Elements of a page, and the content of its scripts."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.scripts: list[str] = []
        self.feed(file.read_text("utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attributes]
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, text: str) -> None:
        if self.tags and self.tags[-1] == "script" and self.scripts:
            self.scripts[-1] += text


def data_of(file: Path) -> dict:
    return json.loads(Parts(file).scripts[0])


def change(folder: Path, name: str, **more: object) -> None:
    """Set keys of a JSON or YAML file; ``protocol={"selection": ...}`` goes one level down."""
    file, parse = folder / name, json.loads if name.endswith("json") else yaml.safe_load
    content = parse(file.read_text())
    for key, value in more.items():
        content[key] = content[key] | value if isinstance(content.get(key), dict) else value
    file.write_text(json.dumps(content))


@pytest.fixture
def finished(make_run, tmp_path) -> Callable[..., Path]:
    """finished(name, seed=0, optimizer="Adam", lr=0.001, ...) -> a run folder with scores."""

    def finish(name: str, seed: int = 0, optimizer: str = "Adam", lr: float = 0.001, **options: object) -> Path:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        folder = make_run(name=name, **options)
        change(folder, "config.yaml", seed=seed, optimizer={"_target_": f"torch.optim.{optimizer}", "lr": lr})
        write_scores(folder)
        return folder

    return finish


def test_the_numbers_of_the_page_are_those_of_the_files(finished, tmp_path):
    finished("a/last", optimizer="SGD", lr=0.1)
    finished("a/oracle", selection="oracle_test")
    finished("b", manifest=images(), protocol="holdout", selection="inner_val", synthetic=True)
    assert main([str(tmp_path)]) == 0
    data = data_of(tmp_path / "report.html")
    assert [cell["path"] for cell in data["cells"]] == ["a/last", "a/oracle", "b"]
    for cell in data["cells"]:
        scores = json.loads((tmp_path / cell["path"] / "scores.json").read_text())
        assert data["versions"][cell["versions"]] == scores.pop("versions")
        assert cell["scores"] == scores
    sgd, oracle, holdout = data["cells"]
    assert (sgd["model"], sgd["data"], sgd["optimizer"], sgd["lr"], sgd["scheduler"]) == (
        "ststnet", "megc2019", "SGD", 0.1, "",
    )  # fmt: skip
    assert oracle["scores"]["honest"]["oracle_gap_uf1"] == pytest.approx(
        oracle["scores"]["uf1"] - oracle["scores"]["honest"]["uf1"]
    )
    assert holdout["scores"]["synthetic"] is True
    assert holdout["folds"] == [["holdout", 20, None, 5, 1.5]]


def test_folds_carry_their_hits_in_natural_order(finished, tmp_path):
    folder = finished("run")
    main([str(tmp_path)])
    folds = data_of(tmp_path / "report.html")["cells"][0]["folds"]
    assert [name for name, *_ in folds][:4] == ["casme2-sub1", "casme2-sub2", "casme2-sub10", "casme2-sub11"]
    for name, samples, hits, epoch, seconds in folds:
        rows = pd.read_csv(folder / "predictions" / f"{name}.csv")
        assert (samples, hits) == (len(rows), (rows["label"] == rows["predicted"]).sum())
        assert (epoch, seconds) == (5, 1.5)


@pytest.mark.parametrize("joint", [False, True])
def test_values_have_their_error_in_each_fold_and_joint_runs_their_hits(make_values, tmp_path, joint):  # noqa: F811
    folder = make_values(joint=joint, selection="oracle_test")
    scores = write_scores(folder)
    assert main([str(tmp_path), "--check"]) == 0
    cell = data_of(tmp_path / "report.html")["cells"][0]
    assert cell["scores"].get("continuous", cell["scores"])["ccc"] == scores.get("continuous", scores)["ccc"]
    for name, samples, figure, *_ in cell["folds"]:
        rows = pd.read_csv(folder / "predictions" / f"{name}.csv", keep_default_na=False)
        if joint:
            rows = rows[rows["label"] != ""]
            assert (samples, figure) == (len(rows), (rows["label"] == rows["predicted"]).sum())
        else:
            errors = [root_mean_squared_error(rows[name], rows[f"predicted_{name}"]) for name in ("valence", "arousal")]
            assert (samples, figure) == (len(rows), pytest.approx(np.mean(errors), abs=1e-5))


def test_cells_that_differ_in_the_seed_alone_are_one_group(finished, tmp_path):
    for seed in (0, 1):
        finished(f"adam{seed}", seed=seed)
        finished(f"sgd{seed}", seed=seed, optimizer="SGD")
    finished("oracle0", selection="oracle_test")
    main([str(tmp_path)])
    data = data_of(tmp_path / "report.html")
    groups = {cell["path"]: (cell["group"], cell["recipe"]) for cell in data["cells"]}
    assert groups["adam0"] == groups["adam1"] != groups["sgd0"] == groups["sgd1"]
    assert groups["oracle0"][0] != groups["adam0"][0]
    assert groups["oracle0"][1] == groups["adam0"][1], "the same training, scored at another epoch"
    assert data["common"]["model_name"] == "ststnet"
    assert data["cells"][0]["settings"]["optimizer._target_"] == "torch.optim.Adam"
    assert not set(data["common"]) & set(data["cells"][0]["settings"])


def test_optimizers_inside_optimizers_are_named():
    inner = {"_target_": "torch.optim.Adam", "lr": 0.1}
    assert named({"_target_": "x.lookahead", "lr": 0.1, "base": inner}) == "lookahead(Adam)"
    assert named(None) == named({}) == ""


def curve(folder: Path, folds: int, epochs: int) -> np.ndarray:
    folder.mkdir()
    losses = np.random.default_rng(0).random((folds, epochs))
    for fold in range(folds):
        rows = pd.DataFrame({"epoch": np.arange(1, epochs + 1), "train_loss": losses[fold]})
        rows.to_csv(folder / f"s{fold}.csv", index=False)
    return losses


@pytest.mark.parametrize("folds", [1, 12, 13])
def test_curves_are_thinned_and_many_folds_have_a_band(tmp_path, folds):
    losses = curve(tmp_path / "curves", folds, 1000)
    found = read_curves(tmp_path / "curves", points=40)
    line, kept = found["lines"]["train_loss"], np.array(found["epochs"]) - 1
    assert (len(kept), kept[0], kept[-1], found["of"], found["folds"]) == (40, 0, 999, 1000, folds)
    assert line["mean"] == pytest.approx(losses.mean(axis=0)[kept], rel=1e-3)
    if folds == 12:
        assert line["folds"][10] == pytest.approx(losses[10][kept], rel=1e-3), "s10 stands after s9"
    if folds == 13:
        assert line["low"] == pytest.approx(np.quantile(losses, 0.1, axis=0)[kept], rel=1e-3)
        assert line["high"] == pytest.approx(np.quantile(losses, 0.9, axis=0)[kept], rel=1e-3)
    assert set(line) == {"mean"} | {1: set(), 12: {"folds"}, 13: {"low", "high"}}[folds]


def test_unfinished_and_broken_folders_are_named(finished, make_run, tmp_path, capsys):
    finished("good")
    for file in ("smic-sub1", "smic-sub2"):
        (make_run(name=f"half-{file}") / "predictions" / f"{file}.csv").unlink()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "config.yaml").write_text("learning_rate: 1\n")
    (finished("torn") / "scores.json").write_text('{"uf1": 0.')
    change(finished("odd"), "scores.json", uf1="high")
    change(finished("nan"), "scores.json", uf1=float("nan"))
    change(finished("relabelled", selection="oracle_test"), "config.yaml", protocol={"selection": "last"})
    (finished("curve") / "curves" / "smic-sub1.csv").write_text("step\n1\n")
    shutil.rmtree(finished("bare") / "predictions")
    assert main([str(tmp_path)]) == 0
    data = data_of(tmp_path / "report.html")
    assert [cell["path"] for cell in data["cells"]] == ["good"]
    assert [(run["path"], run["done"], run["of"]) for run in data["unfinished"]] == [
        ("half-smic-sub1", 7, 8), ("half-smic-sub2", 7, 8),
    ]  # fmt: skip
    reasons = {refused["path"]: refused["reason"] for refused in data["broken"]}
    for path, part in {
        "foreign": "not the config of a run", "torn": "torn/scores.json cannot be read", "odd": "'high'", "nan": "NaN",
        "relabelled": "selection 'oracle_test', config.yaml 'last'", "curve": "curves/smic-sub1.csv",
        "bare": "no result",
    }.items():  # fmt: skip
        assert part in reasons.pop(path)
    assert reasons == {}
    assert "refused: torn:" in capsys.readouterr().err


def test_one_run_with_settings_that_are_no_numbers_does_not_cost_the_page(finished, make_run, tmp_path):
    finished("good")
    change(finished("odd"), "predictions/smic-sub1.json", seconds=float("nan"))
    config = {"optimizer": {"_target_": "torch.optim.SGD", "lr": float("nan")}, "trainer": {"max_epochs": float("inf")}}
    aborted = make_run(name="aborted") / "config.yaml"
    aborted.write_text(yaml.safe_dump(yaml.safe_load(aborted.read_text()) | config))
    assert main([str(tmp_path)]) == 0
    data = data_of(tmp_path / "report.html")
    assert [(run["path"], run["lr"], run["epochs"]) for run in data["unfinished"]] == [("aborted", None, None)]
    odd = next(cell for cell in data["cells"] if cell["path"] == "odd")
    assert next(seconds for name, *_, seconds in odd["folds"] if name == "smic-sub1") is None


def test_scores_that_contradict_their_predictions_are_refused(finished, tmp_path):
    finished("good")
    lost, better = finished("lost"), finished("better")
    file = lost / "predictions" / "smic-sub1.csv"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    change(better, "scores.json", uf1=0.99)
    assert main([str(tmp_path)]) == 0
    data = data_of(tmp_path / "report.html")
    assert ([refused["path"] for refused in data["broken"]], data["checked"]) == (["lost"], False)
    assert main([str(tmp_path), "--check"]) == 0
    data = data_of(tmp_path / "report.html")
    assert ([cell["path"] for cell in data["cells"]], data["checked"]) == (["good"], True)
    assert "in ['uf1']" in {refused["path"]: refused["reason"] for refused in data["broken"]}["better"]


def test_nothing_to_read_is_an_error_and_leaves_no_page(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert "no run in" in capsys.readouterr().err
    assert main([str(tmp_path / "absent")]) == 2
    assert "is no folder" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_texts_from_files_stay_texts(finished, tmp_path):
    folder = finished("<img src=x>")
    change(folder, "config.yaml", model_name=EVIL, note=EVIL)
    change(folder, "scores.json", interval=EVIL)
    out = tmp_path / "page.html"
    assert main([str(tmp_path), "--out", str(out)]) == 0
    parts = Parts(out)
    assert (parts.tags.count("script"), parts.tags.count("img")) == (2, 0)
    assert not {"src", "href", "onerror", "onclick", "onload"} & set(parts.attributes)
    cell = data_of(out)["cells"][0]
    assert cell["path"] == "<img src=x>"
    assert cell["model"] == cell["scores"]["interval"] == data_of(out)["common"]["note"] == EVIL
    assert "innerHTML =" not in out.read_text()
    assert set(re.findall(r"https?://[^\s\"'`]*", out.read_text())) == {"http://www.w3.org/2000/svg"}


def test_the_same_files_give_the_same_bytes(finished, tmp_path):
    finished("runs/a")
    finished("runs/b", selection="oracle_test")
    assert main([str(tmp_path / "runs")]) == 0
    first = (tmp_path / "runs" / "report.html").read_bytes()
    shutil.copytree(tmp_path / "runs", tmp_path / "other" / "runs", copy_function=shutil.copyfile)
    main([str(tmp_path / "other" / "runs")])
    assert (tmp_path / "other" / "runs" / "report.html").read_bytes() == first


def test_the_command_needs_neither_torch_nor_matplotlib(finished, tmp_path):
    finished("run")
    blocked = "import sys; sys.modules.update(dict.fromkeys(['torch', 'matplotlib', 'pytorch_lightning', 'timm']));"
    code = f"{blocked} from fer_lightning.report import main; sys.exit(main([{str(tmp_path)!r}]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "1 cells, 0 unfinished, 0 broken" in done.stdout


def test_the_committed_results_are_on_the_page_and_checked(tmp_path):
    out = tmp_path / "page.html"
    assert main([str(HOUSE / "experiments"), "--out", str(out), "--check"]) == 0
    data = data_of(out)
    assert data["broken"] == []
    cell = {cell["path"]: cell for cell in data["cells"]}["ststnet-megc2019/last-seed0"]
    assert (round(cell["scores"]["uf1"], 3), cell["lr"], len(cell["folds"])) == (0.702, 5e-5, 68)


@pytest.mark.skipif(not shutil.which("node"), reason="no node: the page's script is not run")
def test_long_labels_lose_their_middle_and_not_their_beginning():
    """They were cut off on the left, where the name of the network stands."""
    script = (HOUSE / "fer_lightning/reporting/page/charts.js").read_text("utf-8")
    script += 'console.log(JSON.stringify(["abcdefghij", "abcdefghijk", "x", ""].map(text => shortened(text, 10))));'
    done = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found == ["abcdefghij", "abcde…hijk", "x", ""]
    assert len(found[1]) == 10


@pytest.fixture
def browse(tmp_path) -> Callable[[str], str]:
    """The text of the page as a browser draws it, tags taken out; the address may carry a state."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser:
        pytest.skip("no chromium: the page's script is not run")

    def visit(state: str) -> str:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
        more = [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", f"{(tmp_path / 'page.html').as_uri()}#{state}"]
        done = subprocess.run([browser, *flags, *more], capture_output=True, text=True, timeout=60)
        body = re.sub(r"<script.*?</script>|<style.*?</style>", "", done.stdout, flags=re.DOTALL)
        return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body))

    return visit


@pytest.mark.slow
def test_a_browser_sorts_filters_groups_and_opens_cells(finished, make_values, tmp_path, browse):  # noqa: F811
    for seed, skill in ((0, 0.2), (1, 0.5), (2, 0.8)):
        finished(f"adam{seed}", seed=seed, skill=skill)
    finished("oracle", selection="oracle_test")
    change(finished("evil", optimizer="SGD", lr=0.1), "config.yaml", model_name=EVIL)
    values = write_scores(make_values())
    main([str(tmp_path), "--out", str(tmp_path / "page.html")])
    uf1 = [json.loads((tmp_path / f"adam{seed}" / "scores.json").read_text())["uf1"] for seed in range(3)]

    found = browse("q=adam&selection=last&sort=-uf1")
    assert "3 of 6 cells shown." in found
    rows = re.findall(r"last (\d) (\d\.\d{3})", found[: found.index("In brackets")])
    assert rows == [(str(seed), f"{uf1[seed]:.3f}") for seed in np.argsort(uf1)[::-1]]

    found = browse("q=optimizer._target_%3Dtorch.optim.adam+seed%3D+last&data=megc2019&grouped=1")
    spread = f"sd {np.std(uf1, ddof=1):.3f}".replace(" 0.", " .")
    assert f"3: 0, 1, 2 {np.mean(uf1):.3f} {spread}" in found

    found = browse("open=oracle&open=evil&open=run")
    honest = json.loads((tmp_path / "oracle" / "scores.json").read_text())["honest"]
    assert f"the last epoch of the same training scores {honest['uf1']:.3f}" in found
    opened = {
        "Confusion matrix": 2,
        "recall": 2,
        "Share of hits in each fold": 2,
        "Mean RMSE of each fold": 1,
        "--config-path=": 3,
    }
    assert {part: found.count(part) for part in opened} == opened
    assert f"CCC valence CCC arousal RMSE MAE SAGR all {values['samples']} {values['ccc']:.3f}" in found
    assert "alert(2)" in found, "the name is shown, not run"
