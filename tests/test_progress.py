"""Progress tells what is left."""

from fer_lightning import progress
from fer_lightning.progress import CacheProgress


def test_time_left_counts_what_this_process_made(monkeypatch, capsys):
    clock = iter([100.0, 120.0, 140.0, 200.0, 201.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    tell = CacheProgress("toy")
    tell(600, 1000)  # 600 rows were there from a run that was killed
    tell(700, 1000)  # 100 rows in 20 s: 300 rows are a minute
    tell(1000, 1000)
    tell(0, 50)  # another round
    tell(50, 50)
    assert capsys.readouterr().err.splitlines() == [
        "preparing toy: 700/1000  0:00:20 passed, 0:01:00 left",
        "preparing toy: 1000/1000  0:00:40 passed, 0:00:00 left",
        "preparing toy: 50/50  0:00:01 passed, 0:00:00 left",
    ]
