"""Combinations of settings, each refused with setting, value and remedy."""

import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any, get_args

import pytest

from accel_asr.config import cross_checks, lora_settings
from accel_asr.config.augmentation_settings import EFFECT_PROBABILITIES, AugmentConfig
from accel_asr.config.cross_checks import check_config
from accel_asr.config.fallback_settings import Fallback
from accel_asr.config.guard_settings import GuardConfig
from accel_asr.config.settings import Config, DataConfig, SourceConfig, TextConfig
from accel_asr.config.training_settings import SchedulerType
from accel_asr.errors import UserError
from tests.refusals import refused

GOOD = Config(data=DataConfig(name_or_path="quickstart", train_rows=450))


def changed(settings: dict[str, Any], config: Config = GOOD) -> Config:
    for dotted_name, value in settings.items():
        section, name = dotted_name.split(".")
        config = replace(config, **{section: replace(getattr(config, section), **{name: value})})
    return config


def with_data(**settings: Any) -> Config:
    return Config(data=DataConfig(**{"name_or_path": "quickstart", **settings}))


# -- the validation set


WAYS = [
    {"eval_split": "test"},
    {"train_rows": 450},
    {"eval_fraction": 0.1},
    {"eval_rows": 5},
    {"eval_name_or_path": "dev.tsv"},
    {"eval_name_or_path": "dev.tsv", "eval_split": "dev"},
]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_there_is_exactly_one_way_to_a_validation_set(way: dict[str, Any]) -> None:
    check_config(with_data(**way))
    with refused("--data.eval_fraction", "--data.eval_fraction 0.1", value=None, remedy="exactly one"):
        check_config(with_data())
    other = {"eval_rows": 7} if "eval_rows" not in way else {"train_rows": 7}
    name = next(iter(way)) if "train_rows" not in other else "train_rows"
    with refused(f"--data.{name}", "does not go with --data.eval_rows", remedy="exactly one"):
        check_config(with_data(**way, **other))


def test_groups_go_with_rows_that_are_held_out_at_random() -> None:
    with refused("--data.group_column", "--data.train_rows 450", value="speaker", remedy="--data.eval_fraction"):
        check_config(with_data(group_column="speaker", train_rows=450))
    for way in WAYS:
        if "train_rows" not in way:
            check_config(with_data(group_column="speaker", **way))


@pytest.mark.parametrize("value", [0, 1, -0.1, 1.5, float("nan")])
def test_a_held_out_share_is_strictly_between_none_and_all(value: float) -> None:
    with refused("--data.eval_fraction", "out of range", remedy="a share between 0 and 1"):
        check_config(with_data(eval_fraction=value))


def test_a_run_without_data_is_asked_for_all_that_is_missing_at_once() -> None:
    with pytest.raises(UserError) as caught:
        check_config(Config())
    assert [error.setting for error in caught.value.errors] == ["--data.name_or_path", "--data.eval_fraction"]


# -- sources


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        ([SourceConfig("a"), SourceConfig()], "source 2 has no name_or_path"),
        ([SourceConfig("a", weight=1.0), SourceConfig("b")], "the weights are [1.0, None]"),
        ([SourceConfig("a", weight=0.0)], "the weights [0.0] are out of range"),
        ([SourceConfig("a", weight=2e6)], "the weights [2000000.0] are out of range"),
        ([SourceConfig("a", validate=False)], "validate is false for all of them"),
    ],
)
def test_what_is_wrong_with_a_list_of_sources(sources: list[SourceConfig], words: str) -> None:
    with refused("--data.sources", words):
        check_config(with_data(name_or_path=None, sources=sources, eval_rows=3))


def test_sources_take_the_place_of_the_one_source_and_say_how_they_are_validated_once() -> None:
    sources = [SourceConfig("a", eval_split="dev"), SourceConfig("b")]
    with refused("--data.name_or_path", "--data.sources", value="quickstart"):
        check_config(with_data(sources=sources, eval_split="test"))
    with refused("--data.eval_rows", "--data.sources: eval_split dev", value=3):
        check_config(with_data(name_or_path=None, sources=sources, eval_rows=3))
    check_config(with_data(name_or_path=None, sources=sources, eval_split="test"))


# -- tables, nulls, addresses without their secret part


@pytest.mark.parametrize("pairs", [{"": "x"}, {3: "c"}, {None: "x"}, {"a": None}, {"a": 1}, {True: "x"}])
def test_tables_of_texts_hold_texts(pairs: dict[Any, Any]) -> None:
    remedy = "leave it out" if "" in pairs else "in quotes"
    with refused("--data.text.replacements", value=pairs, remedy=remedy):
        check_config(changed({"data.text": TextConfig(replacements=pairs)}))
    with refused("--model.language_stand_ins", value=pairs, remedy=remedy):
        check_config(changed({"model.language_stand_ins": pairs}))


def test_null_is_for_what_may_be_null() -> None:
    with refused("--model.name_or_path", "null does not fit"):
        check_config(changed({"model.name_or_path": None}))
    with refused("--data.text.lowercase", "null does not fit"):
        check_config(changed({"data.text": TextConfig(lowercase=None)}))  # type: ignore[arg-type]
    sources = [SourceConfig("a"), SourceConfig("b", validate=None)]  # type: ignore[arg-type]
    with refused("--data.sources: validate of source 2", "null does not fit"):
        check_config(with_data(name_or_path=None, sources=sources, eval_rows=3))


def test_an_address_out_of_a_runs_config_is_asked_for_again() -> None:
    hidden = "https://(hidden)@host/a.csv"
    with refused("--data.name_or_path", value=hidden, remedy="again by --data.name_or_path"):
        check_config(changed({"data.name_or_path": hidden}))


# -- what does not go together


STREAM = {
    "data.streaming": True,
    "data.train_rows": None,
    "data.eval_rows": 9,
    "training.max_steps": 9,
    "evaluation.eval_steps": 3,
}
CACHED = {"model.cache_encoder_outputs": True, "model.freeze": ["encoder"]}


@pytest.mark.parametrize(
    ("settings", "name", "value", "other"),
    [
        (STREAM, "data.timestamps_probability", 0.5, "data.streaming"),
        (STREAM, "data.group_column", "speaker", "data.streaming"),
        (STREAM, "training.group_by_length", True, "data.streaming"),
        (STREAM, "training.batch_seconds", 60.0, "data.streaming"),
        (STREAM, "training.pack", True, "data.streaming"),
        ({"training.pack": True}, "training.group_by_length", True, "training.pack"),
        ({"training.pack": True}, "training.batch_seconds", 60.0, "training.pack"),
        ({"training.batch_seconds": 60.0}, "training.batch_size", "auto", "training.batch_seconds"),
        ({"training.batch_seconds": 60.0}, "training.global_batch_size", 32, "training.batch_seconds"),
        (CACHED, "training.audio_context", "merged", "model.cache_encoder_outputs"),
        (CACHED, "training.pack", True, "model.cache_encoder_outputs"),
        (CACHED, "training.compile", "encoder_layers", "model.cache_encoder_outputs"),
        ({**STREAM, "model.freeze": ["encoder"]}, "model.cache_encoder_outputs", True, "model.cache_encoder_outputs"),
        ({"evaluation.compile_decoding": True}, "evaluation.num_beams", 2, "evaluation.compile_decoding"),
    ],
)
def test_what_does_not_go_together(settings: dict[str, Any], name: str, value: Any, other: str) -> None:
    check_config(changed(settings))
    at_fault = name if name != "model.cache_encoder_outputs" else "data.streaming"
    with refused(f"--{at_fault}", f"does not go with --{other}", value=value, remedy="leave"):
        check_config(changed({**settings, name: value}))
    if name not in ("data.group_column", "model.cache_encoder_outputs"):  # these need another setting, too
        check_config(changed({name: value}))


@pytest.mark.parametrize(
    ("settings", "at_fault", "value"),
    [
        ({}, "model.frozen_dtype", "bfloat16"),
        ({"model.freeze": ["encoder"], "model.cache_encoder_outputs": True}, "model.cache_encoder_outputs", True),
        ({"lora.enabled": True, "lora.use_dora": True}, "lora.use_dora", True),
    ],
)
def test_what_frozen_weights_in_bf16_do_not_go_with(settings: dict[str, Any], at_fault: str, value: Any) -> None:
    check_config(changed(settings))
    with refused(f"--{at_fault}", value=value, remedy="leave"):
        check_config(changed({**settings, "model.frozen_dtype": "bfloat16"}))


def test_dora_is_not_interpolated() -> None:
    dora = {"lora.enabled": True, "lora.use_dora": True}
    check_config(changed({"lora.enabled": True, "checkpoint.interpolate": True}))
    with refused("--lora.use_dora", "checkpoint.interpolate", value=True, remedy="leave out"):
        check_config(changed({**dora, "checkpoint.interpolate": True}))


@pytest.mark.parametrize(
    ("settings", "name", "remedy"),
    [
        ({**STREAM, "training.max_steps": None}, "training.max_steps", "a number of optimizer steps"),
        ({**STREAM, "evaluation.eval_steps": None}, "evaluation.eval_steps", "a number of optimizer steps"),
        ({"model.cache_encoder_outputs": True}, "model.cache_encoder_outputs", "--model.freeze [encoder]"),
        (
            {"training.early_stopping_threshold": 0.01},
            "training.early_stopping_threshold",
            "--training.early_stopping_patience",
        ),
        ({"hub.push_to_hub": True}, "hub.push_to_hub", "--hub.hub_model_id user/name"),
        ({"hub.push_adapter": True}, "hub.push_adapter", "--lora.enabled true"),
        *(
            ({"hub.push_to_hub": True, "hub.hub_model_id": name}, "hub.hub_model_id", "give user/name")
            for name in ("mine", "a/b/c", "/", "user/", "/name")
        ),
        ({"tracking.report_to": ["tensorboard"] * 2}, "tracking.report_to", "give each once"),
        ({"tracking.project_name": "a/b"}, "tracking.project_name", "letters, digits"),
        ({"tracking.project_name": ""}, "tracking.project_name", "letters, digits"),
    ],
)
def test_what_a_setting_needs(settings: dict[str, Any], name: str, remedy: str) -> None:
    with refused(f"--{name}", remedy=remedy):
        check_config(changed(settings))


def test_no_more_checkpoints_are_averaged_than_are_kept() -> None:
    check_config(changed({"checkpoint.average_last": 2}))
    check_config(changed({"checkpoint.average_last": 5, "checkpoint.save_total_limit": 5}))
    with refused("--checkpoint.save_total_limit", value=2, remedy="give 5, or lower --checkpoint.average_last"):
        check_config(changed({"checkpoint.average_last": 5}))


def test_all_problems_are_reported_at_once() -> None:
    wrong = {"training.max_steps": 0, "data.max_bad_fraction": 2.0, "data.eval_split": "x", "hub.push_to_hub": True}
    with pytest.raises(UserError) as caught:
        check_config(changed(wrong))
    assert {error.setting for error in caught.value.errors} == {f"--{name}" for name in wrong}


# -- trackers


def test_trackers_that_are_not_installed_are_named_with_their_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = cross_checks.find_spec
    extras = ("wandb", "trackio")
    monkeypatch.setattr(cross_checks, "find_spec", lambda name: None if name in extras else installed(name))
    with pytest.raises(UserError) as caught:
        check_config(changed({"tracking.report_to": ["tensorboard", *extras]}))
    for error, name in zip(caught.value.errors, extras, strict=True):
        assert (error.setting, name in error.problem) == ("--tracking.report_to", True)
        assert f"accel-asr[{name}]" in str(error.remedy)


def test_a_folder_that_wandb_left_behind_is_not_the_package(tmp_path: Path) -> None:
    (tmp_path / "wandb" / "offline-run-1").mkdir(parents=True)
    program = (
        "import importlib.util, sys; sys.path[:] = [path for path in sys.path if 'site-packages' not in path]\n"
        "from accel_asr.config.settings import TrackingConfig\n"
        "from accel_asr.config.cross_checks import _tracking_errors\n"
        "assert importlib.util.find_spec('wandb') is not None  # the folder\n"
        "print(*_tracking_errors(TrackingConfig(report_to=['wandb'])))"
    )
    environment = {"PYTHONPATH": f"{Path(cross_checks.__file__).parents[2]}"}
    child = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert "wandb is not installed" in child.stdout


# -- adapters


@pytest.mark.parametrize(
    ("name", "value"),
    [("r", 8), ("lora_dropout", 0.0), ("use_dora", True), ("target_modules", ["fc1"]), ("modules_to_save", ["conv1"])],
)
def test_a_setting_of_adapters_needs_adapters(name: str, value: Any) -> None:
    check_config(changed({"lora.enabled": True, f"lora.{name}": value}))
    with refused(f"--lora.{name}", "does nothing", value=value, remedy="--lora.enabled true"):
        check_config(changed({f"lora.{name}": value}))


def test_adapters_of_no_layer_are_none() -> None:
    with refused("--lora.target_modules", "no layer", value=[], remedy="all-linear"):
        check_config(changed({"lora.enabled": True, "lora.target_modules": []}))


def test_adapters_need_peft(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lora_settings, "find_spec", lambda name: None)
    with refused("--lora.enabled", "peft", remedy="pip install 'accel-asr[lora]'"):
        check_config(changed({"lora.enabled": True}))


# -- the configuration itself


def test_a_configuration_can_not_be_changed_after_it_was_checked() -> None:
    with pytest.raises(FrozenInstanceError):
        GOOD.output_dir = "elsewhere"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        GOOD.training.seed = 1  # type: ignore[misc]


def test_the_dictionary_is_plain_and_in_the_order_of_the_sections() -> None:
    content = GOOD.to_dict()
    assert list(content) == [
        *("output_dir", "model", "data", "training", "lora", "augment", "spec_augment"),
        *("evaluation", "checkpoint", "tracking", "hub"),
    ]
    assert content["data"]["train_rows"] == 450
    assert content["tracking"]["report_to"] == ["tensorboard"]


# -- parts of the model


@pytest.mark.parametrize(
    ("multipliers", "words"),
    [
        ({"head": 0.1}, ["no such part", "encoder, decoder, embeddings"]),
        ({"encoder": -0.1}, ["out of range"]),
        ({"encoder": float("nan")}, ["out of range"]),
        ({"encoder": 0, "decoder": 0}, ["nothing to train"]),
    ],
    ids=str,
)
def test_a_rate_multiplier_is_of_a_known_part_and_not_negative(multipliers: dict[str, float], words: list[str]) -> None:
    check_config(changed({"training.learning_rate_multipliers": {"encoder": 0.1, "embeddings": 0}}))
    with refused("--training.learning_rate_multipliers", *words):
        check_config(changed({"training.learning_rate_multipliers": multipliers}))


@pytest.mark.parametrize(
    ("freeze", "words"),
    [
        (["head"], ["no such part", "encoder, decoder, embeddings and encoder_layers: N"]),
        ([{"layers": 2}], ["no part"]),
        ([{"encoder_layers": 0}], ["out of range", "at least 1"]),
        (["encoder", "decoder"], ["nothing to train"]),
        (["encoder", {"encoder_layers": 1}], ["part of encoder"]),
        (["decoder", "embeddings"], ["part of decoder"]),
        (["encoder", "encoder"], ["twice"]),
    ],
    ids=str,
)
def test_known_parts_are_frozen_once_and_not_all_of_them(freeze: list[Any], words: list[str]) -> None:
    for good in (["encoder"], ["decoder"], [{"encoder_layers": 2}, "embeddings"], ["encoder", "embeddings"]):
        check_config(changed({"model.freeze": good}))
    with refused("--model.freeze", *words):
        check_config(changed({"model.freeze": freeze}))


def test_a_frozen_part_has_no_rate() -> None:
    frozen = {"model.freeze": ["encoder"]}
    for multipliers, words in (({"encoder": 0.1}, "is frozen"), ({"decoder": 0}, "nothing to train")):
        with refused("--training.learning_rate_multipliers", words):
            check_config(changed({**frozen, "training.learning_rate_multipliers": multipliers}))
    check_config(changed({**frozen, "training.learning_rate_multipliers": {"embeddings": 0.1}}))


# -- sections that are off unless enabled


def test_a_value_of_spec_augment_does_nothing_unless_it_is_enabled() -> None:
    with refused("--spec_augment.mask_time_prob", value=0.5, remedy="--spec_augment.enabled true"):
        check_config(changed({"spec_augment.mask_time_prob": 0.5}))
    check_config(changed({"spec_augment.mask_time_prob": 0.5, "spec_augment.enabled": True}))


def test_cached_encoder_outputs_are_not_masked() -> None:
    cached = {"model.cache_encoder_outputs": True, "model.freeze": ["encoder"], "spec_augment.enabled": True}
    with refused("--spec_augment.enabled", "--model.cache_encoder_outputs", value=True):
        check_config(changed(cached))


# -- schedules


@pytest.mark.parametrize(
    ("scheduler_type", "arguments", "words"),
    [
        ("linear", {"num_cycles": 1}, ["linear takes none"]),
        ("cosine", {"min_lr": 1e-6}, ["cosine takes num_cycles"]),
        ("cosine", {"num_cycles": 0}, ["does not fit", "above 0"]),
        ("cosine", {"num_cycles": "many"}, ["does not fit", "above 0"]),
        ("cosine_with_min_lr", {}, ["needs one of min_lr and min_lr_rate"]),
        ("cosine_with_min_lr", {"min_lr": 1e-6, "min_lr_rate": 0.1}, ["needs one of"]),
        ("cosine_with_min_lr", {"min_lr_rate": 1.5}, ["does not fit", "share"]),
        ("warmup_stable_decay", {}, ["needs num_decay_steps"]),
        ("warmup_stable_decay", {"num_decay_steps": 0.1}, ["does not fit", "whole number"]),
        ("warmup_stable_decay", {"num_decay_steps": 5, "decay_type": "steep"}, ["does not fit", "1-sqrt"]),
        ("polynomial", {"power": float("inf")}, ["does not fit", "finite"]),
        ("polynomial", {"power": 10**400}, ["does not fit", "finite"]),  # Python's whole numbers outgrow its floats
        ("inverse_sqrt", {"timescale": -1}, ["does not fit", "at least 1"]),
        ("inverse_sqrt", {"timescale": 10**400}, ["does not fit"]),
        ("inverse_sqrt", {"timescale": True}, ["does not fit", "whole number"]),
    ],
)
def test_a_schedule_takes_its_own_arguments_only(
    scheduler_type: str, arguments: dict[str, Any], words: list[str]
) -> None:
    with refused("--training.lr_scheduler_kwargs", *words):
        check_config(changed({"training.lr_scheduler_type": scheduler_type, "training.lr_scheduler_kwargs": arguments}))


def test_each_schedule_is_taken_with_what_it_needs() -> None:
    needed = {"cosine_with_min_lr": {"min_lr": 1e-6}, "warmup_stable_decay": {"num_decay_steps": 9}}
    for scheduler_type in get_args(SchedulerType):
        arguments = needed.get(scheduler_type, {})
        check_config(changed({"training.lr_scheduler_type": scheduler_type, "training.lr_scheduler_kwargs": arguments}))


# -- augmentation


@pytest.mark.parametrize(
    ("augment", "setting", "words"),
    [
        ({"noise_prob": 0.5}, "--augment.noise_dir", ["not set", "noise_prob"]),
        ({"min_rate": 1.2}, "--augment.max_rate", ["below --augment.min_rate 1.2"]),
        ({"min_snr_db": 10.0, "max_snr_db": 5.0}, "--augment.max_snr_db", ["below", "10"]),
        ({"min_bitrate": 128}, "--augment.max_bitrate", ["below", "128"]),
        ({"speed_prob": 1.5}, "--augment.speed_prob", ["out of range", "share"]),
    ],
    ids=str,
)
def test_an_effect_has_what_it_needs_and_ranges_have_two_ends(
    augment: dict[str, Any], setting: str, words: list[str]
) -> None:
    with refused(setting, *words, remedy="give"):
        check_config(replace(GOOD, augment=AugmentConfig(**augment)))


@pytest.mark.parametrize(
    ("setting", "value", "probability"),
    [
        ("noise_dir", "noise", "noise_prob"),
        ("max_rate", 1.5, "speed_prob"),
        ("max_snr_db", 40.0, "noise_prob"),
        ("max_bitrate", 128, "mp3_prob"),
        ("max_shift_s", 2.0, "shift_prob"),
    ],
)
def test_a_setting_of_an_effect_does_nothing_without_its_probability(
    setting: str, value: object, probability: str
) -> None:
    others: dict[str, Any] = dict.fromkeys(EFFECT_PROBABILITIES, 0.5) | {"noise_dir": "noise", setting: value}
    for given in ({setting: value}, others | {probability: 0.0}):
        with refused(f"--augment.{setting}", value=value, remedy=f"--augment.{probability}"):
            check_config(replace(GOOD, augment=AugmentConfig(**given)))
    check_config(replace(GOOD, augment=AugmentConfig(**others)))


def test_what_is_heard_once_can_not_be_augmented() -> None:
    cached = replace(GOOD, model=replace(GOOD.model, freeze=["encoder"], cache_encoder_outputs=True))
    check_config(replace(cached, augment=AugmentConfig()))
    for name in EFFECT_PROBABILITIES:
        augment = AugmentConfig(**{name: 0.5}, noise_dir="noise")  # type: ignore[arg-type]
        with refused(f"--augment.{name}", "cache_encoder_outputs", value=0.5, remedy="leave out one"):
            check_config(replace(cached, augment=augment))


def test_clips_without_speech_need_rows_that_are_known_and_heard_anew() -> None:
    streamed = {"data.streaming": True, "training.max_steps": 9, "evaluation.eval_steps": 3}
    with refused("--data.no_speech_fraction", "--data.streaming", value=0.1):
        check_config(changed({**streamed, "data.no_speech_fraction": 0.1}))
    cached = {"model.cache_encoder_outputs": True, "model.freeze": ["encoder"], "data.no_speech_fraction": 0.1}
    with refused("--data.no_speech_fraction", "--model.cache_encoder_outputs"):
        check_config(changed(cached))
    with refused("--data.no_speech_gaps", value=True, remedy="--data.no_speech_fraction"):
        check_config(changed({"data.no_speech_gaps": True}))
    with refused("--data.no_speech_dir", value="noise", remedy="--data.no_speech_fraction"):
        check_config(changed({"data.no_speech_dir": "noise"}))
    with refused("--data.no_speech_fraction", "out of range"):
        check_config(changed({"data.no_speech_fraction": 0.6}))
    check_config(changed({"data.no_speech_dir": "noise", "data.no_speech_fraction": 0.1}))


# -- guards


@pytest.mark.parametrize(
    ("guard", "words", "remedy"),
    [
        ({}, "guard 1 has no name_or_path", "silence"),
        ({"margin": -1}, "margin of guard 1", "between 0 and 100"),
        ({"margin": float("nan")}, "margin of guard 1", "between 0 and 100"),
        ({"name_or_path": "x", "utterances": 0}, "utterances of guard 1", "at least 1"),
        ({"name_or_path": "silence", "split": "test"}, "split of guard 1 does nothing", "leave it out"),
    ],
)
def test_a_guard_has_a_source_and_a_margin(guard: dict[str, Any], words: str, remedy: str) -> None:
    with refused("--evaluation.guards", words, remedy=remedy):
        check_config(changed({"evaluation.guards": [GuardConfig(**{"name_or_path": "", **guard})]}))


def test_guards_need_the_untouched_models_score() -> None:
    settings = {"evaluation.guards": [GuardConfig(name_or_path="silence")], "evaluation.eval_on_start": False}
    with refused("--evaluation.eval_on_start", "--evaluation.guards", value=False):
        check_config(changed(settings))


# -- long recordings


@pytest.mark.parametrize(
    ("name", "value", "words", "remedy"),
    [
        ("temperature", (), "no list of temperatures", "between 0 and 10"),
        ("temperature", (0.0, float("nan")), "no list of temperatures", "between 0 and 10"),
        ("temperature", (0.0, 11.0), "no list of temperatures", "between 0 and 10"),
        ("temperature", (0.4, 0.0), "does not rise", "low to high"),
        ("logprob_threshold", None, "only improbable transcripts", "null too"),
    ],
)
def test_what_is_no_fallback(name: str, value: Any, words: str, remedy: str) -> None:
    decoding = replace(GOOD.evaluation.long_form_decoding, **{name: value})
    setting = "no_speech_threshold" if name == "logprob_threshold" else name
    with refused(f"--evaluation.long_form_decoding.{setting}", words, remedy=remedy):
        check_config(changed({"evaluation.long_form_decoding": decoding}))


def test_a_fallback_may_be_switched_off() -> None:
    check_config(changed({"evaluation.long_form_decoding": Fallback((0.0,), None, None, None, False)}))


@pytest.mark.parametrize(
    ("sources", "words", "remedy"),
    [
        ([{}, {"replay": True}], "replayed sources are [None]", "0.2"),
        ([{}, {"replay": True, "weight": 1.0}], "replayed sources are [1.0]", "below 1"),
        ([{}, {"replay": True, "weight": 0.5}, {"replay": True, "weight": 0.5}], "replayed", "below 1"),
        ([{"replay": True, "weight": 0.5}], "all of them are replayed", "to be learnt"),
        ([{"validate": False}, {"replay": True, "weight": 0.5}], "validate is false", "to validate on"),
    ],
)
def test_replay_is_a_share_of_an_epoch_beside_what_is_learnt(
    sources: list[dict[str, Any]], words: str, remedy: str
) -> None:
    data = DataConfig(sources=[SourceConfig(name_or_path="x", **source) for source in sources], eval_rows=5)
    with refused("--data.sources", words, remedy=remedy):
        check_config(Config(data=data))
    check_config(
        Config(
            data=DataConfig(
                sources=[SourceConfig(name_or_path="x"), SourceConfig("y", weight=0.1, replay=True)], eval_rows=5
            )
        )
    )


def test_a_prompt_of_keywords_needs_keywords() -> None:
    check_config(changed({"evaluation.keywords_prompt": True, "evaluation.keywords": ["Anna"]}))
    with refused("--evaluation.keywords_prompt", "keywords", value=True, remedy="--evaluation.keywords"):
        check_config(changed({"evaluation.keywords_prompt": True}))
