"""Memory that training frees is kept for the next step."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys, torch
from open_dpt.training.memory import keep_freed_memory

def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(100, 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

kept = sys.argv[1] == "keep" and keep_freed_memory()
pages()
print(int(kept), pages())
"""
PAGES = 100 * 2**22 // os.sysconf("SC_PAGESIZE") if hasattr(os, "sysconf") else 0

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs the C library of Linux")


def taken_again(choice: str, **environment: str) -> tuple[bool, int]:
    """Whether memory is kept, and the pages of the system that 400 MB take the second time."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_", "THP_"))}
    command = [sys.executable, "-c", SCRIPT, choice]
    done = subprocess.run(command, env=clean | environment, capture_output=True, text=True, check=True)
    kept, pages = done.stdout.split()
    return bool(int(kept)), int(pages)


def test_it_is_not_taken_from_the_system_again():
    kept, pages = taken_again("keep")
    if not kept:
        pytest.skip("the C library is not glibc")
    assert pages < PAGES / 100 < PAGES / 2 < taken_again("usual")[1]


def test_the_environment_comes_first():
    assert not taken_again("keep", MALLOC_TRIM_THRESHOLD_="1000000")[0]
