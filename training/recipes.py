"""Recipes: the flags of a training script in a YAML file.

    extends: base.yaml          # optional, another recipe beside this one; this file's keys win
    learning_rate: 1e-4
    config_overrides:           # a mapping stands for KEY=JSON items; it is merged with the one it extends
      fusion_hidden_size: 48

Keys are the names of the script's flags. Each value is put in front of the command line as if it had been typed there,
so argparse checks both alike, and what is typed wins.
"""

import argparse
import difflib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

_SECRETS = ("hub_token",)


class RecipeError(ValueError):
    """A recipe cannot be used; the message names the file, the key, and what would be right."""


def add_recipe_argument(parser: argparse.ArgumentParser) -> None:
    """--recipe FILE.yaml."""
    parser.add_argument("--recipe", metavar="FILE.yaml", help="Flags from a file; those typed here win.")


def parse_with_recipe(parser: argparse.ArgumentParser, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse a command line that may name a recipe.

    Args:
        parser: has `--recipe` (`add_recipe_argument`).
        arguments: words of the command line; those of this process if None.

    Returns:
        What `parser.parse_args` returns. A recipe that cannot be used ends the process with one line and status 2, as
        a wrong flag does.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    finder.add_argument("--recipe")
    try:
        recipe = finder.parse_known_args(words)[0].recipe
        words = (recipe_words(parser, recipe) if recipe else []) + words
    except RecipeError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    except argparse.ArgumentError:
        pass  # --recipe without a file: the parser itself says so
    return parser.parse_args(words)


def effective_recipe(args: argparse.Namespace) -> dict[str, Any]:
    """What a run does, as a recipe: every setting that has a value, but no secrets and no `--recipe`."""
    return {key: value for key, value in vars(args).items() if value is not None and key not in (*_SECRETS, "recipe")}


def recipe_text(recipe: dict[str, Any]) -> str:
    """`effective_recipe` as YAML that `--recipe` reads again. JSON values, one key a line: JSON is YAML."""
    return "".join(f"{key}: {json.dumps(value, default=str)}\n" for key, value in recipe.items())


def read_recipe(path: str | Path) -> dict[str, Any]:
    """Keys and values of a recipe and of all that it extends.

    Raises:
        RecipeError: a file is missing, is no YAML mapping, or extends itself.
    """
    return _read(Path(path), ())


def recipe_words(parser: argparse.ArgumentParser, path: str | Path) -> list[str]:
    """A recipe as words of a command line.

    Raises:
        RecipeError: also for keys that the parser does not know and values that it does not take.
    """
    flags = {action.dest: action for action in parser._actions if action.option_strings and action.dest != "help"}
    words = []
    for key, value in read_recipe(path).items():
        if key not in flags:
            raise RecipeError(f"{path}: {key!r} is not a flag of {parser.prog}. {_nearest(key, flags)}")
        if value is not None:  # `key:` without a value takes back what an extended recipe says
            words += _words(path, flags[key], value)
    return words


def _read(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    resolved = path.resolve()
    if resolved in seen:
        chain = " -> ".join(file.name for file in (*seen, resolved))
        raise RecipeError(f"{path}: recipes must not extend themselves, got {chain}. Remove one `extends`.")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        others = {file.stem: file for file in path.parent.glob("*.yaml")}
        raise RecipeError(
            f"{path}: a recipe must be a readable YAML file ({error.strerror}). {_nearest(path.stem, others)}"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise RecipeError(
            f"{path}: a recipe must hold `key: value` lines, got {type(values).__name__}. "
            "Keys are names of flags, such as learning_rate."
        )
    base = values.pop("extends", None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise RecipeError(f"{path}: extends must name one file, got {base!r}.")
    merged = _read(path.parent / base, (*seen, resolved))
    for key, value in values.items():
        old = merged.get(key)
        merged[key] = old | value if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _nearest(key: str, known: dict[str, Any]) -> str:
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(sorted(known)) or 'none'}."


def _words(path: str | Path, action: argparse.Action, value: Any) -> list[str]:
    flag = action.option_strings[0]
    if action.nargs == 0 or isinstance(action, argparse.BooleanOptionalAction):
        if not isinstance(value, bool):
            raise RecipeError(f"{path}: {action.dest} must be true or false, got {value!r}.")
        if value:
            return [flag]
        return [word for word in action.option_strings if word.startswith("--no-")][:1]
    if action.nargs in (None, "?"):
        if isinstance(value, (list, dict)):
            raise RecipeError(f"{path}: {action.dest} must be one value, got {value!r}.")
        return [f"{flag}={_checked(path, action, value)}"]
    if isinstance(value, dict):
        value = [f"{key}={item if isinstance(item, str) else json.dumps(item)}" for key, item in value.items()]
    return [flag, *(_checked(path, action, item) for item in (value if isinstance(value, list) else [value]))]


def _checked(path: str | Path, action: argparse.Action, value: Any) -> str:
    """`value` as a word that argparse takes. It would find the mistake too, but not say in which file."""
    text = value if isinstance(value, str) else json.dumps(value)
    try:
        converted = action.type(text) if callable(action.type) else text
    except (ValueError, TypeError, argparse.ArgumentTypeError) as error:
        wanted = getattr(action.type, "__name__", "").strip("_")
        reason = str(error) if isinstance(error, argparse.ArgumentTypeError) else f"must be {wanted}"
        raise RecipeError(f"{path}: {action.dest}: {reason}, got {value!r}.") from None
    if action.choices is not None and converted not in action.choices:
        choices = ", ".join(map(str, action.choices))
        raise RecipeError(f"{path}: {action.dest} must be one of {choices}, got {value!r}.")
    return text
