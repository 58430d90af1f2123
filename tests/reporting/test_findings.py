"""What `findings` says of pictures that stand with several people, by hand."""

import numpy as np
import pandas as pd
import pytest

from fer_lightning.reporting import findings

NOISE = np.random.default_rng(0).integers(0, 256, (3, 1, 8, 8), dtype=np.uint8)
#: Pictures 0, 2 and 4 are one, 1 and 3 are one, 5 stands alone.
PICTURES = NOISE[[0, 1, 0, 1, 0, 2]]


def rows(*groups: str, subjects: bool = True) -> pd.DataFrame:
    ids = [f"d/{number}" for number in range(len(groups))]
    people = [group if subjects else "" for group in groups]
    return pd.DataFrame({"sample_id": ids, "label": "x", "split": "", "group": groups, "subject": people})


def by_check(found: list[dict]) -> dict[str, dict]:
    assert len({item["check"] for item in found}) == len(found)
    return {item["check"]: item for item in found}


def test_identical_pictures_of_several_people_are_found():
    found = by_check(findings.exact_duplicates(rows("d/a", "d/b", "d/a", "d/b", "d/c", "d/c"), PICTURES))
    assert found["people"]["number"] == 3
    assert found["people"]["text"].startswith("3 identical pictures stand with several people")
    assert found["people"]["examples"] == ["d/0 of d/a = d/2 of d/a = d/4 of d/c"]
    assert found["exact duplicates"]["number"] == 2


@pytest.mark.parametrize(
    "groups", [["d/a", "d/b", "d/a", "d/b", "d/a", "d/c"], [""] * 6, ["", "d/b", "d/a", "", "", ""]]
)
def test_copies_of_one_person_or_of_nobody_known_are_none(groups):
    found = [
        *findings.exact_duplicates(rows(*groups), PICTURES),
        *findings.near_duplicates(rows(*groups), PICTURES, 0.98),
    ]
    assert set(by_check(found)) == {"exact duplicates", "near duplicates"}


def test_like_pictures_of_several_people_are_found():
    like = PICTURES.copy()
    like[4] = like[4, :, :, ::-1] // 2  # darker and mirrored: no identical picture any more
    table = rows("d/a", "d/b", "d/a", "d/b", "d/c", "d/c")
    assert set(by_check(findings.exact_duplicates(table, like))) == {"exact duplicates"}
    found = by_check(findings.near_duplicates(table, like, 0.98))
    assert found["people near"]["number"] == 3
    assert found["people near"]["text"].startswith("3 near pictures stand with several people")
    assert sorted(found["people near"]["examples"]) == ["d/0 of d/a ~ d/4 of d/c", "d/2 of d/a ~ d/4 of d/c"]


def test_groups_that_are_no_people_are_not_called_so():
    table = rows("d/a", "d/b", "d/a", "d/b", "d/c", "d/c", subjects=False)
    found = by_check(findings.exact_duplicates(table, PICTURES))
    assert found["people"]["text"].startswith("3 identical pictures stand with several groups (clips or videos)")
