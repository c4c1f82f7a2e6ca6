"""What tests of `open-dpt evaluate` share: a small data set with predictions, and the command."""

from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from open_dpt.cli.main import main


class Answer(NamedTuple):
    """Exit status, output, and the lines of the error stream."""

    status: int
    out: str
    lines: list[str]

    def refused(self, *told: str) -> None:
        """The request was refused in one line that tells all of `told`."""
        assert self.status == 2 and not self.out
        assert len(self.lines) == 1 and self.lines[0].startswith("open-dpt evaluate: "), self.lines
        for text in told:
            assert text in self.lines[0], self.lines[0]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The working folder. data/images and data/depths (millimetres) hold four pairs of 48 x 64, pred/ predictions in
    metres, 1.1 times the truth (npy)."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for folder in ("data/images", "data/depths", "pred"):
        (tmp_path / folder).mkdir(parents=True)
    for name in range(4):
        Image.fromarray(random.integers(0, 256, (48, 64, 3)).astype(np.uint8)).save(f"data/images/{name}.png")
        millimetres = random.integers(1000, 5000, (48, 64)).astype(np.uint16)
        Image.fromarray(millimetres).save(f"data/depths/{name}.png")
        np.save(f"pred/{name}.npy", (1.1 * millimetres / 1000).astype(np.float32))
    return tmp_path


@pytest.fixture
def run(place, capsys):
    """Runs the command on that data."""

    def run(*more, protocol="own-folder", data="data", model="pred", kind="depth", scale=1000) -> Answer:
        given = {"--protocol": protocol, "--data": data, "--model": model, "--kind": kind}
        words = [word for key, value in given.items() if value is not None for word in (key, str(value))]
        words += ["--option", f"depth_scale={scale}"] if scale else []
        status = main(["evaluate", *words, "--output", str(place / "out"), "--device", "cpu", *more])
        out, err = capsys.readouterr()
        return Answer(status, out, [line for line in err.splitlines() if line.strip()])

    return run
