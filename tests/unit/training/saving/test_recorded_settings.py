"""What a resume makes of settings that have changed: refused, put aside, or only said."""

import json
from dataclasses import replace
from typing import Any

import pytest

from accel_asr.config.settings import Config, DataConfig, HubConfig, ModelConfig, SourceConfig
from accel_asr.config.training_settings import TrainingConfig
from accel_asr.training.saving.recorded_settings import (
    _OF_SECTION,
    _OF_SETTING,
    RecordedSettings,
    change_of_length,
    differences,
    recorded,
)

TRAINING = TrainingConfig(learning_rate=1e-5, lr_scheduler_type="constant_with_warmup", warmup_steps=50)
PLAIN = recorded(
    Config(model=ModelConfig(language="en"), training=TRAINING).to_dict(), data__timestamps_probability=0.0
)
BEFORE = RecordedSettings(PLAIN, base_model="abc", validation_data=77, validation_utterances=10, last_step=12)


def after(last_step: int = 12, **changed: Any) -> RecordedSettings:
    """The same but for some settings, by their full names with `__` for the dot."""
    values = {name.replace("__", "."): value for name, value in changed.items()}
    return replace(BEFORE, settings={**PLAIN, **values}, last_step=last_step)


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("training.learning_rate", 2e-5, "training.learning_rate: 1e-05 -> 2e-05"),
        ("training.lr_scheduler_type", "linear", "training.lr_scheduler_type: constant_with_warmup -> linear"),
        ("training.warmup_steps", 3, "training.warmup_steps: 50 -> 3"),
        ("training.weight_decay", 0.1, "training.weight_decay: 0.0 -> 0.1"),
        ("training.max_grad_norm", 0.5, "training.max_grad_norm: 1.0 -> 0.5"),
        ("training.audio_context", "merged", "training.audio_context: full -> merged"),
        ("training.mixed_precision", "bf16", "training.mixed_precision: null -> bf16"),
        ("training.something_new", 1, "training.something_new: null -> 1"),
        ("model.language", "de", "model.language: en -> de"),
        ("model.task", "translate", "model.task: transcribe -> translate"),
        ("data.timestamps_probability", 0.5, "data.timestamps_probability: 0.0 -> 0.5"),
        ("data.long_labels", "cut", "data.long_labels: drop -> cut"),
        ("evaluation.normalizer", "none", "evaluation.normalizer: basic -> none"),
        ("evaluation.generation_max_length", 9, "evaluation.generation_max_length: 225 -> 9"),
        ("evaluation.num_beams", 2, "evaluation.num_beams: 1 -> 2"),
        ("evaluation.audio_context", "merged", "evaluation.audio_context: full -> merged"),
    ],
)
def test_what_the_result_depends_on_is_training_or_yardstick(name: str, value: Any, line: str) -> None:
    found = differences(BEFORE, after(**{name: value}))
    assert line in found.training + found.yardstick
    assert bool(found.yardstick) == name.startswith(("evaluation.", "model.language", "model.task"))
    assert bool(found.training) == (not name.startswith("evaluation."))
    assert found.harmless == found.data == []


@pytest.mark.parametrize(
    "name",
    ["training.dataloader_num_workers", "evaluation.eval_steps", "tracking.log_samples", "output_dir", "hub.license"],
)
def test_what_it_does_not_depend_on_is_harmless(name: str) -> None:
    found = differences(BEFORE, after(**{name: 7}))
    assert (found.training, found.yardstick, found.data) == ([], [], [])
    assert [line for line in found.harmless if line.startswith(f"{name}: ")]


def test_what_an_earlier_version_did_not_have_was_off() -> None:
    earlier = {name: value for name, value in PLAIN.items() if not name.endswith(("multipliers", "freeze"))}
    found = differences(replace(BEFORE, settings={**earlier, "model.freeze_encoder": True}), after())
    assert (found.training, found.harmless) == (["model.freeze: ['encoder'] -> []"], [])
    found = differences(replace(BEFORE, settings={**earlier, "model.freeze_encoder": False}), after())
    assert (found.training, found.yardstick, found.data, found.harmless) == ([], [], [], [])
    at_speech = {**PLAIN, "training.audio_context": "speech", "evaluation.full_context_margin": 0.02}
    found = differences(replace(BEFORE, settings=at_speech), after(training__audio_context="merged"))
    assert (found.training, found.harmless) == (["training.audio_context: speech -> merged"], [])
    changed = after(training__learning_rate_multipliers={"encoder": 0.1})
    assert len(differences(replace(BEFORE, settings=earlier), changed).training) == 1


def test_the_base_model_and_the_validation_data_are_compared_by_their_content() -> None:
    moved = after(model__name_or_path="#1", data__name_or_path="#2")
    found = differences(BEFORE, moved)
    assert (found.training, found.yardstick) == ([], [])
    assert (found.harmless, found.data) == (["model.name_or_path: another"], ["data.name_or_path: another"])
    found = differences(BEFORE, replace(BEFORE, base_model="def", validation_data=78, validation_utterances=3))
    assert ["abc -> def" in line for line in found.training] == [True]
    assert "10 utterances (checksum 77) -> 3 utterances (checksum 78)" in found.yardstick[0]


def test_of_a_section_inside_a_section_only_what_has_changed_is_said() -> None:
    text = {"lowercase": True, "replacements": {}}
    found = differences(after(data__text=text), after(data__text={**text, "lowercase": False}))
    assert found.data == ["data.text: {'lowercase': True} -> {'lowercase': False}"]


def test_rounding_is_said() -> None:
    found = differences(BEFORE, after(data__features_on_device=True, training__compile="encoder_layers"))
    assert found.training == []
    for line, change in zip(
        sorted(found.harmless),
        ["data.features_on_device: null -> true", "training.compile: none -> encoder_layers"],
        strict=True,
    ):
        assert change in line
        assert "not the same bit for bit" in line


def test_every_setting_has_a_rule_and_every_rule_a_setting() -> None:
    assert set(_OF_SETTING) <= set(PLAIN)
    assert {name.partition(".")[0] for name in PLAIN} == set(_OF_SECTION)


def test_addresses_and_paths_are_recorded_as_hashes_alone() -> None:
    address = "https://user:SECRET@host/a.tar?token=SECRET"
    data = DataConfig(name_or_path=address, sources=[SourceConfig(address)], cache_dir="/home/SECRET")
    flat = recorded(Config(data=data, output_dir="/SECRET", hub=HubConfig(hub_model_id="SECRET/x")).to_dict())
    assert "SECRET" not in json.dumps(flat)
    assert flat["data.name_or_path"] != recorded(Config().to_dict())["data.name_or_path"]


def test_the_same_length_and_schedule_say_nothing() -> None:
    assert change_of_length(BEFORE, BEFORE, step=4, skipped_steps=0) == []


def test_a_shorter_run_says_so_and_a_linear_schedule_falls_faster() -> None:
    linear = {"training__lr_scheduler_type": "linear", "training__warmup_steps": 2, "training__learning_rate": 1.0}
    lines = change_of_length(after(**linear), after(6, **linear), step=4, skipped_steps=1)
    assert lines[0] == "the run is made shorter: it ends at step 6, and was to end at 12"
    # (13 - 3) / 11 of the third step that counts, then (7 - 4) / 5
    assert "0.909 at step 4, 0.6 at step 5" in lines[1]
