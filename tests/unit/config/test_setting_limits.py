"""Every number has its limits, and every name that becomes a file's, a branch's or a card's."""

import math
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any, get_args

import pytest

from accel_asr.config.cross_checks import check_config
from accel_asr.config.setting_limits import NAMES, RANGES
from accel_asr.config.settings import Config, DataConfig, SourceConfig
from accel_asr.errors import UserError

GOOD = Config(data=DataConfig(name_or_path="x", eval_rows=3))


def numbers() -> Iterator[tuple[str, tuple[type, ...]]]:
    """(name, types) of every setting that is a number."""
    for section in fields(Config):
        if is_dataclass(section.type):
            for setting in fields(section.type):
                types = get_args(setting.type) or (setting.type,)
                if {int, float} & set(types):
                    yield f"{section.name}.{setting.name}", types


NUMBERS = dict(numbers())


def problems(name: str, value: Any, config: Config = GOOD) -> list[str]:
    section, _, setting = name.partition(".")
    changed = replace(getattr(config, section), **{setting: value}) if setting else value
    try:
        check_config(replace(config, **{section: changed}))
    except UserError as error:
        return [line for line in str(error).splitlines() if line.startswith(f"{name}: ")]
    return []


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, -1, -1e30])
def test_no_number_is_endless_or_negative(name: str, value: float) -> None:
    (problem,) = problems(name, value)
    assert problem.startswith(f"{name}: {value} is out of range; give a")


ANY = ("training.learning_rate", "training.weight_decay", "training.max_grad_norm")


@pytest.mark.parametrize("name", sorted(set(NUMBERS) - {*ANY, "data.eval_fraction"}))
def test_a_number_beyond_reason_is_refused_and_the_last_one_in_reason_is_not(name: str) -> None:
    allowed = RANGES[name]
    for far_too_large in (10**30, 10 ** (4000)):
        (problem,) = problems(name, far_too_large)
        assert "is out of range; give " in problem
        assert len(problem) < 300
    assert problems(name, allowed.high) == []
    assert len(problems(name, allowed.high + 1)) == 1


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("training.seed", 2**32, "at most 4,294,967,295 (NumPy"),
        ("training.ddp_timeout", 9 * 10**18, "at most 2,592,000 (it is in seconds"),
        ("evaluation.num_beams", 10**6, "at most 100 (each beam"),
        ("training.dataloader_num_workers", 100_000, "at most 1,024 (each is a process)"),
        ("training.per_device_train_batch_size", 10**9, "at most 65,536 (so many windows"),
    ],
)
def test_the_limit_is_said_with_its_reason(name: str, value: int, words: str) -> None:
    (problem,) = problems(name, value)
    assert words in problem


NAMES_OF_SOURCES = [replace(GOOD.data, name_or_path=None, sources=[SourceConfig("a"), SourceConfig("b\x1b[2J")])]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", ["a\0b", "a\x1b]0;title\x07", "a\nb", "\x7f"])
def test_a_name_holds_no_control_characters(name: str, value: str) -> None:
    problem, *_ = problems(name, value)
    assert "holds control characters" in problem
    assert value not in problem


def test_neither_does_that_of_a_source() -> None:
    with pytest.raises(UserError, match=r"name_or_path of source 2: 'b\\x1b\[2J' holds control characters"):
        check_config(replace(GOOD, data=NAMES_OF_SOURCES[0]))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", ["x" * 300, "ß" * 150, "/".join(["x" * 200] * 30)])
def test_a_name_is_no_longer_than_file_systems_take(name: str, value: str) -> None:
    problem, *_ = problems(name, value)
    assert "too long" in problem
    assert len(problem) < 400


def test_names_of_many_shards_and_long_addresses_are_taken() -> None:
    for name in ("https://host/" + "a" * 300 + ".tar", "{" + ",".join(f"shard-{n}.tar" for n in range(99)) + "}"):
        assert problems("data.name_or_path", name) == []


@pytest.mark.parametrize("name", ["output_dir", "data.cache_dir"])
def test_an_empty_folder_is_not_the_one_that_one_stands_in(name: str) -> None:
    (problem,) = problems(name, "")
    assert "it is empty; give a folder" in problem
