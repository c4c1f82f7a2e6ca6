"""Folders that are either written completely or not at all."""

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from .reading import one_line

_SHARD = re.compile(r"(model|pytorch_model)-\d{5}-of-\d{5}\.(safetensors|bin)")
_WEIGHTS = re.compile(r"(model|pytorch_model)(-\d{5}-of-\d{5})?\.(safetensors|bin)(\.index\.json)?")
_REASONS = {
    errno.ENOSPC: "the disk is full. Free some space",
    errno.EDQUOT: "the disk quota is used up. Free some space",
    errno.EACCES: "writing is not permitted. Choose another folder or change its permissions",
    errno.EPERM: "writing is not permitted. Choose another folder or change its permissions",
    errno.EROFS: "the file system is read-only. Choose another folder",
}


@contextmanager
def complete_folder(target: str | Path) -> Iterator[Path]:
    """Give a temporary folder whose content becomes that of `target` when the block ends without an error.

    The temporary folder lies beside a new target and inside an existing one, so that the final step is a rename on
    one file system. Files of an existing target that the block does not write stay, except shards left from an
    earlier save.

    Raises:
        NotADirectoryError: `target` is a file.
        OSError: the disk is full, writing is not permitted; `target` is as it was.
    """
    target = Path(target).expanduser()
    if target.exists() and not target.is_dir():
        raise NotADirectoryError(f"{target}: a folder is required, got a file. Choose another name.")
    temporary = None
    try:
        existed = target.is_dir()
        parent = target if existed else target.parent
        parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".incomplete", dir=parent))
        yield temporary
        if existed:
            _move_into(temporary, target)
        else:
            temporary.chmod(0o777 & ~_umask())
            temporary.rename(target)
    except (OSError, SafetensorError) as error:
        raise _explain(target, error) from None
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _move_into(source: Path, target: Path) -> None:
    files = sorted(source.iterdir(), key=lambda path: path.name == "config.json")  # the configuration comes last
    names = {path.name for path in files}
    for path in files:
        if path.is_dir():
            shutil.rmtree(target / path.name, ignore_errors=True)
        os.replace(path, target / path.name)
    if any(_WEIGHTS.fullmatch(name) for name in names):
        for path in target.iterdir():
            stale = _SHARD.fullmatch(path.name) or path.name.endswith((".safetensors.index.json", ".bin.index.json"))
            if stale and path.name not in names:
                path.unlink()


def _explain(target: Path, error: OSError | SafetensorError) -> OSError:
    number = getattr(error, "errno", None)
    if number is None and (found := re.search(r"os error (\d+)", str(error))):
        number = int(found.group(1))
    reason = _REASONS.get(number) or f"{one_line(error)}. Check the disk"
    kind = PermissionError if number in (errno.EACCES, errno.EPERM) else OSError
    message = f"{target}: the checkpoint was not saved, {reason}; nothing was changed."
    return kind(number, message) if number is not None else kind(message)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
