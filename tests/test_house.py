"""The walls of the house: who may import whom, and that the command line is light."""

import ast
import resource
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parent.parent
PACKAGE = HOUSE / "fer_lightning"

#: Room -> rooms it may import. What is not named here (run.py, train.py, demo.py) joins everything.
MAY_IMPORT = {
    "errors": set(),
    "files": {"errors"},
    "functional": {"errors", "functional"},
    "datasets": {"errors", "functional", "datasets"},
    "preprocess": {"errors", "functional", "preprocess"},
    "data": {"errors", "functional", "datasets", "preprocess", "data"},
    "models": {"models"},
    "ranks": {"errors"},
    "tasks": {"errors", "functional", "ranks", "tasks"},
    "protocols": {"errors", "files", "functional", "data", "protocols"}
    | {"memory", "network", "progress", "ranks", "resolvers", "versions"},
    "reporting": {"errors", "files", "functional", "reporting"},
    "dashboards": {"errors", "functional", "identity", "reporting", "dashboards"},
    "explaining": {"errors", "files", "functional", "data", "protocols", "reporting", "explaining"}
    | {"identity", "progress", "versions"},
}
HEAVY = {"torch", "pytorch_lightning", "timm", "albumentations", "torchvision"}
#: Room -> packages it must not know.
MUST_NOT_KNOW = {
    "functional": HEAVY | {"hydra", "omegaconf"},
    "datasets": HEAVY | {"hydra", "omegaconf"},
    "preprocess": HEAVY | {"hydra", "omegaconf"},
    "models": {"pytorch_lightning", "hydra", "omegaconf"},
    "reporting": HEAVY | {"hydra"},
}


def imports(file: Path) -> set[str]:
    """Dotted names of everything a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def files(room: str) -> list[Path]:
    if (PACKAGE / f"{room}.py").is_file():
        return [PACKAGE / f"{room}.py"]
    return [file for file in sorted((PACKAGE / room).rglob("*.py")) if file.stem != "__main__"]  # commands join rooms


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_run_one_way(room):
    assert files(room), f"no room {room}"
    for file in files(room):
        rooms = {name.split(".")[1] for name in imports(file) if name.startswith("fer_lightning.")}
        assert rooms <= MAY_IMPORT[room], f"{file.relative_to(HOUSE)} imports {sorted(rooms - MAY_IMPORT[room])}"


@pytest.mark.parametrize("room", MUST_NOT_KNOW)
def test_rooms_do_not_know_what_is_none_of_their_business(room):
    for file in files(room):
        top = {name.split(".")[0] for name in imports(file)}
        assert not top & MUST_NOT_KNOW[room], f"{file.relative_to(HOUSE)} imports {sorted(top & MUST_NOT_KNOW[room])}"


def test_no_drawers_and_no_registries():
    names = {path.stem for path in PACKAGE.rglob("*.py")}
    assert not names & {"utils", "helpers", "common", "misc", "registry"}


def test_import_is_light():
    code = (
        "import sys, fer_lightning, fer_lightning.errors, fer_lightning.sweep; "
        "print(sorted(set(sys.modules) & {'torch', 'pandas', 'numpy', 'pytorch_lightning', 'cv2'}))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=HOUSE)
    assert out.stdout.strip() == "[]"


def test_a_run_imports_no_dashboard_and_no_image_library_that_it_was_not_asked_for():
    code = (
        "import sys, fer_lightning.run; "
        "print(sorted(set(sys.modules) & {'wandb', 'tensorboard', 'timm', 'albumentations'}))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=HOUSE)
    assert out.stdout.strip() == "[]"


def answer(*arguments: str) -> tuple[float, subprocess.CompletedProcess]:
    """Processor seconds (other tests may keep the machine busy) and what was printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "train.py", *arguments], capture_output=True, text=True, cwd=HOUSE)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done


def test_help_answers_at_once_and_lists_what_exists():
    seconds, done = answer("--help")
    assert done.returncode == 0, done.stderr
    listed = ("model=<model>", "waspp", "ststnet", "megc2019_flow", "fer2013", "radam", "onecycle", "loso_jobs")
    assert [name for name in listed if name not in done.stdout] == []
    assert max(map(len, done.stdout.splitlines())) <= 110, "the examples; lists are folded at 100"
    words = " ".join(done.stdout.split())
    assert "rows of the papers' tables, <table>-<row>: python -m fer_lightning.reproduce --list" in words
    assert seconds < 2, "about .5 on an idle machine; tests beside it make every second longer"


@pytest.mark.parametrize(
    ("wrong", "right"), [("model=wasp", "waspp"), ("data=casme", "casme2"), ("optimizer=rmsprop", "radam")]
)
def test_a_wrong_name_lists_the_right_ones(wrong, right):
    seconds, done = answer(wrong)
    assert done.returncode != 0
    assert right in done.stderr
    assert seconds < 2, "about .5 on an idle machine; tests beside it make every second longer"
