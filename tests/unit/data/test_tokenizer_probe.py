"""A tokenizer that does not fit its model is refused when it is loaded, in words, by training and check-data alike."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accel_asr.config import ModelConfig
from accel_asr.data.checking.model_limits import load_model_limits
from accel_asr.errors import UserError
from accel_asr.modeling import load_model_and_processor
from tests.odd_tokenizers import KINDS, with_tokenizer

Facts = dict[str, Any]


def edit(folder: Path, name: str, change: Callable[[Facts], object]) -> None:
    path = folder / name
    facts = json.loads(path.read_text(encoding="utf-8"))
    change(facts)
    path.write_text(json.dumps(facts), encoding="utf-8")


def refused(folder: Path) -> str:
    """What both say: one message."""
    told = []
    for load in (
        lambda: load_model_and_processor(str(folder)),
        lambda: load_model_limits(ModelConfig(name_or_path=str(folder), language="en"), language_of_rows=False),
    ):
        with pytest.raises(UserError) as caught:
            load()
        told.append(str(caught.value))
    assert told[0] == told[1]
    assert told[0].startswith("model.name_or_path: the tokenizer of ")
    assert str(folder) in told[0]
    return told[0]


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_folder, tmp_path / "model")


@pytest.mark.parametrize("kind", KINDS)
def test_a_tokenizer_that_only_says_less_fits(tiny_folder: Path, tmp_path: Path, kind: str) -> None:
    load_model_and_processor(str(with_tokenizer(tiny_folder, tmp_path / "model", kind)))


def test_tokens_that_are_missing(folder: Path) -> None:
    def drop(facts: Facts) -> None:
        facts["added_tokens"] = [token for token in facts["added_tokens"] if token["content"] == "<|endoftext|>"]
        facts["post_processor"] = None

    edit(folder, "tokenizer.json", drop)
    edit(folder, "tokenizer_config.json", lambda facts: facts.pop("extra_special_tokens"))
    told = refused(folder)
    assert "has no <|startoftranscript|> and no <|notimestamps|>" in told
    assert "added_tokens.json" in told


@pytest.mark.parametrize(
    ("setting", "token"),
    [
        ("no_timestamps_token_id", "<|notimestamps|>"),
        ("prev_sot_token_id", "<|startofprev|>"),
        ("eos_token_id", "<|endoftext|>"),
        ("decoder_start_token_id", "<|startoftranscript|>"),
    ],
)
def test_numbers_that_differ_from_the_generation_settings(folder: Path, setting: str, token: str) -> None:
    edit(folder, "generation_config.json", lambda facts: facts.update({setting: facts[setting] + 1}))
    told = refused(folder)
    assert f"{token} is " in told
    assert "generation_config.json" in told


@pytest.mark.parametrize(
    ("table", "key", "token"), [("lang_to_id", "<|de|>", "<|de|>"), ("task_to_id", "translate", "<|translate|>")]
)
def test_languages_and_tasks_under_other_numbers(folder: Path, table: str, key: str, token: str) -> None:
    edit(folder, "generation_config.json", lambda facts: facts[table].update({key: facts[table][key] + 1}))
    assert f"{token} is " in refused(folder)


def test_a_language_that_is_in_the_settings_only(folder: Path) -> None:
    edit(folder, "generation_config.json", lambda facts: facts["lang_to_id"].update({"<|xx|>": 4}))
    assert "<|xx|> is not there" in refused(folder)


def swap(first: str, second: str) -> Callable[[Facts], None]:
    def change(facts: Facts) -> None:
        tokens = {token["content"]: token for token in facts["added_tokens"]}
        tokens[first]["content"], tokens[second]["content"] = second, first

    return change


@pytest.mark.parametrize(
    ("first", "second", "kind"), [("<|0.02|>", "<|1.00|>", "times"), ("<|fr|>", "<|de|>", "languages")]
)
def test_times_and_languages_out_of_order(folder: Path, first: str, second: str, kind: str) -> None:
    edit(folder, "tokenizer.json", swap(first, second))
    told = refused(folder)
    assert f"has {kind} that do not follow" in told


def test_more_tokens_than_the_embedding_has_rows(folder: Path) -> None:
    def add(facts: Facts) -> None:
        last = dict(facts["added_tokens"][-1])
        facts["added_tokens"].append(last | {"content": "covid", "id": last["id"] + 1, "special": False})

    edit(folder, "tokenizer.json", add)
    told = refused(folder)
    rows = json.loads((folder / "config.json").read_text())["vocab_size"]
    assert f"{rows:,} rows (vocab_size)" in told


def test_letters_that_do_not_come_back(folder: Path) -> None:
    def damage(facts: Facts) -> None:
        vocabulary = facts["model"]["vocab"]
        vocabulary["?" * 7] = vocabulary.pop("Ã")  # the byte C3, with which Ü begins

    edit(folder, "tokenizer.json", damage)
    told = refused(folder)
    assert "can't spell" in told
    assert "Ünïcödé" in told
