"""The slow NumPy twins, for all tests of metrics."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def reference():
    """Module tests/reference/metrics.py; loaded by path, for tests are no package."""
    path = Path(__file__).parents[1] / "reference" / "metrics.py"
    spec = importlib.util.spec_from_file_location("reference_metrics", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
