"""What a number was computed with: the commit of this repository and the packages that matter."""

import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("torch", "pytorch-lightning", "numpy", "pandas", "timm", "scikit-learn", "opencv-python-headless")


@cache
def versions() -> dict[str, object]:
    """``{"commit": <hash, "-dirty" when files were changed>, "packages": {name: version}}``.

    `commit` is "unknown" where the code does not lie in a git checkout (an installed package).
    """
    return {"commit": _commit(), "packages": {name: found for name in PACKAGES if (found := _version(name))}}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str:
    folder = Path(__file__).resolve().parent
    git = ["git", "-C", str(folder)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        # Results are no code: those of one row must not make the next one's commit dirty.
        status = [*git, "status", "--porcelain", "-uno", "--", ":/", ":(top,exclude)experiments"]
        changed = subprocess.run(status, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("-dirty" if changed.stdout.strip() else "")
