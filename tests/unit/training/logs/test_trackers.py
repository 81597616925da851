"""Trackers start below the run folder, know the configuration, go on after a resume, and ask nobody anything."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from accel_asr.training.logs.trackers import flat, start_trackers, wandb_login_found
from tests.refusals import refused
from tests.unit.training.logs.stand_in_trackers import stand_in

CONFIGURATION = {
    "output_dir": "runs/x",
    "training": {"learning_rate": 1e-5, "max_steps": None, "seed": 42},
    "data": {"sources": [{"name_or_path": "a", "weight": None}], "text": {"lowercase": True}, "streaming": False},
}
WANDB_VARIABLES = (
    "WANDB_API_KEY",
    "WANDB_IDENTITY_TOKEN_FILE",
    "WANDB_MODE",
    "WANDB_BASE_URL",
    "WANDB_RUN_ID",
    "NETRC",
)

Start = Callable[..., list[str]]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "my_run").mkdir()
    return tmp_path / "my_run"


@pytest.fixture
def start(accelerator, run: Path) -> Iterator[Start]:
    """Start trackers as a new process would, and return what was said."""

    def start(*names: str, first_step: int = 1, rank: Any = None) -> list[str]:
        message: list[str] = []
        accelerator.trackers = []
        start_trackers(
            rank or accelerator,
            report_to=names,
            project_name="accel_asr",
            output_dir=run,
            first_step=first_step,
            configuration=CONFIGURATION,
            say=message.append,
        )
        return message

    yield start
    for tracker in accelerator.trackers:
        tracker.finish()


@pytest.fixture
def nobody_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*WANDB_VARIABLES, "TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("WANDB_CACHE_DIR", "WANDB_DATA_DIR", "TRACKIO_DIR"):
        monkeypatch.setenv(name, "")  # so that monkeypatch puts back what a tracker sets
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()


@pytest.fixture
def wandb(nobody_logged_in: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    with stand_in("wandb", tmp_path, monkeypatch) as module:
        yield module


@pytest.fixture
def trackio(nobody_logged_in: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    with stand_in("trackio", tmp_path, monkeypatch) as module:
        yield module


# -- TensorBoard


def read_back(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def test_tensorboard_has_the_hyperparameters_beside_the_curves(start: Start, accelerator, run: Path) -> None:
    start("tensorboard")
    accelerator.log({"eval/wer": 0.5}, step=3)
    assert len(list((run / "tensorboard").iterdir())) == 1  # one file, no folders named by the time
    events = read_back(run / "tensorboard")
    assert [(event.step, event.value) for event in events.Scalars("eval/wer")] == [(3, 0.5)]
    started = HParamsPluginData.FromString(events.PluginTagToContent("hparams")["_hparams_/session_start_info"])
    shown = {name: value.WhichOneof("kind") for name, value in started.session_start_info.hparams.items()}
    assert shown == {
        "output_dir": "string_value",
        "training.learning_rate": "number_value",
        "training.seed": "number_value",
        "data.sources": "string_value",
        "data.text": "string_value",
        "data.streaming": "number_value",
    }
    experiment = HParamsPluginData.FromString(events.PluginTagToContent("hparams")["_hparams_/experiment"])
    assert [metric.name.tag for metric in experiment.experiment.metric_infos] == ["eval/wer"]


def test_a_resumed_run_hides_what_the_killed_one_wrote_after_its_checkpoint(
    start: Start, accelerator, run: Path
) -> None:
    start("tensorboard")
    for step in (1, 2, 3):
        accelerator.log({"train/loss": 9.0}, step=step)
    start("tensorboard", first_step=3)
    accelerator.log({"train/loss": 1.0}, step=3)
    curve = [(event.step, event.value) for event in read_back(run / "tensorboard").Scalars("train/loss")]
    assert curve == [(1, 9.0), (2, 9.0), (3, 1.0)]


def test_nested_and_unset_values_are_made_flat() -> None:
    assert flat(CONFIGURATION) == {
        "output_dir": "runs/x",
        "training.learning_rate": 1e-5,
        "training.seed": 42,
        "data.sources": '[{"name_or_path": "a", "weight": null}]',
        "data.text": '{"lowercase": true}',
        "data.streaming": False,
    }


# -- Weights & Biases


def test_wandb_stays_on_this_machine_without_a_login(start: Start, wandb: ModuleType, accelerator, run: Path) -> None:
    message = start("wandb")
    assert message == [f"wandb: on this machine only; send it later with: wandb sync {run}/wandb/offline-run-*"]
    given = wandb.runs[0].given
    assert (given["mode"], given["project"], given["name"], given["dir"]) == (
        *("offline", "accel_asr", "my_run", str(run)),
    )
    assert given["config"] == CONFIGURATION
    assert given["settings"].named == {"console": "off", "quiet": True}
    for variable in ("WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        assert Path(os.environ[variable]).is_relative_to(run)
    accelerator.log({"eval/wer": 0.5}, step=3)
    assert wandb.runs[0].logged == [(3, {"eval/wer": 0.5})]


def test_wandb_goes_on_with_the_same_run(start: Start, wandb: ModuleType) -> None:
    start("wandb")
    start("wandb", first_step=11)
    assert wandb.runs[0].given["id"] == wandb.runs[1].given["id"] != ""
    assert wandb.runs[1].given["resume"] == "allow"


def test_wandb_is_left_to_itself_with_a_login(start: Start, wandb: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    assert start("wandb") == []
    assert wandb.runs[0].given["mode"] is None


def test_wandbs_own_mode_is_kept(start: Start, wandb: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    start("wandb")
    assert wandb.runs[0].given["mode"] == "disabled"


def test_wandb_online_without_a_login_is_refused_and_not_asked_about(
    start: Start, wandb: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    with refused("WANDB_MODE", value="online", remedy="run `wandb login`"):
        start("wandb")
    assert wandb.runs == []


def test_a_login_is_found_where_wandb_keeps_it(nobody_logged_in: None, tmp_path: Path, monkeypatch) -> None:
    assert not wandb_login_found()
    netrc = tmp_path / "home" / ".netrc"
    netrc.write_text("machine other.example\n  login user\n  password secret\n")
    netrc.chmod(0o600)
    assert not wandb_login_found()
    monkeypatch.setenv("WANDB_BASE_URL", "https://other.example")
    assert wandb_login_found()
    monkeypatch.setenv("NETRC", str(tmp_path / "elsewhere"))
    assert not wandb_login_found()
    netrc.rename(tmp_path / "elsewhere")
    assert wandb_login_found()
    (tmp_path / "elsewhere").write_text("machine nonsense nonsense")
    assert not wandb_login_found()


def test_a_tracker_that_does_not_start_is_one_message(
    start: Start, wandb: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)

    def refuse(**_: Any) -> None:
        raise PermissionError("the key is\nnot valid")

    monkeypatch.setattr(wandb, "init", refuse)
    with refused("--tracking.report_to", "PermissionError: the key is not valid", value="wandb", remedy="wandb login"):
        start("wandb")


# -- trackio


def test_trackio_stays_below_the_run_folder(start: Start, trackio: ModuleType, run: Path) -> None:
    message = start("trackio")
    command = f"TRACKIO_DIR={run}/trackio trackio show --project accel_asr"
    assert message == [f"trackio: on this machine only; look at it with: {command}"]
    assert os.environ["TRACKIO_DIR"] == str(run / "trackio")
    given = trackio.runs[0].given
    assert "space_id" not in given
    assert (given["project"], given["name"], given["resume"], given["embed"]) == ("accel_asr", "my_run", "never", False)
    assert given["config"] == flat(CONFIGURATION)
    start("trackio", first_step=11)
    assert trackio.runs[1].given["resume"] == "allow"


def test_trackios_own_variables_win_and_where_it_goes_is_said(
    start: Start, trackio: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKIO_SERVER_URL", "https://board.example/?write_token=secret")
    monkeypatch.setenv("TRACKIO_DIR", "/elsewhere")
    assert start("trackio") == ["trackio: sends this run to https://board.example/, as TRACKIO_SERVER_URL says"]
    assert os.environ["TRACKIO_DIR"] == "/elsewhere"


# -- ranks


def test_the_other_ranks_start_nothing(start: Start, wandb: ModuleType, run: Path) -> None:
    rank = SimpleNamespace(is_main_process=False, trackers=[])
    assert start("tensorboard", "wandb", rank=rank) == []
    assert rank.trackers == []
    assert list(run.iterdir()) == []
