"""The Python API: settings as the command line reads them, refusals by their fields, nothing heavy at import."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import accel_asr
from accel_asr.api import TrainedRun, load_config
from tests.refusals import refused


def test_importing_the_package_loads_nothing_and_its_functions_stay_functions() -> None:
    program = (
        "import sys, accel_asr\n"
        "assert len([name for name in sys.modules if name.startswith('accel_asr')]) == 1\n"
        "assert callable(accel_asr.train)\n"
        "from accel_asr.train import main\n"
        "assert accel_asr.train is sys.modules['accel_asr.api'].train, 'the module train has replaced the function'\n"
        "assert not {'torch', 'transformers', 'datasets'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="tune"):
        accel_asr.tune  # noqa: B018


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("training.max_steps", 7),
        ("training.learning_rate", 2e-5),
        ("evaluation.eval_on_start", False),
        ("tracking.report_to", []),
        ("data.breakdown_columns", ["speaker", "it's a: #1"]),
        ("training.batch_seconds", None),
        ("tracking.project_name", "no"),
        ("tracking.project_name", "12"),
        ("data.cache_dir", "a folder: with # signs"),
    ],
)
def test_a_setting_arrives_as_it_was_given(name: str, value: Any) -> None:
    section, field = name.split(".")
    config = load_config("quickstart", {name: value})
    assert getattr(getattr(config, section), field) == value


def test_without_a_model_or_data_it_is_the_quickstart() -> None:
    assert load_config().model.name_or_path == "quickstart"


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({"training.learning_rat": 1}, "--training.learning_rat"),
        ({"training.max_steps": "many"}, "--training.max_steps"),
        ({"training.max_steps": -1}, "--training.max_steps"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(settings: dict[str, Any], setting: str) -> None:
    with refused(setting):
        load_config("quickstart", settings)


def test_a_run_reads_what_its_folder_holds(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text(json.dumps({"best": {"wer": 0.25}}))
    (tmp_path / "metrics.jsonl").write_text('{"kind": "train"}\n{"kind": "eval"}\n')
    run = TrainedRun(tmp_path, is_finished=True)
    assert run.scores["best"]["wer"] == 0.25
    assert [line["kind"] for line in run.metrics] == ["train", "eval"]
    assert (run.best, run.report) == (tmp_path / "best", tmp_path / "report.html")


def test_training_refuses_a_folder_that_holds_a_run(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("")
    with refused("--output_dir", value=tmp_path):
        accel_asr.api.train(load_config("quickstart", {"output_dir": str(tmp_path)}))
