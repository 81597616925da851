"""The command line and YAML: what is read, in which order of precedence, and what is not imported for it."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from accel_asr.config import lora_settings
from accel_asr.config.command_line import find_config, parse_config, recipe_names, write_config
from accel_asr.config.settings import Config, settings_of
from tests.refusals import refused

REPOSITORY = Path(__file__).resolve().parents[3]
QUICKSTART_DATA = "data: {name_or_path: quickstart, train_rows: 450}\n"


# -- what is read


def test_without_arguments_it_is_the_quickstart() -> None:
    config = parse_config([])
    assert (config.data.name_or_path, config.model.name_or_path) == ("quickstart", "quickstart")
    assert config.output_dir == "runs/quickstart"


@pytest.mark.parametrize("argument", ["--training.max_steps=5", "--data.text_column=x", "--model.freeze=[encoder]"])
def test_a_setting_that_names_neither_model_nor_data_is_one_of_the_quickstart(argument: str) -> None:
    config = parse_config([argument])
    assert (config.data.name_or_path, config.model.name_or_path) == ("quickstart", "quickstart")
    assert (config.training.learning_rate, config.output_dir) == (5e-4, "runs/quickstart")


HELD_OUT = "--data.eval_fraction=0.1"


@pytest.mark.parametrize(
    ("arguments", "run"),
    [
        (["--model.name_or_path", "openai/whisper-small", "--data.name_or_path", "mine/"], "whisper-small-mine"),
        (["--data.name_or_path=calls/list.csv"], "whisper-tiny-list"),
        (["--data.sources", "[{name_or_path: a}, {name_or_path: b}]"], "whisper-tiny-sources"),
        (["--data.sources+={name_or_path: mine}"], "whisper-tiny-mine"),
        (["--data", '{"name_or_path": "mine"}'], "whisper-tiny-mine"),
        (["--model.name_or_path", "quickstart", "--data.name_or_path", "mine"], "quickstart-mine"),
        (["--data.name_or_path=https://u:pw@host/x/clips.csv?token=abc"], "whisper-tiny-clips"),
        (["--data.name_or_path=" + "a" * 200], "whisper-tiny-" + "a" * 60),
    ],
)
def test_whoever_names_a_model_or_data_gets_nothing_of_the_quickstart(arguments: list[str], run: str) -> None:
    config = parse_config([*arguments, HELD_OUT])
    plain = Config()
    assert config.training == plain.training
    assert config.evaluation == plain.evaluation
    data = replace(config.data, name_or_path=None, sources=[], eval_fraction=None)
    assert data == plain.data  # no 450 rows, no text column, no licence
    assert config.model.language is None
    assert config.output_dir == f"runs/{run}"


@pytest.mark.parametrize("recipe", ["quickstart", "whisper_tiny_minds14"])
def test_a_recipes_licence_is_not_that_of_other_recordings(recipe: str) -> None:
    other = ["--config", recipe, "--data.name_or_path", "mine"]
    assert parse_config(["--config", recipe]).data.license is not None
    assert parse_config(other).data.license is None
    assert parse_config([*other, "--data.license", "mit"]).data.license == "mit"


def test_a_recipes_licence_holds_where_it_asks_for_the_path() -> None:
    data = parse_config(["--config", "spoken_digits", "--data.name_or_path", "elsewhere/fsdd"]).data
    assert data.license == "cc-by-sa-4.0"


def test_the_command_line_wins_over_the_recipe_and_the_recipe_over_the_defaults() -> None:
    config = parse_config(["--config", "whisper_tiny_minds14", "--training.num_train_epochs", "2"])
    assert config.training.num_train_epochs == 2  # the recipe says 30
    assert config.training.per_device_train_batch_size == 15  # the default is 16
    assert config.training.weight_decay == 0.0


@pytest.mark.parametrize(
    "arguments",
    [
        ["--training.seed", "7", "--config", "whisper_tiny_minds14"],
        ["--training.seed=7", "--config=whisper_tiny_minds14"],
        ["--config", "whisper_tiny_minds14", "--training.seed", "7"],
    ],
)
def test_an_override_wins_wherever_it_stands(arguments: list[str]) -> None:
    config = parse_config(arguments)
    assert (config.training.seed, config.data.name_or_path) == (7, "PolyAI/minds14")


def test_the_reference_recipe_is_the_table_of_the_design() -> None:
    config = parse_config(["--config", "whisper_tiny_minds14"])
    read = {name: _value(config.to_dict(), name) for name in REFERENCE_JOB}
    assert read == REFERENCE_JOB


REFERENCE_JOB = {
    "model.name_or_path": "openai/whisper-tiny",
    "model.language": "en",
    "model.task": "transcribe",
    "model.freeze": [],
    "data.name_or_path": "PolyAI/minds14",
    "data.subset": "en-US",
    "data.train_split": "train",
    "data.audio_column": "audio",
    "data.text_column": "english_transcription",
    "data.max_duration_s": 30.0,
    "data.train_rows": 450,
    "data.eval_split": None,
    "data.eval_fraction": None,
    "data.timestamps_probability": None,  # which is 0
    "training.learning_rate": 0.00001,
    "training.lr_scheduler_type": "constant_with_warmup",
    "training.warmup_steps": 50,
    "training.per_device_train_batch_size": 15,
    "training.gradient_accumulation_steps": 1,
    "training.num_train_epochs": 30,
    "training.max_steps": None,
    "training.dataloader_drop_last": True,
    "evaluation.eval_steps": None,  # every epoch
    "evaluation.generation_max_length": 225,
    "evaluation.num_beams": 1,
    "evaluation.normalizer": "basic",
}


def test_a_written_configuration_fed_back_is_the_same(tmp_path: Path) -> None:
    overrides = ["--training.mixed_precision", "no", "--tracking.report_to", "[]", "--training.learning_rate", "1e-5"]
    # Norwegian is `no`, which YAML 1.1 reads as false unless it is quoted; the text column is not ASCII
    overrides += ["--model.language", "no", "--data.text_column", "tekst på norsk", "--output_dir", "runs/a b"]
    config = parse_config(overrides)
    assert (config.training.mixed_precision, config.model.language) == ("no", "no")
    write_config(config, tmp_path / "config.yaml")
    assert parse_config(["--config", str(tmp_path / "config.yaml")]) == config


@pytest.mark.parametrize("recipe", recipe_names())
def test_the_printed_configuration_fed_back_is_the_same(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse_config(["--config", recipe, "--output_dir", "elsewhere", "--print_config"])
    assert stopped.value.code == 0
    printed = tmp_path / "printed.yaml"
    printed.write_text(capsys.readouterr().out)
    assert parse_config(["--config", str(printed)]) == parse_config(["--config", recipe, "--output_dir", "elsewhere"])


def test_a_configuration_that_a_run_would_refuse_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with refused("--training.max_steps", value=0):
        parse_config(["--print_config", "--training.max_steps", "0"])
    assert capsys.readouterr().out == ""


def test_a_run_is_named_after_its_yaml_file(tmp_path: Path) -> None:
    (tmp_path / "call_centre.yaml").write_text(QUICKSTART_DATA)
    assert parse_config(["--config", str(tmp_path / "call_centre.yaml")]).output_dir == "runs/call_centre"


def test_neither_folder_nor_file_can_take_the_name_of_a_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("quickstart").mkdir()
    Path("whisper_tiny_minds14").write_text("training: {seed: 1}\n")
    packaged = REPOSITORY / "accel_asr" / "recipes"
    assert find_config("quickstart") == packaged / "quickstart.yaml"
    assert find_config("whisper_tiny_minds14") == packaged / "whisper_tiny_minds14.yaml"


def test_yaml_numbers_with_an_exponent_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"  # YAML 1.1 itself reads 1e-5, without a point, as text
    path.write_text(QUICKSTART_DATA + "training: {learning_rate: 1e-5}\n")
    assert parse_config(["--config", str(path)]).training.learning_rate == 0.00001


def test_help_explains_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse_config(["--help"])
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    assert "Peak learning rate." in printed
    assert [name for name, _ in settings_of(Config) if f"--{name}" not in printed] == []


# -- what it costs


def test_reading_the_settings_imports_nothing_heavy() -> None:
    program = """
        import json, sys
        import accel_asr, accel_asr.config.settings, accel_asr.config.command_line
        accel_asr.config.command_line.parse_config([])
        from accel_asr.train import main as train_main
        codes = []
        for arguments in (["--help"], ["--training.lerning_rate", "1"], ["--config", "missing"]):
            try:
                train_main(arguments)
            except SystemExit as stopped:
                codes.append(stopped.code)
        heavy = {"torch", "transformers", "datasets", "accelerate", "librosa", "numpy", "pyarrow"} & set(sys.modules)
        print(json.dumps([codes, sorted(heavy)]))
    """
    child = subprocess.run(
        [sys.executable, "-c", "\n".join(line[8:] for line in program.splitlines())],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(child.stdout.splitlines()[-1]) == [[0, 2, 2], []]
    assert "Traceback" not in child.stderr
    assert [line.startswith("error: ") for line in child.stderr.splitlines()] == [True, True]


def _value(content: dict, dotted_name: str) -> object:
    section, name = dotted_name.split(".")
    return content[section][name]


@pytest.mark.parametrize(
    ("value", "read"),
    [("[encoder]", ["encoder"]), ("[encoder_layers: 2, embeddings]", [{"encoder_layers": 2}, "embeddings"])],
)
def test_frozen_parts_are_written_alike_here_and_in_a_file(tmp_path: Path, value: str, read: list[object]) -> None:
    (tmp_path / "settings.yaml").write_text(f"model: {{freeze: {value}}}")
    of_file = parse_config(["--config", str(tmp_path / "settings.yaml"), "--data.name_or_path=x", "--data.eval_rows=3"])
    assert of_file.model.freeze == parse_config(["--model.freeze", value]).model.freeze == read


def test_a_run_of_an_earlier_version_froze_its_encoder_by_another_name(tmp_path: Path) -> None:
    with refused("--model.freeze_encoder", remedy="--model.freeze [encoder]"):
        parse_config(["--model.freeze_encoder", "true"])
    path = tmp_path / "config.yaml"
    for frozen, read in (("true", ["encoder"]), ("false", [])):
        path.write_text(f"model: {{freeze_encoder: {frozen}, language: 'no'}}\ndata: {{name_or_path: x, eval_rows: 3}}")
        config = parse_config(["--config", str(path)])
        assert (config.model.freeze, config.model.language, config.output_dir) == (read, "no", "runs/config")


def test_a_run_of_an_earlier_version_heard_the_speech_alone(tmp_path: Path) -> None:
    with refused("--training.audio_context", "any more", value="speech", remedy="merged"):
        parse_config(["--training.audio_context", "speech"])
    with refused("--evaluation.full_context_margin", "any more", remedy="leave it out"):
        parse_config(["--evaluation.full_context_margin", "0.1"])
    path = tmp_path / "config.yaml"
    earlier = "{training: {audio_context: %s}, evaluation: {full_context_margin: 0.02, num_beams: 3}}"
    path.write_text(earlier % "speech")
    with refused("--training.audio_context", value="speech", remedy="merged"):
        parse_config(["--config", str(path)])
    path.write_text(earlier % "full")
    config = parse_config(["--config", str(path), "--data.name_or_path=x", "--data.eval_rows=3"])
    assert (config.training.audio_context, config.evaluation.num_beams) == ("full", 3)


def test_what_training_needs_is_not_asked_of_a_model_that_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lora_settings, "find_spec", lambda _: None)
    arguments = ["--data.name_or_path=a", "--data.eval_rows=2", "--lora.enabled=true", "--training.optim=muon"]
    arguments += ["--augment.noise_prob=0.5", "--augment.noise_dir=gone", "--data.no_speech_fraction=0.1"]
    with refused("--lora.enabled", "peft", value=True, remedy="accel-asr[lora]"):
        parse_config(arguments)
    config = parse_config(arguments, trains=False)
    assert (config.lora.enabled, config.augment.is_on, config.data.no_speech_fraction) == (False, False, 0)
    assert config.data.eval_rows == 2


def test_help_begins_with_what_a_command_line_looks_like(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_config(["--help"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "usage: accel_asr/train.py [OPTION ...] [--config RECIPE_OR_YAML] [--SECTION.SETTING VALUE ...]"
    assert lines[2].startswith("Fine-tune a Whisper model")
