"""Fixtures that every test may use."""

import os
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference networks and photos beside the checkout; skips where it is absent."""
    folder = Path(
        os.environ.get("EXPLGRAPH_SHARED", Path(__file__).resolve().parents[2] / "shared")
    )
    if not (folder / "models").is_dir():
        pytest.skip("the reference networks and photos are not beside this checkout")
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
