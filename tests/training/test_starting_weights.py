"""What weights have seen before a fold begins with them, and that all folds of a run begin with the same ones."""

import shutil

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fer_lightning.errors import ConfigError, LeakError
from fer_lightning.functional.folds import Fold
from fer_lightning.protocols import weights
from fer_lightning.protocols.past import check_unseen, past_of
from tests.runs import predictions

#: Three subjects of two samples each, and a fourth whose samples have no group.
SAMPLES = pd.DataFrame({
    "sample_id": ["a1", "a2", "b1", "b2", "c1", "c2", "x", "y"],
    "group": ["a", "a", "b", "b", "c", "c", "", ""],
})  # fmt: skip
OTHER = pd.DataFrame({"sample_id": ["z1", "z2"], "group": ["z", "z"]})


def saved(folder, fold, manifest=SAMPLES, start=None):
    """A file as a run leaves it in ``<run folder>/weights``, without the rest of the run."""
    file = folder / "weights" / f"{fold.name}.safetensors"
    past = past_of(fold, manifest, start)
    weights.write(file, nn.Linear(2, 2), {"fold": fold.name} | past.facts())
    return file


A = Fold("a", ("b1", "b2", "x"), ("c1", "c2"), ("a1", "a2"))


def test_a_fold_may_begin_with_weights_that_have_not_seen_what_it_tests(tmp_path, capsys):
    check_unseen(saved(tmp_path, A), A, SAMPLES)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("tested", "column"),
    [(("b1",), "sample_id"), (("x",), "sample_id"), (("c2",), "sample_id"), (("b3",), "group"), (("c3",), "group")],
)
def test_samples_and_groups_that_were_trained_on_or_chosen_by_are_not_tested(tmp_path, tested, column):
    more = pd.DataFrame({"sample_id": ["b3", "c3"], "group": ["b", "c"]})
    fold = Fold("t", ("y",), (), tested)
    with pytest.raises(LeakError, match=rf"trained on 1 {column}s which fold t tests \(first: \['{tested[0][:1]}"):
        check_unseen(saved(tmp_path, A), fold, pd.concat([SAMPLES, more]))


def test_what_was_seen_is_remembered_through_other_data_and_in_a_copy(tmp_path):
    first = saved(tmp_path / "first", A)
    second = saved(tmp_path / "second", Fold("z", ("z1",), (), ("z2",)), OTHER, first)
    copy = tmp_path / "elsewhere.safetensors"
    shutil.copy(second, copy)
    shutil.rmtree(tmp_path / "first")
    for file in (second, copy):
        check_unseen(file, A, SAMPLES)
        with pytest.raises(LeakError, match=r"or one that it began with, .*trained on 2 sample_ids which fold b tests"):
            check_unseen(file, Fold("b", ("y",), (), ("b1", "b2")), SAMPLES)


def test_validation_samples_that_were_trained_on_are_refused_but_not_those_that_only_chose(tmp_path):
    file = saved(tmp_path, A)
    with pytest.raises(LeakError, match=r"trained on 2 sample_ids by which fold a chooses .*protocol\.inner_val"):
        check_unseen(file, Fold("a", ("c1", "c2"), ("b1", "b2"), ("a1", "a2")), SAMPLES)
    check_unseen(file, Fold("a", ("b1", "b2"), ("c1", "c2", "y"), ("a1", "a2")), SAMPLES)


def test_a_file_of_before_this_was_written_is_known_by_its_run_folder(tmp_path, capsys):
    file = tmp_path / "weights" / "a.safetensors"
    file.parent.mkdir()
    save_file(nn.Linear(2, 2).state_dict(), file)
    SAMPLES.assign(fold=["a", "a", "b", "b", "c", "c", "", ""]).to_csv(tmp_path / "manifest.csv", index=False)
    (tmp_path / "validation").mkdir()
    SAMPLES[4:6].to_csv(tmp_path / "validation" / "a.csv", index=False)
    check_unseen(file, A, SAMPLES)
    with pytest.raises(LeakError, match="trained on 2 sample_ids which fold c tests"):
        check_unseen(file, Fold("c", ("y",), (), ("c1", "c2")), SAMPLES)
    with pytest.raises(LeakError, match="trained on 1 sample_ids by which fold a chooses"):
        check_unseen(file, Fold("a", ("y",), ("b1",), ("a1", "a2")), SAMPLES)
    assert capsys.readouterr().err == ""
    (tmp_path / "predictions").mkdir()
    (tmp_path / "predictions" / "a.json").write_text('{"weights": "0123456789abcdef"}')
    check_unseen(file, A, SAMPLES)
    assert "nothing says what the file that a.safetensors began with was trained on" in capsys.readouterr().err


def test_a_foreign_file_is_taken_and_said_once_also_through_a_run_of_this_project(tmp_path, capsys):
    foreign = tmp_path / "imagenet.pt"
    torch.save(nn.Linear(2, 2).state_dict(), foreign)
    for _ in range(2):
        check_unseen(foreign, A, SAMPLES)
    said = capsys.readouterr().err
    assert said.count("nothing says what imagenet.pt was trained on") == 1
    file = saved(tmp_path, A, start=foreign)
    check_unseen(file, A, SAMPLES)
    assert "nothing says what imagenet.pt was trained on" in capsys.readouterr().err


def test_a_header_that_was_tampered_with_is_no_traceback(tmp_path):
    file = tmp_path / "weights.safetensors"
    broken = '{"trained": "???", "chosen": "", "unknown": ""}', '{"trained": "YQ==", "chosen": "", "unknown": ""}'
    for facts in ("{", *broken, '{"trained": "", "chosen": 3}', '{"trained": ""}', '["trained"]', "3"):
        save_file(nn.Linear(2, 2).state_dict(), file, {"facts": facts})
        with pytest.raises(ConfigError, match=r"weights\.safetensors.*header"):
            check_unseen(file, A, SAMPLES)


def test_the_same_weights_are_the_same_file(tmp_path):
    """Else a first stage that is made again, alike, would look like another one."""
    net, facts = nn.Linear(2, 2), {f"fact{number}": number for number in range(20)}
    for name in "ab":
        weights.write(tmp_path / name, net, facts)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert len((tmp_path / "a").read_bytes()) < 1000


def test_what_28709_samples_leave_in_the_header_is_small(tmp_path):
    ids = [f"Training_{number}" for number in range(28_709)]
    manifest = pd.DataFrame({"sample_id": ids, "group": ""})
    file = saved(tmp_path, Fold("holdout", tuple(ids[100:]), (), tuple(ids[:100])), manifest)
    assert file.stat().st_size < 310_000
    with pytest.raises(LeakError, match="trained on 28609 sample_ids"):
        check_unseen(file, Fold("holdout", (), (), tuple(ids)), manifest)


@pytest.mark.slow
def test_a_leak_through_a_run_on_other_data_is_refused(run_here, tmp_path):
    kfold = ["protocol=kfold", "protocol.folds.k=2", "trainer.save_weights=true", "trainer.max_epochs=1"]
    first = run_here(*kfold, "data=casme2_flow", "protocol.only=[fold0]")
    second = run_here(*kfold, "data=samm_flow", "protocol.only=[fold0]", f"model.weights={first}")
    kept = tmp_path / "fold0.safetensors"
    shutil.copy(second / "weights" / "fold0.safetensors", kept)
    with pytest.raises(LeakError, match="which fold fold1 tests"):
        run_here(*kfold, "data=casme2_flow", "protocol.only=[fold1]", f"model.weights={kept}")


def test_folds_that_begin_with_other_weights_than_the_finished_ones_are_refused(run_here, tmp_path):
    one = ["run_name=first", "trainer.save_weights=true", "protocol.only=[samm-006,samm-007]", "seed=0"]
    two = [f"model.weights={tmp_path}/runs/first", "trainer.max_epochs=1"]
    first = run_here(*one, "trainer.max_epochs=1")
    out = run_here(*two, "protocol.only=[samm-006]")
    shutil.rmtree(first)
    run_here(*one, "trainer.max_epochs=2")
    with pytest.raises(ConfigError, match=r"fold samm-006 .*began with other weights.*first/weights/samm-006\.saf"):
        run_here(*two, "protocol.only=[samm-007]")
    assert list(predictions(out)) == ["samm-006.csv"]
    shutil.rmtree(first)
    run_here(*one, "trainer.max_epochs=1")  # as it was
    assert len(predictions(run_here(*two, "protocol.only=[samm-007]"))) == 2
