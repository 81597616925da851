"""Every number has its limits, and every name that becomes a file's, a branch's or a card's."""

import math
from dataclasses import replace
from typing import Any, get_args, get_origin

import pytest

from accel_asr.config.cross_checks import check_config
from accel_asr.config.setting_limits import NAMES, RANGES
from accel_asr.config.settings import Config, DataConfig, SourceConfig, settings_of
from accel_asr.errors import UserError
from tests.refusals import refused

GOOD = Config(data=DataConfig(name_or_path="x", eval_rows=3))
NUMBERS = [  # tables and lists of numbers have checks of their own
    name
    for name, field in settings_of(Config)
    if get_origin(field.type) not in (dict, tuple) and {int, float} & {*get_args(field.type), field.type}
]
MAY_BE_NEGATIVE = [  # decibels, semitones and logarithms
    "evaluation.long_form_decoding.logprob_threshold",
    *(f"augment.{end}_{name}" for end in ("min", "max") for name in ("gain_db", "snr_db", "semitones")),
]
WITHOUT_END = ("training.learning_rate", "training.weight_decay", "training.max_grad_norm")


def check(name: str, value: Any, config: Config = GOOD) -> None:
    check_config(with_setting(config, name, value))


def with_setting(section: Any, name: str, value: Any) -> Any:
    first, _, rest = name.partition(".")
    return replace(section, **{first: with_setting(getattr(section, first), rest, value) if rest else value})


def is_refused(name: str, value: Any) -> bool:
    try:
        check(name, value)
    except UserError as refusal:
        return any(error.setting == f"--{name}" and "range" in error.problem for error in refusal.errors)
    return False


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, -1, -1e30])
def test_no_number_is_endless_or_negative(name: str, value: float) -> None:
    if value == -1 and name in MAY_BE_NEGATIVE:
        assert not is_refused(name, value)
        return
    with refused(f"--{name}", "is out of range", value=value, remedy="give a"):
        check(name, value)


@pytest.mark.parametrize("name", sorted({*NUMBERS} - {*WITHOUT_END, "data.eval_fraction"}))
def test_the_ends_of_a_range_are_taken_and_what_lies_beyond_is_not(name: str) -> None:
    allowed = RANGES[name]
    for far_too_large in (10**30, 10**4000):
        with refused(f"--{name}", remedy="give "):
            check(name, far_too_large)
    assert is_refused(name, allowed.high + 1)
    assert not is_refused(name, allowed.high)
    assert is_refused(name, allowed.low) == allowed.above_low
    assert is_refused(name, allowed.low - 1)


def test_what_may_be_zero_or_unset() -> None:
    for name in WITHOUT_END:
        check(name, 0.0)
    for name in ("training.max_steps", "evaluation.eval_steps"):
        check(name, None)
    with refused("--training.warmup_steps", value=1.5, remedy="a share of the steps below 1"):
        check("training.warmup_steps", 1.5)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("training.seed", 2**32, "at most 4,294,967,295 (NumPy"),
        ("training.ddp_timeout", 9 * 10**18, "at most 2,592,000 (it is in seconds"),
        ("evaluation.num_beams", 10**6, "at most 100 (each beam"),
        ("training.per_device_train_batch_size", 10**9, "at most 65,536 (so many windows"),
    ],
)
def test_the_remedy_gives_the_limit_with_its_reason(name: str, value: int, words: str) -> None:
    with refused(f"--{name}", value=value, remedy=words):
        check(name, value)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_suits_a_screen_and_a_file_system(name: str) -> None:
    for value in ("a\0b", "a\x1b]0;title\x07", "a\nb", "\x7f"):
        with refused(f"--{name}", "control characters"):
            check(name, value)
    for value in ("x" * 300, "ß" * 150, "/".join(["x" * 200] * 30)):
        with refused(f"--{name}", "longer than file systems take", remedy="shorter"):
            check(name, value)


@pytest.mark.parametrize("name", ["name_or_path", "name", "eval_name_or_path", "audio_root"])
def test_so_does_that_of_a_source(name: str) -> None:
    sources = [SourceConfig("a"), replace(SourceConfig("b"), **{name: "b\x1b[2J"})]
    with refused(f"--data.sources: {name} of source 2", "control characters"):
        check_config(replace(GOOD, data=replace(GOOD.data, name_or_path=None, sources=sources)))


def test_names_of_many_shards_and_long_addresses_are_taken() -> None:
    for name in ("https://host/" + "a" * 300 + ".tar", "{" + ",".join(f"shard-{n}.tar" for n in range(99)) + "}"):
        check("data.name_or_path", name)


@pytest.mark.parametrize("name", ["output_dir", "data.cache_dir"])
def test_an_empty_folder_does_not_mean_the_current_one(name: str) -> None:
    with refused(f"--{name}", "is empty", remedy="give a folder"):
        check(name, "")
