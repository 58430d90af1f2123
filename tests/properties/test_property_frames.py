"""Frame numbers in file names, the tree of SMIC, and labels that become classes."""

from collections import Counter

import pandas as pd
from hypothesis import example, given
from hypothesis import strategies as st

from fer_lightning.datasets import contract, smic
from fer_lightning.errors import ConfigError
from fer_lightning.functional.frames import index_frames, natural_key
from tests.properties_of import answer, examples, folder, nasty

stems = st.builds(
    "{}{}{}".format,
    st.sampled_from(["reg_img", "img_", "006_", "", "x1_", "._", "\u0661"]),
    st.integers(0, 10**9).map(str) | st.sampled_from(["007", "7", "\u0667", "\u00b2", "9" * 200, ""]),
    st.sampled_from([".jpg", ".PNG", ".bmp", ".txt", " .jpg", "", "(1).jpg", ".7", ".jpg.txt"]),
)


@examples(200)
@given(st.lists(stems, max_size=6, unique=True))
@example(["img\u0667.jpg", "img7.jpg"])
def test_the_number_of_a_frame_is_the_one_in_its_name(names):
    numbered = {}
    for name in names:
        stem, _, end = name.rpartition(".")
        digits = stem[len(stem.rstrip("0123456789")) :]
        if end.lower() in ("jpg", "png", "bmp") and digits and not name.startswith("."):
            numbered.setdefault(int(digits), []).append(name)
    try:
        found = index_frames(names)
    except ValueError as error:
        message = str(error)
    else:
        message = ""
    if message:
        twice = [both for both in numbered.values() if len(both) > 1]
        assert any(all(repr(name) in message for name in sorted(both, key=natural_key)[:2]) for both in twice)
        return
    assert found == {number: both[0] for number, both in numbered.items()}
    assert list(found) == sorted(found)


@examples(100)
@given(st.lists(nasty("img9", "img10", "img010", "a1b2", "a1b10") | st.text(max_size=5), max_size=6))
def test_any_two_names_can_be_compared(names):
    assert Counter(sorted(names, key=natural_key)) == Counter(names)
    assert sorted(["x10", "x9", "x010"], key=natural_key)[0] == "x9"


places = st.builds(
    "{}/{}/{}/{}_{}_{}".format,
    st.sampled_from(["s1", "s01", "s11"]),
    st.sampled_from(["micro", "non_micro", "Micro"]),
    st.sampled_from(["negative", "positive", "Negative", "surprise"]),
    st.sampled_from(["s1", "S01", "s11", "s\u0661"]),
    st.sampled_from(["ne", "po", "sur", "n"]),
    st.sampled_from(["01", "1", "02"]),
)


@examples(100)
@given(st.lists(places, min_size=1, max_size=4, unique=True), st.lists(st.integers(5, 120), min_size=2, max_size=6))
def test_the_tree_of_smic(wanted, numbers):
    wanted = [f"SMIC_all_cropped/HS/{place}" for place in wanted]
    files = {f"{place}/reg_image{number}.bmp": b"" for place in wanted for number in numbers}
    with folder(files) as root:
        found = answer(lambda: contract.check(smic.build_manifest(root), where="SMIC"))
    if found is None:
        return
    assert sorted(found["path"]) == sorted(place for place in wanted if "/micro/" in place)
    numbers = sorted(set(numbers))
    middle = numbers[0] + (numbers[-1] - numbers[0]) // 2
    for row in found.itertuples():
        _, _, person, _, emotion, name = row.path.split("/")
        subject, code, number = name.lower().split("_")
        assert row.subject == f"s{int(person[1:]):02d}" == f"s{int(subject[1:]):02d}"
        assert row.label == emotion.lower() == {"ne": "negative", "po": "positive", "sur": "surprise"}[code]
        assert row.sample_id == f"smic/{row.subject}/{row.subject}_{code}_{int(number):02d}"
        assert (row.onset, row.offset) == (numbers[0], numbers[-1])
        assert numbers[0] < row.apex < numbers[-1]
        assert row.apex in numbers
        assert abs(row.apex - middle) == min(abs(number - middle) for number in numbers[1:-1])


@examples(150)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["train", "test"])), min_size=1, max_size=8),
    st.lists(st.sampled_from("abcxy"), min_size=1, max_size=3, unique=True),
    st.dictionaries(st.sampled_from("abcz"), st.sampled_from("abxy"), max_size=3),
    st.none() | st.dictionaries(st.sampled_from(["split", "nothing"]), st.sampled_from(["train", ["train", "val"]])),
)
def test_a_view_renames_and_drops_what_it_says(rows, classes, relabel, where):
    table = pd.DataFrame(rows, columns=["label", "split"])
    ids = [f"x/{row}" for row in range(len(rows))]
    manifest = contract.check(contract.fill(table.assign(sample_id=ids, dataset="x", path=ids)), where="x")
    kept = [row for row, (_, split) in enumerate(rows) if not where or split == "train"]
    renamed = {row: relabel.get(rows[row][0], rows[row][0]) for row in kept}
    try:
        found, dropped = contract.view(manifest, classes=classes, relabel=relabel, where=where)
    except ConfigError:
        assert "nothing" in (where or {}) or not set(classes) <= set(renamed.values())
        return
    expected = [(ids[row], renamed[row]) for row in kept if renamed[row] in classes]
    assert list(zip(found["sample_id"], found["label"], strict=True)) == expected
    assert sum(dropped.values()) == len(rows) - len(expected)
    assert set(found["label"]) == set(classes)
