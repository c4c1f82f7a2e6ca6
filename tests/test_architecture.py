"""The house rules: imports point one way, files stay small, the root is lazy, nothing leaks from a build machine."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A folder may import from those before it. Neighbours in one tuple do not know each other.
LAYERS = [
    ("configuration",),
    ("modeling_dpt",),
    ("processing",),
    ("data",),
    ("training", "evaluation"),
    ("cli", "examples", "benchmarks"),
]
# Holds files only; may be asked by everybody.
LEVEL = {folder: level for level, folders in enumerate(LAYERS) for folder in folders} | {"assets": -1}
MOST_LINES = 400

PUBLIC_NAMES = [
    "DPTConfig",
    "DPTForDepthEstimation",
    "DPTForSemanticSegmentation",
    "DPTImageProcessor",
    "DPTModel",
    "__version__",
]


def _tracked(*patterns: str) -> list[Path]:
    """Files of the repository: tracked ones, or all where this is no git checkout."""
    git = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, text=True)
    if git.returncode == 0 and git.stdout:
        return [ROOT / name for name in git.stdout.split("\0") if name and (ROOT / name).is_file()]
    hidden = re.compile(r"(^|/)(\.|build/|dist/|.*\.egg-info/)")
    found = (path for pattern in patterns for path in ROOT.rglob(pattern) if path.is_file())
    return [path for path in found if not hidden.search(str(path.relative_to(ROOT)))]


PYTHON_FILES = _tracked("*.py")
CODE = [path for path in PYTHON_FILES if path.relative_to(ROOT).parts[0] in LEVEL]


def _imported_folders(path: Path) -> set[str]:
    """Top-level folders of open_dpt that a file imports from, also inside functions."""
    package = ["open_dpt", *path.relative_to(ROOT).parts[:-1]]
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("open_dpt.")} & set(LEVEL)


def test_there_is_something_to_check():
    assert {path.relative_to(ROOT).parts[0] for path in CODE} >= {"configuration", "modeling_dpt", "processing", "cli"}


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path):
    own = path.relative_to(ROOT).parts[0]
    wrong = {other for other in _imported_folders(path) if other != own and LEVEL[other] >= LEVEL[own]}
    assert not wrong, f"{own} must not import from {', '.join(wrong)}"


def test_the_check_sees_relative_imports_inside_functions(tmp_path):
    folder = ROOT / "processing"
    path = folder / "_probe_of_the_architecture_test.py"
    source = "def f():\n    from ..cli.main import main\n    import open_dpt.training.loop\n    from .. import data\n"
    try:
        path.write_text(source)
        assert _imported_folders(path) == {"cli", "training", "data"}
    finally:
        path.unlink(missing_ok=True)


@pytest.mark.parametrize("path", PYTHON_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_small(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def test_importing_the_package_is_quick_and_loads_no_torch():
    code = (
        "import sys, time\n"
        "start = time.process_time()  # a busy machine must not fail this\n"
        "import open_dpt\n"
        "seconds = time.process_time() - start\n"
        "assert not {'torch', 'transformers', 'numpy', 'PIL'} & set(sys.modules), 'loads too much'\n"
        "print(seconds)\n"
    )
    results = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True) for _ in range(3)]
    assert all(result.returncode == 0 for result in results), results[0].stderr
    assert min(float(result.stdout) for result in results) < 0.3


def test_configuration_loads_no_model_code():
    code = "import open_dpt, sys; open_dpt.DPTConfig(); assert 'open_dpt.modeling_dpt' not in sys.modules"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_public_names():
    import open_dpt

    assert sorted(open_dpt.__all__) == PUBLIC_NAMES
    assert dir(open_dpt) == PUBLIC_NAMES
    for name in PUBLIC_NAMES:
        assert getattr(open_dpt, name) is getattr(open_dpt, name)
    with pytest.raises(AttributeError, match="no attribute 'DPTForDept'"):
        open_dpt.DPTForDept  # noqa: B018


def test_every_public_class_says_what_it_is():
    import open_dpt

    missing = [name for name in PUBLIC_NAMES[:-1] if not (getattr(open_dpt, name).__doc__ or "").strip()]
    assert not missing


def test_no_machine_paths_and_no_index_hosts():
    texts = _tracked("*.py", "*.md", "*.cfg", "*.toml", "*.txt", "*.json", "*.yaml", "*.yml", "Makefile", ".ci/*")
    # Home folders, find-links, and index options that name a host.
    forbidden = re.compile(r"/(?:home|root|Users|work|mnt)/\w+/|--find-links|file://|(?:extra-)?index-url\s*=?\s*http")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in texts
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if forbidden.search(line)
    ]
    assert not found, "\n".join(found)


def test_links_in_documents_lead_somewhere():
    broken = []
    for path in _tracked("*.md"):
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8")):
            if not re.match(r"[a-z]+:", target) and not (path.parent / target).exists():
                broken.append(f"{path.relative_to(ROOT)}: {target}")
    assert not broken
