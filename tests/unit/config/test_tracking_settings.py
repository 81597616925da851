"""Settings of the trackers are checked before anything heavy is imported."""

import subprocess
import sys
from pathlib import Path

import pytest

from accel_asr.config import cross_checks as config_checks
from accel_asr.config.command_line import parse_config
from accel_asr.errors import UserError


def refusal(*arguments: str) -> list[str]:
    with pytest.raises(UserError) as caught:
        parse_config(list(arguments))
    return str(caught.value).splitlines()


@pytest.fixture
def only_tensorboard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is installed here."""
    there = config_checks.find_spec
    extras = ("wandb", "trackio")
    monkeypatch.setattr(config_checks, "find_spec", lambda name: None if name in extras else there(name))


def test_missing_packages_are_named_with_their_extras(only_tensorboard: None) -> None:
    assert refusal("--tracking.report_to", "[tensorboard, wandb, trackio]") == [
        "tracking.report_to: wandb is not installed; pip install 'accel-asr[wandb]', or leave it out",
        "tracking.report_to: trackio is not installed; pip install 'accel-asr[trackio]', or leave it out",
    ]


def test_a_folder_that_wandb_left_behind_is_not_the_package(tmp_path: Path) -> None:
    (tmp_path / "wandb" / "offline-run-1").mkdir(parents=True)
    program = (
        "import importlib.util, sys; sys.path[:] = [path for path in sys.path if 'site-packages' not in path]\n"
        "from accel_asr.config.settings import TrackingConfig\n"
        "from accel_asr.config.cross_checks import _tracking_problems\n"
        "assert importlib.util.find_spec('wandb') is not None  # the folder\n"
        "print(_tracking_problems(TrackingConfig(report_to=['wandb'])))"
    )
    environment = {"PYTHONPATH": f"{Path(config_checks.__file__).parents[2]}"}
    child = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert "wandb is not installed" in child.stdout


def test_an_unknown_tracker_is_told_the_known_ones() -> None:
    (told,) = refusal("--tracking.report_to", "[mlflow]")
    assert told.startswith("tracking.report_to: ")
    assert all(name in told for name in ("'mlflow'", "'tensorboard'", "'trackio'", "'wandb'"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--tracking.report_to", "[tensorboard, tensorboard]"], "names one twice; give each once"),
        (["--tracking.project_name", "a/b"], "tracking.project_name: 'a/b' does not fit everywhere"),
        (["--tracking.project_name", ""], "tracking.project_name: '' does not fit everywhere"),
        (
            ["--tracking.log_samples", "-1"],
            "tracking.log_samples: -1 is out of range; give a finite number of at least 0",
        ),
    ],
)
def test_what_does_not_fit_is_one_message(arguments: list[str], told: str) -> None:
    (line,) = refusal(*arguments)
    assert told in line
