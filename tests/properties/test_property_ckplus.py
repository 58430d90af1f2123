"""CK+ in its three forms, and the published list of folds."""

import warnings

from hypothesis import example, given
from hypothesis import strategies as st

from fer_lightning.datasets import ckplus, contract
from tests.properties_of import answer, damaged, dialects, examples, folder, lines_of, moved, nasty, whole_number

WORDS = dict(zip("1234567", ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise"), strict=True))
CSV_WORDS = ("anger", "disgust", "fear", "happy", "sadness", "surprise", "neutral", "contempt")
SPLITS = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}

Sequence = tuple[str, str, int, str]  # S005, 001, number of frames, code ("" without a file)
sequences = st.lists(
    st.tuples(
        st.sampled_from(["S005", "S010", "S999"]),
        st.sampled_from(["001", "002", "010"]),
        st.integers(3, 12),
        st.sampled_from([*WORDS, ""]),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda sequence: sequence[:2],
)


def frame(sequence: Sequence, number: int) -> str:
    subject, clip, _, _ = sequence
    return f"cohn-kanade-images/{subject}/{clip}/{subject}_{clip}_{number:08d}.png"


def label(sequence: Sequence) -> str:
    subject, clip, last, _ = sequence
    return f"Emotion/{subject}/{clip}/{subject}_{clip}_{last:08d}_emotion.txt"


def tree(wanted: list[Sequence]) -> dict[str, bytes]:
    files = {frame(sequence, number): b"" for sequence in wanted for number in range(1, sequence[2] + 1)}
    return files | {label(sequence): f"   {sequence[3]}.0000000e+00\n".encode() for sequence in wanted if sequence[3]}


def right(wanted: list[Sequence]) -> dict[str, str]:
    """Path -> label of the last three frames of each labelled sequence."""
    return {
        frame(sequence, number): WORDS[sequence[3]]
        for sequence in wanted
        if sequence[3]
        for number in range(sequence[2] - 2, sequence[2] + 1)
    }


def check(root, **options) -> dict[str, str] | None:
    table = answer(lambda: contract.check(ckplus.build_manifest(root, **options), where="S"), "S")
    return None if table is None else dict(zip(table["path"], table["label"], strict=True))


@examples(60)
@given(sequences, st.data())
@example([("S005", "001", 3, "1"), ("S010", "001", 3, "2")], None)
def test_the_original_tree_with_files_lost_doubled_or_strange(wanted, data):
    files = tree(wanted)
    if data is None:  # an emotion file of another sequence, instead of its own
        files[label(wanted[0]).replace("Emotion/S005/001", "Emotion/S010/001")] = files.pop(label(wanted[1]))
        gone = {label(wanted[0])}
    else:
        gone = data.draw(st.sets(st.sampled_from(list(files)), max_size=2))
    for path in gone:
        del files[path]
    junk = [path.replace("S005_001", name) for path in list(files)[:1] for name in ("._S005_001", "Thumbs.db#S005_001")]
    with folder({**files, **dict.fromkeys(junk if data and data.draw(st.booleans()) else [], b"")}) as root:
        found = check(root)
    if found is None:
        return
    kept = [sequence if label(sequence) in files else (*sequence[:3], "") for sequence in wanted]
    assert all(frame(sequence, sequence[2]) in files for sequence in kept if sequence[3]), "the peak was lost"
    assert set(found.values()) <= {WORDS[sequence[3]] for sequence in kept if sequence[3]}
    if not any(path.startswith("cohn") for path in gone):
        assert found == right(kept)
    of = {f"{sequence[0]}/{sequence[1]}": sequence[3] for sequence in kept}
    assert all(WORDS[of["/".join(path.split("/")[1:3])]] == word for path, word in found.items())


@examples(150)
@given(nasty("3.0000000e+00", "   3.0000000e+00", "8", "0.0", "3.5", "3e1", "3 4", "7.0e000") | st.floats().map(str))
def test_an_emotion_file_holds_one_number_of_seven(text):
    with folder({"S005_001_00000011_emotion.txt": text.encode()}) as root:
        file = root / "S005_001_00000011_emotion.txt"
        found = answer(lambda: ckplus.read_emotion(file), file.name)
    assert found is None or found == WORDS.get(str(whole_number(text.removeprefix("\ufeff"))))


@examples(60)
@given(
    st.lists(
        st.builds(
            "{}/{}_{}_{:08d}{}".format,
            st.sampled_from(["anger", "happy", "Happy", "neutral"]),
            st.sampled_from(["S005", "S010", "s005", "S5"]),
            st.sampled_from(["001", "1"]),
            st.integers(1, 4),
            st.sampled_from([".png", ".jpg", ".txt"]),
        ),
        min_size=1,
        max_size=6,
        unique=True,
    )
)
def test_ck48(names):
    with folder({f"CK+48/{name}": b"" for name in names}) as root:
        found = check(root, peak_frames=1)
    if found is None:
        return
    pictures = [name for name in names if not name.endswith(".txt")]
    groups: dict[str, list[str]] = {}
    for name in sorted(pictures, key=lambda name: name.partition("/")[2]):
        assert name.startswith(("anger/S0", "happy/S0"))
        groups.setdefault(name.partition("/")[2][:8], []).append(name)
    assert all(len({name.partition("/")[0] for name in group}) == 1 for group in groups.values())
    assert found == {f"CK+48/{group[-1]}": group[-1].partition("/")[0] for group in groups.values()}


@examples(80)
@given(st.lists(st.sampled_from(["0", "7", "8", "-1", "3.0", "\u0663", ""]), min_size=1, max_size=4), st.data())
@example(["0", "", "7"], None)
def test_the_csv_and_the_rows_that_it_points_to(codes, data):
    usages = ["Training"] * len(codes) if data is None else [data.draw(st.sampled_from([*SPLITS, "x"])) for _ in codes]
    lines = ["emotion,pixels,Usage", *(f"{c},1 2,{u}" if c else ",," for c, u in zip(codes, usages, strict=True))]
    with folder({"ckextended.csv": "\n".join(lines).encode()}) as root, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = answer(lambda: ckplus.build_manifest(root, image_level_split=True), "ckextended.csv, line")
    assert (found is not None) == all(code in ("0", "7") for code in codes) & all(usage in SPLITS for usage in usages)
    if found is not None:
        assert found["path"].tolist() == [f"ckextended.csv#{row}" for row in range(len(codes))]
        assert found["label"].tolist() == [CSV_WORDS[int(code)] for code in codes]
        assert found["split"].tolist() == [SPLITS[usage] for usage in usages]


Fold = list[tuple[str, str]]  # ("S005/001", "Angry")
folds = st.lists(
    st.lists(st.tuples(st.integers(1, 9), st.sampled_from(list(ckplus.LIST_EMOTIONS))), min_size=1, max_size=3),
    min_size=1,
    max_size=3,
).map(
    lambda folds: [
        [(f"S{10 * number + person:03d}/{place:03d}", word) for place, (person, word) in enumerate(fold, start=1)]
        for number, fold in enumerate(folds, start=1)
    ]
)


def lines_of_folds(wanted: list[Fold]) -> list[str]:
    lines = []
    for number, fold in enumerate(wanted, start=1):
        lines += [f"{number}-fold {len(fold)} Angry 1 ...", *(f"{sequence} {word}" for sequence, word in fold)]
    return lines


def read_folds(data: bytes) -> list[tuple] | None:
    with folder({"folds.txt": data}) as root:
        table = answer(lambda: ckplus.read_folds(root / "folds.txt"), "folds.txt")
    return None if table is None else list(table.itertuples(index=False, name=None))


def of_lines(lines: list[str]) -> list[tuple]:
    """A second reader, which believes everything."""
    rows, fold = [], ""
    for line in lines:
        first, second, *_ = [*line.split(), "", ""]
        fold = first.removesuffix("-fold") if first.endswith("-fold") else fold
        if not first.endswith("-fold"):
            rows.append((fold, first, first.partition("/")[0], ckplus.LIST_EMOTIONS.get(second)))
    return rows


@examples(40)
@given(folds, dialects())
def test_every_program_writes_the_same_folds(wanted, dialect):
    assert read_folds(dialect.encode(lines_of_folds(wanted))) == of_lines(lines_of_folds(wanted))


@examples(120)
@given(folds, st.data())
@example([[("S011/001", "Angry")], [("S021/001", "Sad"), ("S022/001", "Sad")]], None)
def test_lines_of_folds_left_out_moved_doubled_or_damaged(wanted, data):
    if data is None:
        lines = ["1-fold 1", "S011/001 Angry", "2-fold 2", "S021/001 Sad", "1-fold 1", "S022/001 Sad"]
    else:
        lines = data.draw(st.permutations(lines_of_folds(wanted)) | moved(lines_of_folds(wanted)))
    raw = "\n".join(lines).encode()
    raw = raw if data is None or not raw else data.draw(st.just(raw) | damaged(raw))
    found = read_folds(raw)
    assert found is None or found == of_lines(lines_of(raw))
    assert found is None or len({row[1] for row in found}) == len(found)
