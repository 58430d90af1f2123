"""MEGC 2019 composite from the three raw releases, selected by the organisers' list, to manifest.

Layout: the raw folders beside each other, and the list::

    <root>/
    ├── casme2/                             see `casme2`
    ├── samm/                               see `samm`
    ├── smic/                               see `smic` (HS)
    └── megc2019/combined_3class_gt.csv     casme2,sub01,EP02_01f,1   (no header, CRLF)

Clips are selected by the list, never by emotion word: words give 147 clips of CASME II with the sheet of 2014 and 150
with that of 2019, the list has 145. Words that contradict the list's class are refused.

442 clips of 68 people: CASME II 145 (24), SAMM 133 (28), SMIC-HS 164 (16). 0 negative 250, 1 positive 109,
2 surprise 83.

Source: See et al. 2019, MEGC 2019, doi:10.1109/FG.2019.8756611
"""

from pathlib import Path

import pandas as pd

from fer_lightning.datasets import casme2, contract, samm, sheet, smic, synthetic
from fer_lightning.datasets.megc2019_flow import CLASSES, LIST, read_list
from fer_lightning.errors import DatasetError, DatasetNotFoundError

FOLDER = "megc2019"
#: Emotion word of a release -> class of the challenge. Words that are not named (others, CASME II's sadness and fear)
#: are in no class.
RELABEL = {
    "casme2": {"disgust": "negative", "repression": "negative", "happiness": "positive", "surprise": "surprise"},
    "samm": {
        **dict.fromkeys(("anger", "contempt", "disgust", "fear", "sadness"), "negative"),
        "happiness": "positive",
        "surprise": "surprise",
    },
    "smic": {name: name for name in CLASSES},
}
POLICIES = ("file", "middle", "spot")
NOT_LISTED = f"not in the organisers' list {LIST}"
HINT = (
    f"The folder must hold casme2/, samm/, smic/ (signed licences) and {FOLDER}/{LIST} "
    "(github.com/Facial-Micro-ExpressionGC/MEGC2019)."
)


def build_manifest(
    root: Path | str,
    frames: str | None = None,
    apex: str = "middle",
    apex_list: str | None = None,
    smic_apex: str = "middle",
    casme2_release: int | str | None = None,
    corrections: bool = True,
) -> pd.DataFrame:
    """One row per clip of the organisers' list, in its order. Lists the clip folders, opens no image.

    Args:
        root: folder that holds the three raw folders and the list.
        frames: ``cropped`` or ``raw``, of all three releases; None takes cropped where it is there.
        apex: ``middle`` takes that of the release, the middle frame where there is no usable one: in all of SMIC, and,
            with `corrections`, nowhere else. ``file`` and ``spot`` as in `sheet`. (``annotated`` would leave listed
            clips out.)
        apex_list: csv or xlsx below `root`, see `sheet.take_apexes`; it may name clips that are not selected.
        smic_apex: ``middle`` or ``file``, see `smic.build_manifest`; read with ``apex=middle`` only.
        casme2_release: coding sheet, see `casme2.build_manifest`.
        corrections: see `samm.CORRECTIONS`.

    Returns:
        A manifest, see `contract`: `label` is negative, positive or surprise, `path` begins with the release's folder.
        In ``attrs``, ``dropped`` and ``corrected`` are reason -> sample ids.

    Raises:
        DatasetNotFoundError: a folder or the list is missing.
        DatasetError: a listed clip is in no release, or its emotion word contradicts the list; besides what the
            builders of the releases refuse.
    """
    sheet.check_policy("MEGC 2019 (its list fixes the clips)", apex, apex_list, POLICIES)
    if apex != "middle" and smic_apex != "middle":
        raise DatasetError(f"MEGC 2019: smic_apex={smic_apex!r} is read by apex='middle' only, found apex={apex!r}")
    root = contract.require_root(root, "MEGC 2019", HINT)
    if not (root / FOLDER / LIST).is_file():
        raise DatasetNotFoundError(f"MEGC 2019: no {FOLDER}/{LIST} in {root}. {contract.how_to_get(HINT)}")
    listed = read_list(root / FOLDER / LIST)
    policy = "middle" if apex == "middle" else "spot"  # a list of one's own is read below, once for all three
    parts = {
        "casme2": casme2.build_manifest(root / "casme2", casme2_release, frames, apex=policy),
        "samm": samm.build_manifest(root / "samm", frames, apex=policy, corrections=corrections),
        "smic": smic.build_manifest(root / "smic", "hs", frames, apex=smic_apex if apex == "middle" else "spot"),
    }
    clips = pd.concat(
        [part.assign(path=f"{name}/" + part["path"]) for name, part in parts.items()], ignore_index=True
    ).set_index("sample_id", drop=False)
    ids = listed["dataset"] + "/" + listed["subject"] + "/" + listed["clip"]
    missing = ids[~ids.isin(clips.index)].tolist()
    if missing:
        raise DatasetError(
            f"MEGC 2019: {len(missing)} of {len(ids)} clips of {LIST} are in no release (first: {missing[0]}); are the "
            "raw folders complete?"
        )
    manifest = clips.loc[ids].reset_index(drop=True)
    manifest["label"] = _classes(manifest, listed["code"])
    if apex == "file":
        manifest = sheet.take_apexes(manifest, root, apex_list, clips)
        sheet.check_frames(root, manifest, lambda _, frame: f"with the number {frame}", "correct the list")
    selected = set(ids)
    corrected = {
        reason: kept
        for reason, samples in parts["samm"].attrs["corrected"].items()
        if (kept := [sample for sample in samples if sample in selected])
    }
    manifest.attrs = {
        "dropped": {NOT_LISTED: [sample for sample in clips.index if sample not in selected]},
        "corrected": corrected,
    }
    return manifest


def _classes(manifest: pd.DataFrame, codes: pd.Series) -> list[str]:
    """The class of each clip by the list, which must be that of its emotion word."""
    classes = [CLASSES[int(code)] for code in codes]
    for row, wanted in zip(manifest.itertuples(), classes, strict=True):
        if RELABEL[row.dataset].get(row.label) != wanted:
            raise DatasetError(
                f"{row.sample_id}: {LIST} says {wanted}, the release says {row.label}; take both from their sources"
            )
    return classes


def write_tiny(root: Path | str, seed: int = 0) -> None:
    """Write the three raw folders with their own `write_tiny`, and a list of some of their clips.

    As in the challenge, clips of the words others and other are not listed, nor are those of CASME II without a usable
    apex; one person of SAMM has no listed clip.
    """
    with synthetic.raw_folder(root) as folder:
        lines = []
        for name, module in (("casme2", casme2), ("samm", samm), ("smic", smic)):
            module.write_tiny(folder / name, seed)
            for row in module.build_manifest(folder / name).itertuples():
                label = RELABEL[name].get(row.label)
                if label is None or row.subject == "009":
                    continue
                subject = row.subject.lstrip("0")  # SAMM: 6 in the list, 006 on disk
                lines.append(f"{name},{subject},{row.sample_id.rpartition('/')[2]},{CLASSES.index(label)}")
        file = folder / FOLDER / LIST
        file.parent.mkdir()
        file.write_bytes(("\r\n".join(lines) + "\r\n").encode())
