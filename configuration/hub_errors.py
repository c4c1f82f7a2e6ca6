"""What goes wrong between here and the hub, told in one line that names the repository and the remedy."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MISSING = "no such folder, and no such repository on the hub or no access to it. Check the name, or pass a token"
_LOGIN = "(token=... or `hf auth login`)"

# Errors of huggingface_hub by class name, most telling first; {revision} is the one asked for.
_MEANING = {
    "GatedRepoError": f"a gated repository. Ask for access on its page, then pass a token {_LOGIN}.",
    "DisabledRepoError": "its publisher or the hub has disabled this repository. Choose another.",
    "RevisionNotFoundError": "the repository has no revision {revision!r}. Check its branches, tags and commits.",
    "RepositoryNotFoundError": f"{_MISSING} {_LOGIN}.",
    "HFValidationError": "neither a folder nor a hub id such as 'owner/name'. Check the name.",
    "OfflineModeIsEnabled": "not in the cache, and offline mode is on. Unset HF_HUB_OFFLINE once to download it.",
    "LocalEntryNotFoundError": "not in the cache, and the hub does not answer. Check the network, or name a folder.",
    "HfHubHTTPError": "the hub answered with an error ({reason}). Try again later.",
}


@contextmanager
def plain_hub_errors(name: str | Path, revision: str | None = None) -> Iterator[None]:
    """Inside the block, turn errors about the repository `name` into OSErrors of one line.

    Errors that have nothing to do with the hub pass as they are.

    Raises:
        OSError: the repository or revision does not exist, is not open to this user, or cannot be reached.
    """
    try:
        yield
    except OSError as error:
        causes = {kind.__name__: cause for cause in _chain(error) for kind in type(cause).__mro__}
        kind = next((kind for kind in _MEANING if kind in causes), None)
        if kind is None:
            raise
        reason = (str(causes[kind]).strip().splitlines() or [""])[0]
        if kind == "LocalEntryNotFoundError" and _offline():
            kind = "OfflineModeIsEnabled"
        raise OSError(f"{name}: {_MEANING[kind].format(revision=revision or 'main', reason=reason)}") from None


def require_answer(
    name: str | Path, file_name: str, revision: str | None = None, cache_dir: str | None = None
) -> None:
    """After a file was not found: tell a repository that does not have it from a hub that did not answer.

    Raises:
        LocalEntryNotFoundError: nobody has said that the file does not exist.
    """
    from huggingface_hub.errors import LocalEntryNotFoundError

    if not Path(name).exists() and not is_known_missing(name, file_name, revision, cache_dir):
        raise LocalEntryNotFoundError(f"{name}: {file_name} is not in the cache")


def is_known_missing(
    name: str | Path, file_name: str, revision: str | None = None, cache_dir: str | None = None
) -> bool:
    """Whether the folder, or the repository when it was last asked, does not have the file. Asks no network."""
    from huggingface_hub import try_to_load_from_cache

    if Path(name).is_dir():
        return not (Path(name) / file_name).is_file()
    cached = try_to_load_from_cache(str(name), file_name, cache_dir=cache_dir, revision=revision)
    return cached is not None and not isinstance(cached, str)  # the cache's mark for "does not exist"


def commit_of(name: str | Path, revision: str | None = None) -> str | None:
    """Hash of the commit that was loaded last for a repository's revision; None for a folder. Asks no network."""
    from huggingface_hub import try_to_load_from_cache

    if Path(name).exists():
        return None
    cached = try_to_load_from_cache(str(name), "config.json", revision=revision)
    return Path(cached).parent.name if isinstance(cached, str) else None  # .../snapshots/COMMIT/config.json


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _offline() -> bool:
    from huggingface_hub.constants import HF_HUB_OFFLINE

    return HF_HUB_OFFLINE
