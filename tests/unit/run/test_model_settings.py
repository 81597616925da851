"""The settings that a model brings along, and that the quickstart's are not taken for other data."""

from pathlib import Path

import pytest
import yaml

from accel_asr.commands.export import run_settings
from accel_asr.config.command_line import parse_config
from accel_asr.run.model_settings import settings_of_model

OTHER = ["--data.name_or_path", "mine.csv", "--data.eval_fraction", "0.1"]


@pytest.fixture
def best_of(tmp_path: Path):
    def make(data: dict, name: str = "best") -> str:
        (tmp_path / name).mkdir()
        content = {"model": {"name_or_path": "quickstart", "language": "en"}, "data": data}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
        return str(tmp_path / name)

    return make


QUICKSTART_DATA = {"name_or_path": "quickstart", "text_column": "english_transcription", "train_rows": 450}


def settings_with(model: str, settings: list[str], **options: bool):
    own = settings_of_model(model, settings, **options)
    return parse_config([*own, f"--model.name_or_path={model}", *settings])


def test_the_embedded_model_brings_the_quickstart_along() -> None:
    config = settings_with("quickstart", [])
    assert (config.data.name_or_path, config.data.train_rows, config.model.language) == ("quickstart", 450, "en")


def test_the_embedded_model_on_other_data_brings_its_language_alone() -> None:
    config = settings_with("quickstart", OTHER)
    assert (config.data.text_column, config.data.train_rows, config.data.license) == ("text", None, None)
    assert config.evaluation.generation_max_length == 225
    assert config.model.language == "en"


@pytest.mark.parametrize("name", ["best", "best_adapter"])
def test_a_run_brings_its_own_settings_along(best_of, name: str) -> None:
    best = best_of({"name_or_path": "calls.csv", "text_column": "said", "eval_rows": 5}, name)
    assert run_settings(best, []).data.name_or_path == "calls.csv"
    assert settings_with(best, []).data.name_or_path == "calls.csv"
    other = settings_with(best, ["--data.name_or_path", "mine.csv"]).data
    assert (other.name_or_path, other.text_column, other.eval_rows) == ("mine.csv", "said", 5)


@pytest.mark.parametrize("named_by_option", [False, True])
def test_a_run_of_the_quickstart_brings_nothing_of_its_clips_to_other_data(best_of, named_by_option: bool) -> None:
    best = best_of(QUICKSTART_DATA)
    assert settings_with(best, []).data.train_rows == 450
    settings = ["--data.eval_fraction=0.1"] if named_by_option else OTHER
    other = settings_with(best, settings, has_own_data=named_by_option).data
    assert (other.text_column, other.train_rows, other.eval_fraction) == ("text", None, 0.1)


def test_a_given_recipe_or_file_is_all_there_is(best_of) -> None:
    best = best_of(QUICKSTART_DATA)
    assert settings_of_model(best, ["--config", "x.yaml"]) == []
    assert settings_of_model("quickstart", ["--config=x.yaml"]) == []


def test_an_export_of_the_embedded_model_is_compared_on_other_data_by_its_own_columns() -> None:
    config = run_settings("quickstart", OTHER)
    assert (config.model.name_or_path, config.data.text_column, config.data.train_rows) == ("quickstart", "text", None)
