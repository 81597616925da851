"""Ranges and combinations of settings, each refused with setting, value and remedy."""

import dataclasses
import math
from typing import Any

import pytest

from accel_asr.config.cross_checks import check_config
from accel_asr.config.settings import Config, DataConfig, HubConfig, ModelConfig, TextConfig
from accel_asr.errors import UserError

GOOD = Config(data=DataConfig(name_or_path="quickstart", train_rows=450))


def with_setting(dotted_name: str, value: Any, config: Config = GOOD) -> Config:
    section, name = dotted_name.split(".")
    changed = dataclasses.replace(getattr(config, section), **{name: value})
    return dataclasses.replace(config, **{section: changed})


def problems(config: Config) -> list[str]:
    with pytest.raises(UserError) as caught:
        check_config(config)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("training.learning_rate", -1e-5),
        ("training.learning_rate", math.nan),
        ("training.learning_rate", math.inf),
        ("training.warmup_steps", -1),
        ("training.num_train_epochs", 0),
        ("training.max_steps", 0),
        ("training.per_device_train_batch_size", 0),
        ("training.gradient_accumulation_steps", 0),
        ("training.dataloader_num_workers", -1),
        ("training.weight_decay", -0.1),
        ("training.weight_decay", math.nan),
        ("training.max_grad_norm", -1.0),
        ("training.max_grad_norm", math.inf),
        ("training.seed", -1),
        ("evaluation.eval_steps", 0),
        ("evaluation.per_device_eval_batch_size", 0),
        ("evaluation.generation_max_length", 0),
        ("evaluation.num_beams", 0),
        ("checkpoint.save_steps", 0),
        ("checkpoint.save_total_limit", 0),
        ("tracking.logging_steps", 0),
        ("data.train_rows", 0),
        ("data.channel", -1),
        ("data.max_bad_fraction", 1.01),
        ("data.max_bad_fraction", -0.01),
        ("data.max_bad_fraction", math.nan),
        ("data.timestamps_probability", 2.0),
        ("data.timestamps_probability", math.nan),
        ("data.max_duration_s", 0.0),
        ("data.max_duration_s", -30.0),
        ("data.max_duration_s", math.nan),
    ],
)
def test_a_value_out_of_range_is_named_with_the_remedy(name: str, value: float) -> None:
    (problem,) = problems(with_setting(name, value))
    assert problem.startswith(f"{name}: {value} is out of range; give ")


@pytest.mark.parametrize("value", [0, 1, -0.1, 1.5, math.nan])
def test_a_held_out_share_is_strictly_between_none_and_all(value: float) -> None:
    data = DataConfig(name_or_path="quickstart", eval_fraction=value)
    (problem,) = problems(Config(data=data))
    assert problem.startswith(f"data.eval_fraction: {value} is out of range; give a share")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("training.learning_rate", 0.0),
        ("training.warmup_steps", 0),
        ("training.max_grad_norm", 0.0),
        ("training.max_steps", 1),
        ("training.max_steps", None),
        ("training.dataloader_num_workers", 0),
        ("evaluation.eval_steps", None),
        ("data.max_bad_fraction", 0.0),
        ("data.max_bad_fraction", 1.0),
        ("data.timestamps_probability", 1.0),
        ("data.max_duration_s", 0.5),
        ("data.channel", 0),
    ],
)
def test_the_ends_of_the_ranges_are_let_pass(name: str, value: float | None) -> None:
    check_config(with_setting(name, value))


@pytest.mark.parametrize("pairs", [{"": "x"}, {3: "c"}, {None: "x"}, {"a": None}, {"a": 1}, {True: "x"}])
def test_tables_of_texts_hold_texts(pairs: dict[Any, Any]) -> None:
    data = DataConfig(name_or_path="quickstart", train_rows=450, text=TextConfig(replacements=pairs))
    for config, setting in (
        (Config(data=data), "data.text.replacements"),
        (
            Config(model=ModelConfig(language_stand_ins=pairs), data=dataclasses.replace(data, text=TextConfig())),
            "model.language_stand_ins",
        ),
    ):
        (problem,) = problems(config)
        ((old, new),) = pairs.items()
        assert problem.startswith(f"{setting}: {{{old!r}: {new!r}}}")
        assert ("leave it out" if old == "" else "in quotes") in problem


def test_exactly_one_way_to_a_validation_set() -> None:
    (none,) = problems(Config(data=DataConfig(name_or_path="quickstart")))
    assert "none of them is set" in none
    assert "set exactly one" in none
    (two,) = problems(Config(data=DataConfig(name_or_path="quickstart", eval_split="test", train_rows=450)))
    assert "data.eval_split=test and data.train_rows=450" in two
    of_its_own = {"eval_name_or_path": "dev.tsv"}
    (both,) = problems(Config(data=DataConfig(name_or_path="quickstart", eval_rows=5, **of_its_own)))
    assert "data.eval_name_or_path=dev.tsv and data.eval_rows=5" in both
    ways = ({"eval_split": "test"}, {"train_rows": 450}, {"eval_fraction": 0.1}, {"eval_rows": 5}, of_its_own)
    for way in (*ways, {**of_its_own, "eval_split": "dev"}):
        check_config(Config(data=DataConfig(name_or_path="quickstart", **way)))  # type: ignore[arg-type]


def test_a_held_out_count_is_at_least_one() -> None:
    (problem,) = problems(Config(data=DataConfig(name_or_path="quickstart", eval_rows=0)))
    assert problem.startswith("data.eval_rows: 0 is out of range; give a finite number of at least 1")


@pytest.mark.parametrize("way", [{"train_rows": 450}])
def test_groups_go_with_holding_out_by_chance(way: dict[str, Any]) -> None:
    (problem,) = problems(Config(data=DataConfig(name_or_path="quickstart", group_column="speaker", **way)))
    (name, value) = next(iter(way.items()))
    assert problem.startswith(f"data.group_column: 'speaker' does not go with data.{name}={value}, ")
    assert "set data.eval_fraction or data.eval_rows" in problem
    for other in ({"eval_fraction": 0.1}, {"eval_rows": 5}, {"eval_split": "test"}, {"eval_name_or_path": "dev.tsv"}):
        check_config(Config(data=DataConfig(name_or_path="quickstart", group_column="speaker", **other)))


def test_a_run_without_data_is_told_what_to_give() -> None:
    data, validation = problems(Config())
    assert data.startswith("data.name_or_path is not set; give ")
    assert "data.eval_fraction" in validation
    assert "set exactly one" in validation


@pytest.mark.parametrize("name", ["mine", "a/b/c"])
def test_a_hub_name_has_a_user_and_a_name(name: str) -> None:
    (problem,) = problems(dataclasses.replace(GOOD, hub=HubConfig(push_to_hub=True, hub_model_id=name)))
    assert problem == f"hub.hub_model_id: {name!r} is not a Hub name; give user/name"


@pytest.mark.parametrize("name", ["/", "user/", "/name"])
def test_neither_half_of_a_hub_name_may_be_missing(name: str) -> None:
    (problem,) = problems(dataclasses.replace(GOOD, hub=HubConfig(push_to_hub=True, hub_model_id=name)))
    assert problem == f"hub.hub_model_id: {name!r} is not a Hub name; give user/name"


def test_pushing_needs_a_name() -> None:
    (problem,) = problems(dataclasses.replace(GOOD, hub=HubConfig(push_to_hub=True)))
    assert problem == "hub.push_to_hub: true needs a name; add --hub.hub_model_id user/name"


def test_all_problems_are_told_at_once() -> None:
    config = with_setting("training.max_steps", 0)
    config = with_setting("data.max_bad_fraction", 2.0, config)
    config = with_setting("data.eval_split", "test", config)
    config = with_setting("hub.push_to_hub", True, config)
    told = problems(config)
    assert len(told) == 4
    named = ("training.max_steps: 0", "data.max_bad_fraction: 2.0", "data.train_rows=450", "hub.push_to_hub")
    assert all(any(name in line for line in told) for name in named), told


def test_a_configuration_can_not_be_changed_after_it_was_checked() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        GOOD.output_dir = "elsewhere"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        GOOD.training.seed = 1  # type: ignore[misc]


def test_the_dictionary_is_plain_and_in_the_order_of_the_sections() -> None:
    sections = ["output_dir", "model", "data", "training", "evaluation", "checkpoint", "tracking", "hub"]
    content = GOOD.to_dict()
    assert list(content) == sections
    assert content["data"]["train_rows"] == 450
    assert content["tracking"]["report_to"] == ["tensorboard"]


# -- packing


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("training.group_by_length", True),
        ("training.batch_seconds", 60.0),
        ("training.audio_context", "speech"),
    ],
)
def test_what_speaks_of_one_utterance_in_a_window_does_not_go_with_packing(name: str, value: Any) -> None:
    packed = with_setting("training.pack", True)
    (problem,) = problems(with_setting(name, value, packed))
    assert problem.startswith(f"{name}: {value} does not go with training.pack, which ")
    assert problem.endswith("; leave out one of them")
    check_config(with_setting(name, value))
    check_config(with_setting("data.timestamps_probability", 0.5, packed))


def test_beams_are_not_compiled() -> None:
    compiled = with_setting("evaluation.compile_decoding", True)
    check_config(compiled)
    (problem,) = problems(with_setting("evaluation.num_beams", 2, compiled))
    assert problem.startswith("evaluation.num_beams: 2 does not go with evaluation.compile_decoding: ")
    assert problem.endswith("; leave out one of the two")
    check_config(with_setting("evaluation.num_beams", 2))


def test_encoder_outputs_are_kept_of_a_frozen_encoder_only() -> None:
    frozen = with_setting("model.freeze_encoder", True)
    cached = dataclasses.replace(frozen, model=dataclasses.replace(frozen.model, cache_encoder_outputs=True))
    check_config(cached)
    (problem,) = problems(with_setting("model.cache_encoder_outputs", True))
    assert problem.startswith("model.cache_encoder_outputs: true needs an encoder that stays as it is; add ")


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("data", "streaming", True),
        ("training", "audio_context", "speech"),
        ("training", "pack", True),
    ],
)
def test_encoder_outputs_are_not_kept_with_what_changes_or_doubles_them(section: str, name: str, value: Any) -> None:
    base = with_setting("model.freeze_encoder", True)
    cached = dataclasses.replace(base, model=dataclasses.replace(base.model, cache_encoder_outputs=True))
    changed = dataclasses.replace(getattr(cached, section), **{name: value})
    told = problems(dataclasses.replace(cached, **{section: changed}))
    assert any(
        problem.startswith(f"{section}.{name}: {value} does not go with model.cache_encoder_outputs")
        for problem in told
    )
