"""Runs of the example scripts in processes of their own that start at once, may be killed, and may have bad luck.

Importing torch takes seconds. So one process imports the scripts (`serve`), and forks for every run.
"""

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

SCRIPTS = ("train_depth", "train_segmentation")
PATIENCE = 300.0  # seconds; a machine may be busy


@dataclass
class Run:
    """A script at work."""

    server: "Server"
    pid: int
    log: Path

    @property
    def status(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""
        return self.server.ask({"poll": self.pid})

    @property
    def text(self) -> str:
        """What it has said so far."""
        return self.log.read_text()

    def end(self) -> int:
        """Wait for its end and return its status."""
        self.wait_until(lambda: False)
        return self.status

    def wait_until(self, happened, pause: float = 0.01) -> bool:
        """Wait until `happened()` or until the run has ended; the answer is whether it still runs."""
        limit = time.monotonic() + PATIENCE
        while self.status is None:
            if happened():
                return True
            if time.monotonic() > limit:
                self.signal(signal.SIGKILL)
                raise TimeoutError(self.text)
            time.sleep(pause)
        return False

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)


class Server:
    """Starts runs; close it at the end."""

    def __init__(self) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "true"}
        # What forks should have one thread: pyarrow's allocator starts another one, whose locks a fork may copy.
        environment["JE_ARROW_MALLOC_CONF"] = "background_thread:false"
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([sys.executable, __file__], env=environment, **pipes)

    def ask(self, request: dict):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def start(self, script: str, words: list, log: Path, **luck) -> Run:
        """Start `examples/<script>.py` with these words; what it says goes to the end of `log`.

        Args:
            luck: See `_have_luck`; and `environment`, more variables.
        """
        return Run(self, self.ask({"script": script, "words": list(map(str, words)), "log": str(log), **luck}), log)

    def run(self, *args, **luck) -> Run:
        """`start`, and wait for the end."""
        run = self.start(*args, **luck)
        run.end()
        return run

    def close(self) -> None:
        self.process.kill()  # nothing of it is needed, and Python takes its time to end
        self.process.communicate()


def serve() -> None:
    # Answers go where standard output was; whatever prints while importing goes to standard error.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import accelerate.utils  # noqa: F401
    import torch

    import open_dpt

    torch.set_num_threads(1)
    for name in open_dpt.__all__:
        getattr(open_dpt, name)
    mains = {script: _load(script) for script in SCRIPTS}
    ended: dict[int, int] = {}
    for line in sys.stdin:
        request = json.loads(line)
        pid = request.get("poll")
        if pid is None:
            answer = os.fork()
            if answer == 0:
                _be_the_run(mains[request.pop("script")], **request)
        else:
            if pid not in ended and (found := os.waitpid(pid, os.WNOHANG))[0]:
                ended[pid] = os.waitstatus_to_exitcode(found[1])
            answer = ended.get(pid)
        print(json.dumps(answer), file=answers, flush=True)


def _load(script: str):
    path = Path(__file__).parents[2] / "examples" / f"{script}.py"
    spec = importlib.util.spec_from_file_location(script, path)
    module = sys.modules[script] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _be_the_run(module, words: list[str], log: str, environment: dict | None = None, **luck) -> None:
    status = 99
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.environ.update(environment or {})
        sys.argv = [module.__file__, *words]
        _have_luck(**luck)
        status = module.main(words)
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status or 0)


def _have_luck(
    die_at: tuple[str, int] | None = None,
    asked_to_end_at: tuple[str, int] | None = None,
    bad_losses: tuple[int, int] | None = None,
    most_bytes: int | None = None,
) -> None:
    """What goes wrong in this run.

    Args:
        die_at: (function, n): kill -9 at its n-th call, n from 0. "torch:save" is killed when half of its file is
            written.
        asked_to_end_at: (function, n): SIGTERM at its n-th call.
        bad_losses: The model's forward passes first to last - 1 give nan.
        most_bytes: The disk is full for files larger than this.
    """
    if die_at:
        _patch(die_at[0], lambda original: _deadly(original, die_at[1]))
    if asked_to_end_at:
        _patch(asked_to_end_at[0], lambda original: _deadly(original, asked_to_end_at[1], signal.SIGTERM))
    if bad_losses:
        for name in ("DPTForDepthEstimation", "DPTForSemanticSegmentation"):
            _patch(f"open_dpt:{name}.forward", lambda original: _going_bad(original, *bad_losses))
    if most_bytes:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))


def _patch(where: str, wrap) -> None:
    module, names = where.split(":")
    owner = importlib.import_module(module)
    *path, last = names.split(".")
    for name in path:
        owner = getattr(owner, name)
    setattr(owner, last, wrap(getattr(owner, last)))


def _deadly(original, number: int, end: int = signal.SIGKILL):
    calls = iter(range(10**9))

    def function(*args, **options):
        if next(calls) == number:
            if original.__name__ == "save":  # torch.save(object, path)
                original(*args, **options)
                os.truncate(args[1], os.path.getsize(args[1]) // 2)
            os.kill(os.getpid(), end)
        return original(*args, **options)

    return function


def _going_bad(original, first: int, last: int):
    calls = iter(range(10**9))

    def forward(*args, **options):
        output = original(*args, **options)
        if first <= next(calls) < last:
            output.loss = output.loss * float("nan")
        return output

    return forward


if __name__ == "__main__":
    serve()
