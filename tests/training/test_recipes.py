import argparse

import pytest

from open_dpt.training.recipes import (
    RecipeError,
    add_recipe_argument,
    effective_recipe,
    parse_with_recipe,
    read_recipe,
    recipe_text,
    recipe_words,
)


@pytest.fixture
def parser():
    parser = argparse.ArgumentParser(prog="train_depth.py", allow_abbrev=False)
    add_recipe_argument(parser)
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--learning_rate", type=float, default=1e-3)
    parser.add_argument("--num_train_epochs", type=int)
    parser.add_argument("--optimizer", choices=["adam", "sgd"], default="adam")
    parser.add_argument("--rescale", type=float, nargs=2)
    parser.add_argument("--config_overrides", nargs="*", default=[])
    parser.add_argument("--dry_run", action="store_true")
    parser.add_argument("--align_first", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--hub_token")
    return parser


@pytest.fixture
def recipe(tmp_path):
    def write(text, name="recipe.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def failure(parser, path, capsys):
    with pytest.raises(SystemExit) as end:
        parse_with_recipe(parser, ["--recipe", path, "--output_dir", "o"])
    assert end.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def test_a_recipe_is_a_command_line_and_what_is_typed_wins(parser, recipe):
    path = recipe("learning_rate: 1e-4\nnum_train_epochs: 240\noptimizer: sgd\nrescale: [0.5, 2.0]\ndry_run: true\n")
    args = parse_with_recipe(parser, ["--num_train_epochs", "3", "--recipe", path, "--output_dir=o"])
    assert (args.learning_rate, args.num_train_epochs, args.optimizer) == (1e-4, 3, "sgd")
    assert (args.rescale, args.dry_run, args.output_dir, args.recipe) == ([0.5, 2.0], True, "o", path)


def test_without_a_recipe_nothing_changes(parser):
    args = parse_with_recipe(parser, ["--output_dir", "o"])
    assert (args.learning_rate, args.recipe) == (1e-3, None)


def test_yaml_numbers_in_every_spelling(parser, recipe):
    """YAML 1.1 reads 1e-4 as text and 1.0e-4 as a number; both are meant."""
    for text in ("1e-4", "1.0e-4", "0.0001", "'1e-4'"):
        args = parse_with_recipe(parser, ["--recipe", recipe(f"learning_rate: {text}"), "--output_dir", "o"])
        assert args.learning_rate == 1e-4


def test_a_recipe_extends_another_one(parser, recipe, tmp_path):
    recipe("learning_rate: 1\noptimizer: sgd\nnum_train_epochs: 5\nconfig_overrides: {a: 1, b: [1, 2]}\n", "base.yaml")
    (tmp_path / "more").mkdir()
    middle = recipe("extends: ../base.yaml\nlearning_rate: 2\nconfig_overrides: {b: x}\n", "more/middle.yaml")
    path = recipe("extends: more/middle.yaml\nnum_train_epochs:\n")
    args = parse_with_recipe(parser, ["--recipe", path, "--output_dir", "o"])
    assert (args.learning_rate, args.optimizer, args.num_train_epochs) == (2.0, "sgd", None)
    assert args.config_overrides == ["a=1", "b=x"]
    assert read_recipe(middle)["config_overrides"] == {"a": 1, "b": "x"}


def test_a_mapping_may_hold_json(parser, recipe):
    words = recipe_words(parser, recipe("config_overrides: {depth_loss: {name: silog, gradient_weight: 0.5}}"))
    assert words == ["--config_overrides", 'depth_loss={"name": "silog", "gradient_weight": 0.5}']


def test_switches(parser, recipe):
    args = parse_with_recipe(
        parser, ["--recipe", recipe("align_first: false\ndry_run: false\n"), "--output_dir", "o", "--align_first"]
    )
    assert (args.align_first, args.dry_run) == (True, False)
    assert recipe_words(parser, recipe("align_first: false")) == ["--no-align_first"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("learning_rat: 1", "'learning_rat' is not a flag of train_depth.py. Did you mean 'learning_rate'?"),
        ("xyzzy: 1", "'xyzzy' is not a flag of train_depth.py. Known: align_first, config_overrides"),
        ("learning_rate: fast", "learning_rate: must be float, got 'fast'."),
        ("num_train_epochs: 2.5", "num_train_epochs: must be int, got 2.5."),
        ("learning_rate: [1, 2]", "learning_rate must be one value, got [1, 2]."),
        ("optimizer: lion", "optimizer must be one of adam, sgd, got 'lion'."),
        ("dry_run: 1", "dry_run must be true or false, got 1."),
        ("- a\n- b", "a recipe must hold `key: value` lines, got list."),
        ("a: b: c", "not YAML"),
        ("extends: [a]", "extends must name one file, got ['a']."),
        ("extends: recipe.yaml", "recipes must not extend themselves, got recipe.yaml -> recipe.yaml."),
        (
            "extends: reciep.yaml",
            "a recipe must be a readable YAML file (No such file or directory). Did you mean 'rec",
        ),
    ],
)
def test_mistakes_are_told_in_one_line(parser, recipe, capsys, text, expected):
    path = recipe(text)
    line = failure(parser, path, capsys)
    assert expected in line
    assert line.startswith("train_depth.py: ")
    assert ".yaml" in line


def test_the_effective_recipe_runs_again(parser, recipe):
    words = ["--output_dir", "o", "--rescale", "0.5", "2", "--config_overrides", 'a={"b": 1}', "--hub_token", "secret"]
    args = parse_with_recipe(parser, [*words, "--no-align_first"])
    text = recipe_text(effective_recipe(args))
    assert "secret" not in text
    again = parse_with_recipe(parser, ["--recipe", recipe(text)])
    expected = vars(args) | {"recipe": again.recipe, "hub_token": None}
    assert vars(again) == expected


def test_a_missing_file_raises_our_error(parser):
    with pytest.raises(RecipeError, match=r"nowhere\.yaml: a recipe must be a readable YAML file"):
        recipe_words(parser, "nowhere.yaml")
