"""What a run says of the code that made it."""

import subprocess

from fer_lightning.versions import _commit


def test_results_do_not_make_a_commit_dirty_and_code_does(tmp_path):
    def git(*arguments: str) -> str:
        who = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        return subprocess.run(
            ["git", "-C", str(tmp_path), *who, *arguments], check=True, capture_output=True, text=True
        ).stdout.strip()

    files = [tmp_path / name for name in ("README.md", "experiments/t1/results.csv", "package/code.py")]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("first\n")
    assert _commit(tmp_path) == "unknown", "no repository"
    git("init", "-q")
    git("add", "-A")
    git("commit", "-q", "-m", "first")
    head = git("rev-parse", "HEAD")
    for file in files[:2]:
        file.write_text("second\n")  # what `make reproduce` writes at its end
    assert _commit(tmp_path / "package") == head
    files[2].write_text("second\n")
    assert _commit(tmp_path / "package") == f"{head}-dirty"
