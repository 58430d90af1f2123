"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def fer_raw() -> Path:
    """The folder with real data; tests that need it are skipped, with the reason, where it is not given."""
    value = os.environ.get("FER_RAW")
    if not value:
        pytest.skip("FER_RAW is not set: no real data to test on")
    root = Path(value).resolve()
    if not root.is_dir():
        pytest.fail(f"FER_RAW={value} is not a folder")
    return root
