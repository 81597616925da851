"""Wrong settings on the command line and in YAML: each is answered with the setting, the value and the remedy."""

from pathlib import Path

import pytest

from accel_asr.config.command_line import parse_config
from accel_asr.errors import UserError

QUICKSTART_DATA = "data: {name_or_path: quickstart, train_rows: 450}\n"
RECIPES = "learner_english, quickstart, quickstart_pretraining, spoken_digits, whisper_tiny_minds14"


def problem(*arguments: str) -> str:
    with pytest.raises(UserError) as caught:
        parse_config(list(arguments))
    return str(caught.value)


@pytest.fixture
def yaml_problem(tmp_path: Path):
    def refused(content: str | bytes) -> str:
        path = tmp_path / "mine.yaml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return problem("--config", str(path))

    return refused


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["--training.lerning_rate", "1"],
            "training.lerning_rate: there is no such setting; did you mean training.lea",
        ),
        (["--learning_rate", "1"], "learning_rate: there is no such setting; did you mean training.learning_rate?"),
        (["--learning_rat=1"], "learning_rat: there is no such setting; did you mean training.learning_rate?"),
        (["--zzz", "1"], "zzz: there is no such setting; --help lists all of them"),
        (["--training.learning_rate", "fast"], "training.learning_rate: 'fast' does not fit; give a number, or null"),
        (["--training.learning_rate", "nan"], "training.learning_rate: 'nan' does not fit; give a number, or null"),
        (["--training.learning_rate", ".nan"], "training.learning_rate: nan is out of range; give a finite number"),
        (
            ["--training.warmup_steps", "1.5"],
            "training.warmup_steps: 1.5 is no whole number; give one, or ",
        ),
        (["--training.warmup_steps", "true"], "training.warmup_steps: 'True' does not fit; give a number"),
        (["--training.mixed_precision", "fp8"], "training.mixed_precision: 'fp8' does not fit; give "),
        (["--model.task", "dictate"], "model.task: 'dictate' does not fit; give 'transcribe' or 'translate'"),
        (
            ["--evaluation.normalizer", "german"],
            "evaluation.normalizer: 'german' does not fit; give 'basic' or 'english'",
        ),
        (
            ["--tracking.report_to", "[comet]"],
            "tracking.report_to: 'comet' does not fit; give a list in brackets, such as",
        ),
        (["--tracking.report_to", "wandb"], "such as [tensorboard, trackio], of 'tensorboard', 'trackio', 'wandb'"),
        (
            ["--data.breakdown_columns", "speaker"],
            "'speaker' does not fit; give a list in brackets, such as [one, two]",
        ),
        (["--training.learning_rate"], "argument --training.learning_rate: expected one argument"),
        (["clips.csv"], "unrecognized arguments: clips.csv; see --help"),
        (["--data.eval_split", "test"], "data.eval_split=test and data.train_rows=450; set exactly one"),
        (
            ["--training.audio_context", "speech", "--evaluation.eval_on_start", "false"],
            "evaluation.eval_on_start: false does not go with training.audio_context: speech, which is judged against",
        ),
        (
            ["--training.audio_context", "speech", "--data.streaming", "true"],
            "training.audio_context: speech does not go with data.streaming, which does not know the longest clip",
        ),
        (["--evaluation.full_context_margin", "-1"], "evaluation.full_context_margin: -1.0 is out of range"),
        (["--hub.push_to_hub", "true"], "hub.push_to_hub: true needs a name; add --hub.hub_model_id user/name"),
    ],
)
def test_a_wrong_argument_is_answered_with_setting_value_and_remedy(arguments: list[str], told: str) -> None:
    assert told in problem(*arguments)


def test_dashes_in_a_name_are_answered_with_the_right_name() -> None:
    answer = problem("--training.learning-rate", "1")
    assert answer.startswith("training.learning-rate: there is no such setting; did you mean training.learning_rate")


def test_several_problems_are_told_at_once() -> None:
    told = problem("--training.max_steps", "0", "--data.max_bad_fraction", "2", "--hub.push_to_hub", "true")
    assert len(told.splitlines()) == 3


@pytest.mark.parametrize("name", ["reference", "missing/run.yaml", "."])
def test_an_unknown_recipe_is_answered_with_those_there_are(name: str) -> None:
    assert problem("--config", name).endswith(
        f"{name!r} is neither a recipe nor a YAML file; the recipes are: {RECIPES}"
    )


def test_config_is_given_once_with_a_value() -> None:
    assert "given 2 times (quickstart, whisper_tiny_minds14)" in problem(
        "--config", "quickstart", "--config=whisper_tiny_minds14"
    )
    assert f"--config: needs a recipe ({RECIPES})" in problem("--config")
    assert f"--config: needs a recipe ({RECIPES})" in problem("--config=")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("training: {lerning_rate: 1}", "training.lerning_rate: there is no such setting; did you mean training.lea"),
        ("trainin: {learning_rate: 1}", "trainin.learning_rate: there is no such setting; did you mean training.lea"),
        ("learning_rate: 1", "learning_rate: there is no such setting; did you mean training.learning_rate?"),
        ("training: {learning_rate: fast}", "training.learning_rate: 'fast' does not fit; give a number, or null"),
        ("training: {learning_rate: .nan}", "training.learning_rate: nan is out of range"),
        ("training: {mixed_precision: no}", "training.mixed_precision: 'False' does not fit; give "),
        ("training: {mixed_precision: no}", 'write "no" in quotes, YAML reads a bare no as false'),
        ("model: {language: no}", 'write "no" in quotes, YAML reads a bare no as false'),
    ],
)
def test_a_wrong_setting_in_a_yaml_file_is_answered_like_one_on_the_command_line(
    yaml_problem, content: str, told: str
) -> None:
    assert told in yaml_problem(QUICKSTART_DATA + content + "\n")


def test_a_wrong_table_of_texts_is_answered_with_what_to_give(yaml_problem) -> None:
    answer = yaml_problem("data: {name_or_path: quickstart, train_rows: 450, text: {replacements: {a: 1}}}\n")
    assert "data.text.replacements: '1' does not fit; give a table of texts in quotes" in answer


@pytest.mark.parametrize("content", ["a: [1\n", "a: b: c\n", "\tx: 1\n"])
def test_a_file_that_is_not_yaml_is_named(yaml_problem, tmp_path: Path, content: str) -> None:
    assert yaml_problem(content).startswith(f"--config: {tmp_path / 'mine.yaml'} is not a valid YAML file of settings")


@pytest.mark.parametrize("content", ["", "- a\n- b\n", "just text\n", b"\xff\xfe\x00", b"PK\x03\x04\x00\xff"])
def test_a_file_without_settings_is_named(yaml_problem, tmp_path: Path, content: str | bytes) -> None:
    assert str(tmp_path / "mine.yaml") in yaml_problem(content)


@pytest.mark.parametrize("content", ["training:\n", "training: 5\n", "training: [1]\n"])
def test_a_section_that_holds_no_settings_is_named(yaml_problem, content: str) -> None:
    assert yaml_problem(QUICKSTART_DATA + content).startswith("training: ")


def test_a_setting_that_needs_a_value_is_not_null(yaml_problem) -> None:
    assert yaml_problem(QUICKSTART_DATA + "model: {name_or_path: null}\n").startswith("model.name_or_path: ")
