"""The settings that a plan adds lead to the way that it probed."""

from typing import Any

import pytest
import yaml

from accel_asr.config.command_line import parse_config
from accel_asr.config.settings import Config
from accel_asr.planning.ways import ways_of

DATA = ["--data.name_or_path", "quickstart", "--data.train_rows", "563", "--model.name_or_path", "quickstart"]


def arguments(settings: dict[str, dict[str, Any]]) -> list[str]:
    flat = {f"--{section}.{name}": value for section, values in settings.items() for name, value in values.items()}
    return [f"{flag}={yaml.safe_dump(value, default_flow_style=True).splitlines()[0]}" for flag, value in flat.items()]


def kind(config: Config) -> tuple[object, ...]:
    return (
        config.model.freeze,
        config.model.frozen_dtype,
        config.lora.enabled,
        config.training.learning_rate,
        config.training.audio_context,
    )


@pytest.mark.parametrize(
    "own",
    [
        [],
        ["--training.learning_rate=1e-4"],
        ["--model.freeze=[encoder]"],
        ["--lora.enabled=true", "--training.learning_rate=1e-3"],
    ],
)
def test_the_settings_to_add_make_the_run_train_as_the_probe_did(own: list[str]) -> None:
    config = parse_config([*DATA, *own])
    ways = [*ways_of(config)]
    assert [way.name for way in ways] == ["full", "adapters", "encoder", "merged"]
    for way in ways:
        assert kind(parse_config([*DATA, *own, *arguments(way.settings)])) == kind(way.config), way.name


def test_a_plain_run_needs_nothing_added_to_train_all_weights() -> None:
    assert next(ways_of(parse_config(DATA))).settings == {}
