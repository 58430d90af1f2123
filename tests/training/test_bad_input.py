"""Bad input, the way users have it: each ends with a message that says what to do, and nothing is scored."""

import lzma
import re
import zipfile
from pathlib import Path

import cv2
import numpy as np
import openpyxl
import pytest
import torch
from torch import nn

from fer_lightning.datasets import casme2, fer2013
from fer_lightning.errors import ConfigError, DatasetError, DatasetNotFoundError, FERError
from fer_lightning.run import check_options, run
from tests.runs import configure

SHEET = "CASME2-coding-20190701.xlsx"


@pytest.fixture
def raw(tmp_path) -> Path:
    return tmp_path / "raw"


def train(raw: Path, tmp_path: Path, *overrides: str) -> None:
    run(configure(f"paths.raw={raw}", f"paths.runs={tmp_path / 'runs'}", "trainer.max_epochs=1", *overrides))


def faces(raw: Path) -> Path:
    """A tiny FER2013 in the csv form; returns the csv."""
    fer2013.write_tiny(raw / "fer2013")
    return raw / "fer2013" / "fer2013.csv"


def clips(raw: Path) -> Path:
    """A tiny CASME II; returns its folder."""
    casme2.write_tiny(raw / "casme2")
    return raw / "casme2"


def refused(raw: Path, tmp_path: Path, kind: type[FERError], *overrides: str) -> str:
    """The message, after making sure that nothing was scored."""
    with pytest.raises(kind) as caught:
        train(raw, tmp_path, *overrides)
    assert not list(tmp_path.glob("runs/**/scores.json"))
    assert not list(tmp_path.glob("runs/**/predictions/*.csv"))
    return str(caught.value)


FACES = ("model=arch1", "data=fer2013")
FLOW = ("model=waspp", "model.geometry=vggm", "data=casme2", "data.recipe.method=dis")


def test_raw_folder_missing(raw, tmp_path):
    message = refused(raw, tmp_path, DatasetNotFoundError, *FACES)
    assert str(raw / "fer2013") in message
    assert "FER_RAW" in message
    assert "debug=tiny" in message


def test_csv_cut_in_half(raw, tmp_path):
    file = faces(raw)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    message = refused(raw, tmp_path, DatasetError, *FACES)
    assert "fer2013.csv" in message
    assert re.search(r"row \d+|cut|incomplete|truncated", message), message


def test_compressed_csv_cut_in_half(raw, tmp_path):
    file = faces(raw)
    packed = lzma.compress(file.read_bytes())
    file.unlink()
    (file.parent / "fer2013.csv.xz").write_bytes(packed[: len(packed) // 2])
    message = refused(raw, tmp_path, DatasetError, *FACES)
    assert "fer2013.csv.xz" in message


def test_a_pixel_row_of_2303_numbers(raw, tmp_path):
    file = faces(raw)
    lines = file.read_text().splitlines()
    emotion, pixels, usage = lines[6].split(",")
    lines[6] = ",".join([emotion, " ".join(pixels.split()[:-1]), usage])
    file.write_text("\n".join(lines) + "\n")
    message = refused(raw, tmp_path, DatasetError, *FACES)
    assert "row 5 (line 7 of the file): expected 2,304 pixels, found 2,303 numbers" in message


def test_a_corrupt_image_inside_the_zip(raw, tmp_path):
    folder = raw / "fer2013"
    faces(raw)
    names = {"angry": 0, "disgust": 1, "fear": 2, "happy": 3, "sad": 4, "surprise": 5, "neutral": 6}
    image = cv2.imencode(".jpg", np.full((48, 48), 90, np.uint8))[1].tobytes()
    with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
        for name in names:
            for part, prefix in (("train", "Training"), ("test", "PublicTest"), ("test", "PrivateTest")):
                broken = (name, prefix) == ("sad", "Training")
                member = f"{part}/{name}/{prefix}_{names[name]}1.jpg"
                archive.writestr(member, image[: len(image) // 2][:40] if broken else image)
    (folder / "fer2013.csv").unlink()
    message = refused(raw, tmp_path, DatasetError, *FACES)
    assert "train/sad/Training_41.jpg" in message


def test_a_git_lfs_pointer_instead_of_a_csv(raw, tmp_path):
    faces(raw).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 301072766\n")
    assert "Git-LFS" in refused(raw, tmp_path, DatasetError, *FACES) or pytest.fail("the pointer is not named")


def test_a_coding_sheet_without_the_apex_column(raw, tmp_path):
    sheet = clips(raw) / SHEET
    book = openpyxl.load_workbook(sheet)
    page = book.worksheets[0]
    column = next(cell.column for cell in page[1] if cell.value == "ApexFrame")
    page.delete_cols(column)
    book.save(sheet)
    message = refused(raw, tmp_path, DatasetError, *FLOW)
    assert SHEET in message
    assert "apex" in message.lower()


def change(sheet: Path, header: str, value: object) -> str:
    """Put a value into the first data row of a sheet; returns the clip of that row."""
    book = openpyxl.load_workbook(sheet)
    page = book.worksheets[0]
    place = {str(cell.value): cell.column for cell in page[1]}
    page.cell(2, place[header]).value = value
    book.save(sheet)
    return str(page.cell(2, place["Filename"]).value)


def test_onset_after_apex(raw, tmp_path):
    clip = change(clips(raw) / SHEET, "OnsetFrame", 5000)
    message = refused(raw, tmp_path, DatasetError, *FLOW)
    assert clip in message
    assert "5000" in message


def test_a_frame_that_does_not_exist(raw, tmp_path):
    folder = clips(raw)
    clip = change(folder / SHEET, "OffsetFrame", 9000)
    change(folder / SHEET, "ApexFrame", 8000)
    message = refused(raw, tmp_path, DatasetError, *FLOW)
    assert clip in message
    assert "8000" in message


def test_faces_without_subjects_cannot_be_split_by_subject(raw, tmp_path):
    faces(raw)
    message = refused(raw, tmp_path, ConfigError, *FACES, "protocol=loso")
    assert "needs a subject for every sample" in message
    assert "protocol=holdout" in message


def test_a_flow_network_given_faces(raw, tmp_path):
    faces(raw)
    message = refused(raw, tmp_path, ConfigError, "model=ststnet", "data=fer2013")
    assert "model=ststnet reads flow images" in message
    assert "1 channel(s): gray" in message


def test_a_network_that_cannot_read_the_size(raw, tmp_path):
    clips(raw)
    message = refused(raw, tmp_path, ConfigError, *FLOW, "data.recipe.size=20")
    assert "(2, 20, 20)" in message


class Own(nn.Module):
    """A network of somebody's own; by `how`, with one of the mistakes that everybody makes once."""

    def __init__(self, num_classes: int, how: str) -> None:
        super().__init__()
        self.how, self.norm, self.last = how, nn.BatchNorm2d(1), nn.Linear(48 * 48, num_classes)

    def forward(self, x: torch.Tensor) -> object:
        assert self.how != "shy" or not self.training, "it was trained"
        logits = self.last(self.norm(x).flatten(1))
        if self.how == "index":
            return logits[:, [99]]
        if self.how == "key":
            return {"out": logits}["logits"]
        if self.how == "attribute":
            return logits.logits
        if self.how == "type":
            return self.last(logits, logits)
        if self.how == "tuple" or (self.how == "auxiliary" and self.training):
            return logits, logits
        return {"pixels": logits.flatten(), "none": None, "dict": {"logits": logits}}.get(self.how, logits)


OWN = ("model=random_guess", "data=fer2013", f"model._target_={__name__}.Own")


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("tuple", r"model=random_guess \(Own\) gives a tuple for 2 samples, expected one tensor \(2, 7\)"),
        ("dict", r"\(Own\) gives a dict for 2 samples.*which forward returns alone"),
        ("none", r"\(Own\) gives a NoneType for 2 samples.*which forward returns alone"),
        ("pixels", r"\(Own\) gives a tensor \(14,\) for 2 samples, expected one tensor \(2, 7\)"),
        ("index", r"model=random_guess \(Own\) fails.*IndexError: index 99 .*test_bad_input\.py, line \d+\).*\(2, 7\)"),
        ("key", r"\(Own\) fails on data=fer2013.*KeyError: 'logits' \(.*test_bad_input\.py, line \d+\)"),
        ("attribute", r"AttributeError: 'Tensor' object has no attribute 'logits' \(.*test_bad_input\.py, line \d+\)"),
        ("type", r"TypeError: .*takes 2 positional arguments but 3 were given \(.*test_bad_input\.py, line \d+\)"),
    ],
)
def test_the_mistakes_of_an_own_network_are_one_line_before_training(raw, tmp_path, how, text):
    faces(raw)
    message = refused(raw, tmp_path, ConfigError, *OWN, f"+model.how={how}")
    assert re.search(text, message), message
    assert "\n" not in message
    assert not (tmp_path / "runs" / "fer2013").exists(), "refused before there is a run folder"


def test_a_network_that_gives_a_tuple_while_it_is_trained_is_one_line(raw, tmp_path):
    faces(raw)
    message = refused(raw, tmp_path, ConfigError, *OWN, "+model.how=auxiliary")
    assert message.startswith("Own gives a tuple in training mode, expected one tensor of logits")
    assert "\n" not in message


def test_the_look_at_a_network_before_training_moves_no_statistics_of_it(raw, tmp_path):
    faces(raw)
    with pytest.raises(AssertionError, match="it was trained"):  # by the first step, and by nothing before it
        train(raw, tmp_path, *OWN, "+model.how=shy")
    assert list((tmp_path / "runs").glob("fer2013/*/*/*/config.yaml"))


def test_a_part_that_the_network_does_not_have(raw, tmp_path):
    faces(raw)
    message = refused(raw, tmp_path, ConfigError, *FACES, "parts.freeze=[pixel]")
    assert message.startswith("parts.freeze names 'pixel'; the network has the parts [")


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("protocol.selection=best", r"selection='best' is not one of \['last', 'inner_val', 'oracle_test'\]"),
        ("protocol.only=[casme2-sub77]", "casme2-sub77"),
        ("protocol.index=77", r"protocol.index=77 is outside 0\.\."),
        ("trainer.precision=64-true", "precision='64-true' is none of .*'32-true', 'bf16-mixed', '16-mixed'"),
        ("trainer.precision=bf16-true", "precision='bf16-true'"),
    ],
)
def test_wrong_options(raw, tmp_path, override, text):
    clips(raw)
    with pytest.raises(ConfigError, match=text):
        train(raw, tmp_path, *FLOW, override)


@pytest.mark.parametrize("metric", ["train_loss", "train_accuracy", "epoch", "lr"])
def test_an_epoch_is_chosen_by_figures_of_validation_samples_only(metric):
    cfg = configure(*FLOW, "protocol.selection=inner_val", f"protocol.metric={metric}")
    with pytest.raises(ConfigError, match=rf"metric='{metric}'.*validation samples \(val_"):
        check_options(cfg)
    check_options(configure(*FLOW, "protocol.selection=last", f"protocol.metric={metric}"))


@pytest.mark.slow
def test_the_command_ends_with_the_message_alone_and_a_non_zero_code(start, tmp_path):
    done = start("model=arch1", "data=fer2013", FER_RAW=str(tmp_path / "nowhere"))
    assert done.returncode == 2
    assert "DatasetNotFoundError" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_one_bad_cell_does_not_stop_a_sweep_but_is_not_forgotten(start, tmp_path):
    done = start("model=random_guess", "data=fer2013,megc2019_flow", "protocol=loso", "trainer.max_epochs=1", "-m")
    assert done.returncode != 0
    assert "needs a subject for every sample" in done.stderr
    assert len(list((tmp_path / "runs").glob("megc2019_flow/**/scores.json"))) == 1
