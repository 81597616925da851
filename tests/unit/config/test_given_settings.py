"""Wrong settings on the command line and in YAML: each is answered with the setting, the value and the remedy."""

from pathlib import Path

import pytest

from accel_asr.config.command_line import parse_config, recipe_names
from accel_asr.errors import UserError
from tests.refusals import refused

DATA = "data: {name_or_path: quickstart, train_rows: 450}\n"


@pytest.mark.parametrize(
    ("arguments", "setting", "value", "remedy"),
    [
        (["--training.lerning_rate", "1"], "--training.lerning_rate", None, "did you mean --training.learning_rate"),
        (["--training.learning-rate", "1"], "--training.learning-rate", None, "did you mean --training.learning_rate"),
        (["--learning_rate", "1"], "--learning_rate", None, "did you mean --training.learning_rate?"),
        (["--learning_rat=1"], "--learning_rat", None, "did you mean --training.learning_rate?"),
        (["--zzz", "1"], "--zzz", None, "--help lists all of them"),
        (["--training.learning_rate", "fast"], "--training.learning_rate", "fast", "give a number, or null"),
        (["--training.learning_rate", "nan"], "--training.learning_rate", "nan", "give a number, or null"),
        (["--training.learning_rate"], "--training.learning_rate", None, "give a number, or null"),
        (["--training.warmup_steps", "true"], "--training.warmup_steps", "true", "give a number"),
        (["--training.max_steps", "1.5"], "--training.max_steps", "1.5", "give a whole number, or null"),
        (["--training.pack", "maybe"], "--training.pack", "maybe", "give 'recordings', or true or false"),
        (["--model.task", "dictate"], "--model.task", "dictate", "give 'transcribe' or 'translate'"),
        (
            ["--training.mixed_precision", "fp8"],
            "--training.mixed_precision",
            "fp8",
            "'no' or 'fp16' or 'bf16', or null",
        ),
        (
            ["--tracking.report_to", "wandb"],
            "--tracking.report_to",
            "wandb",
            "such as [tensorboard, trackio], of 'tens",
        ),
        (
            ["--tracking.report_to", "[mlflow]"],
            "--tracking.report_to",
            "[mlflow]",
            "'tensorboard' or 'trackio' or 'wandb'",
        ),
        (["--data.breakdown_columns", "speaker"], "--data.breakdown_columns", "speaker", "such as [one, two]"),
        (["--data.text.replacements", "x"], "--data.text.replacements", "x", "a table of texts in quotes"),
        (["clips.csv"], None, "clips.csv", "--SETTING VALUE"),
        (["--data", "{text_colum: x}"], "--data.text_colum", None, "did you mean --data.text_column?"),
        (["--data.sources", "x"], "--data.sources", "x", "a list of sections"),
        (["--data.sources+={name: 1, nam: x}"], "--data.sources: nam of source 1", None, "did you mean name?"),
        (
            ["--data.sources", "[{name_or_path: a}, {weight: much}]"],
            *("--data.sources: weight of source 2", "much", "give a number, or null"),
        ),
    ],
)
def test_a_wrong_argument(arguments: list[str], setting: str | None, value: str | None, remedy: str) -> None:
    with refused(setting, value=value, remedy=remedy):
        parse_config(arguments)


@pytest.mark.parametrize(
    ("content", "setting", "value", "remedy"),
    [
        ("training: {lerning_rate: 1}", "--training.lerning_rate", None, "did you mean --training.learning_rate"),
        ("trainin: {learning_rate: 1}", "--trainin.learning_rate", None, "did you mean --training.learning_rate?"),
        ("trainin: {}", "--trainin", None, "did you mean"),
        ("learning_rate: 1", "--learning_rate", None, "did you mean --training.learning_rate?"),
        ("training: {learning_rate: fast}", "--training.learning_rate", "fast", "give a number, or null"),
        ("training: {mixed_precision: no}", "--training.mixed_precision", False, 'write "no" in quotes'),
        ("model: {language: no}", "--model.language", False, 'write "no" in quotes'),
        ("training:", "--training", "null", "leave it out"),
        ("training: 5", "--training", 5, "write its settings below it"),
        ("training: [1]", "--training", [1], "write its settings below it"),
    ],
)
def test_a_wrong_setting_in_a_yaml_file(tmp_path: Path, content: str, setting: str, value: object, remedy: str) -> None:
    (tmp_path / "mine.yaml").write_text(DATA + content + "\n")
    with refused(setting, value=value, remedy=remedy):
        parse_config(["--config", str(tmp_path / "mine.yaml")])


def test_a_wrong_table_of_texts_in_a_yaml_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("data: {name_or_path: x, eval_rows: 5, text: {replacements: {a: 1}}}\n")
    with refused("--data.text.replacements", value={"a": 1}, remedy="a table of texts in quotes"):
        parse_config(["--config", str(tmp_path / "mine.yaml")])


def test_every_wrong_setting_is_reported_at_once(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(DATA + "training: {max_steps: few}\nmodel: {task: sing}\n")
    with pytest.raises(UserError) as caught:
        parse_config(["--config", str(tmp_path / "mine.yaml"), "--training.seed", "x"])
    assert [error.setting for error in caught.value.errors] == [
        "--training.max_steps",
        "--model.task",
        "--training.seed",
    ]


@pytest.mark.parametrize("value", ["[" * 3000, "9" * 5000, "x" * 100_000])
def test_a_long_value_is_shortened(value: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_config(["--data.name_or_path", "x", "--data.eval_rows", value])
    assert caught.value.errors[0].setting == "--data.eval_rows"
    assert len(str(caught.value)) < 600


def test_a_number_beyond_all_floats_is_refused_in_a_table_too() -> None:
    with refused("--training.learning_rate_multipliers", remedy="a table of numbers"):
        parse_config(["--training.learning_rate_multipliers", f"{{encoder: {10**400}}}"])


# -- --config


@pytest.mark.parametrize("name", ["reference", "missing/run.yaml", ".", "x" * 300, "a\0b"])
def test_an_unknown_recipe_is_answered_with_those_there_are(name: str) -> None:
    with refused("--config", value=name, remedy=", ".join(recipe_names())):
        parse_config(["--config", name])


@pytest.mark.parametrize("arguments", [["--config"], ["--config="], ["--config", "quickstart", "--config=mine.yaml"]])
def test_config_is_given_once_with_a_value(arguments: list[str]) -> None:
    with refused("--config", remedy="give one YAML file or recipe"):
        parse_config(arguments)
