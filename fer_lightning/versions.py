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
    return {
        "commit": _commit(Path(__file__).resolve().parent),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit(folder: Path) -> str:
    git = ["git", "-C", str(folder)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        # Results are no code: those of one row, the README's among them, must not make the next one's commit dirty.
        results = [":(top,exclude)experiments", ":(top,exclude)README.md"]
        status = [*git, "status", "--porcelain", "-uno", "--", ":/", *results]
        changed = subprocess.run(status, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("-dirty" if changed.stdout.strip() else "")
