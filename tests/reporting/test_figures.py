"""The pictures hold the numbers of the pool, name the rule that chose the epoch, and have stable bytes."""

import matplotlib.image
import numpy as np
import pytest

from fer_lightning.errors import PoolError
from fer_lightning.functional.metrics import confusion, uf1
from fer_lightning.reporting.epochs import read_epochs
from fer_lightning.reporting.figures import _read_curves, confusion_figure, curves_figure, write_figures
from fer_lightning.reporting.pool import read_pool
from tests.reporting.conftest import images


def legend(figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in (axes.get_legend().texts if axes.get_legend() else [])]


def test_two_pictures_with_content_and_stable_bytes(make_run):
    folder = make_run()
    files = write_figures(folder)
    assert [file.name for file in files] == ["confusion_matrix.png", "learning_curves.png"]
    for file in files:
        picture = matplotlib.image.imread(file)
        assert min(picture.shape[:2]) > 400
        assert picture[..., :3].std() > 0.05
    first = [file.read_bytes() for file in files]
    assert [file.read_bytes() for file in write_figures(folder)] == first


def test_without_curves_only_the_confusion_matrix_is_drawn(make_run):
    folder = make_run()
    for file in (folder / "curves").iterdir():
        file.unlink()
    assert [file.name for file in write_figures(folder)] == ["confusion_matrix.png"]


def test_the_confusion_matrix_holds_the_counts(make_run):
    pool = read_pool(make_run())
    figure = confusion_figure(pool)
    counts = confusion(pool.indices("label"), pool.indices("predicted"), 3)
    cells = [int(text.get_text().split("\n")[0]) for text in figure.axes[0].texts]
    assert cells == counts.ravel().tolist()
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), counts / counts.sum(axis=1, keepdims=True))
    title = figure._suptitle.get_text()
    assert "ststnet on megc2019\nloso, selection = last\nn = 24, UF1" in title
    assert "†" not in title


def test_oracle_and_synthetic_runs_say_so(make_run):
    pool = read_pool(make_run(selection="oracle_test", synthetic=True))
    for figure in (confusion_figure(pool), curves_figure(pool, _read_curves(pool), read_epochs(pool))):
        assert "† (epoch chosen on the test samples)" in figure._suptitle.get_text()
        assert "SYNTHETIC DATA" in figure._suptitle.get_text()


def test_the_pooled_oracle_curve_is_that_of_all_folds_at_one_epoch(make_run):
    pool = read_pool(make_run(selection="oracle_test"))
    epochs = read_epochs(pool)
    figure = curves_figure(pool, _read_curves(pool), epochs)
    label = "test UF1, pooled, one epoch for all folds (oracle: leaky)"
    line = next(line for line in figure.axes[1].lines if line.get_label() == label)
    predicted = np.concatenate([fold.probabilities[2].argmax(axis=1) for fold in epochs.values()])
    target = np.concatenate([fold.target for fold in epochs.values()])
    assert line.get_ydata()[2] == pytest.approx(uf1(confusion(target, predicted, 3)))


def test_only_curves_that_exist_are_in_the_legend(make_run):
    pool = read_pool(make_run())
    assert legend(curves_figure(pool, _read_curves(pool), {})) == ["train", "train accuracy"]
    pool = read_pool(make_run(images(), protocol="holdout", name="holdout"))
    labels = legend(curves_figure(pool, _read_curves(pool), {}))
    assert labels == ["train", "validation", "train accuracy", "validation UF1"]


def test_a_single_epoch_is_shown_as_one_whole_number(make_run):
    pool = read_pool(make_run(epochs=1))
    for axes in curves_figure(pool, _read_curves(pool), {}).axes:
        assert axes.get_xlim() == (0, 2)
        assert axes.get_xticks().tolist() == [1]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'"torn'], ids=["empty", "bytes", "torn"])
def test_curves_that_cannot_be_read_are_named(make_run, content):
    folder = make_run()
    (folder / "curves" / "smic-sub1.csv").write_bytes(content)
    with pytest.raises(PoolError, match=r"smic-sub1\.csv: (cannot be read .*remove it|expected a column 'epoch')"):
        write_figures(folder)


def test_the_mean_is_over_folds(make_run):
    pool = read_pool(make_run())
    curves = _read_curves(pool)
    figure = curves_figure(pool, curves, {})
    mean = next(line for line in figure.axes[0].lines if line.get_label() == "train")
    np.testing.assert_allclose(mean.get_ydata(), curves.groupby("epoch")["train_loss"].mean())
    assert len(figure.axes[0].lines) == 8 + 1
