"""What is built and installed: the wheel's content, the command, the extras, the constraints."""

import importlib.metadata
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Wheel and sdist, built from a copy so that the checkout stays clean."""
    source = tmp_path_factory.mktemp("build") / "source"
    ignored = shutil.ignore_patterns(
        ".*", "__pycache__", "*.egg-info", "build", "dist", "runs", "cache", "demo_output"
    )
    shutil.copytree(ROOT, source, ignore=ignored)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(source / "dist"), str(source)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    (wheel,) = (source / "dist").glob("*.whl")
    (sdist,) = (source / "dist").glob("*.tar.gz")
    return wheel, sdist


def test_the_wheel_holds_every_module_and_no_tests_or_examples(built):
    names = zipfile.ZipFile(built[0]).namelist()
    inside = {name for name in names if name.startswith("open_dpt/")}
    outside = {name for name in names if not name.startswith("open_dpt/")}
    assert all(".dist-info/" in name for name in outside)
    folders = {name.split("/")[1] for name in inside if name.count("/") > 1}
    assert folders == {
        "assets",
        "cli",
        "configuration",
        "data",
        "evaluation",
        "modeling_dpt",
        "processing",
        "training",
    }
    modules = {
        f"open_dpt/{path.relative_to(ROOT)}" for folder in folders for path in (ROOT / folder).rglob("*.py")
    } | {f"open_dpt/{path.name}" for path in ROOT.glob("*.py")}
    assert {name for name in inside if name.endswith(".py")} == modules


def test_the_wheel_holds_the_bundled_files(built):
    names = zipfile.ZipFile(built[0]).namelist()
    files = [path for path in (ROOT / "assets").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")]
    files += (ROOT / "data" / "splits").iterdir()
    files += (ROOT / "evaluation").rglob("*.yaml")
    assert {".jpg", ".txt"} <= {path.suffix for path in files}
    assert {f"open_dpt/{path.relative_to(ROOT)}" for path in files} <= set(names)
    assert built[0].stat().st_size < 20e6


def test_the_sdist_builds_without_the_repository(built):
    with tarfile.open(built[1]) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    assert {"setup.cfg", "pyproject.toml", "README.md", "LICENSE", "modeling_dpt/__init__.py"} <= set(names)
    assert not any(name.startswith("examples") for name in names)


def test_the_wheel_works_where_the_checkout_is_not(built, tmp_path):
    zipfile.ZipFile(built[0]).extractall(tmp_path)
    code = (
        "import open_dpt\n"
        "from open_dpt.assets import bundled_photo_path\n"
        "from open_dpt.cli.main import main\n"
        f"assert open_dpt.__file__.startswith({str(tmp_path)!r}), open_dpt.__file__\n"
        "assert bundled_photo_path().is_file()\n"
        "main(['--version'])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert result.stdout.startswith("open-dpt "), result.stderr


def test_the_command_is_installed():
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="open-dpt")
    from open_dpt.cli.main import main

    assert entry.load() is main


def test_the_core_requirements_are_those_announced():
    requirements = [Requirement(text) for text in importlib.metadata.requires("open-dpt")]
    core = {requirement.name for requirement in requirements if requirement.marker is None}
    announced = {"transformers", "torch", "huggingface-hub", "safetensors", "datasets", "accelerate", "evaluate"}
    assert core == announced | {"numpy", "pillow", "pyyaml", "tqdm"}


def test_constraints_pin_every_requirement_within_its_bounds():
    pins = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            (specifier,) = requirement.specifier
            assert specifier.operator == "==" and requirement.url is None, line
            pins.setdefault(_canonical(requirement.name), []).append((specifier.version, requirement.marker))
    for text in importlib.metadata.requires("open-dpt"):
        requirement = Requirement(text)
        versions = pins.get(_canonical(requirement.name))
        assert versions, f"{requirement.name} is not pinned"
        for version, _ in versions:
            assert requirement.specifier.contains(version), f"{requirement} excludes the pinned {version}"


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_constraints_are_unambiguous_on_every_python(python):
    seen = set()
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"python_version": python}):
            name = _canonical(requirement.name)
            assert name not in seen, f"{name} is pinned twice"
            seen.add(name)
    assert {"torch", "transformers", "numpy"} <= seen


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
