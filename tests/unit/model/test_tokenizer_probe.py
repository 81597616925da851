"""A tokenizer that does not fit its model is refused in words when it is loaded, by training and check-data alike."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import WhisperTokenizer

from accel_asr.config.settings import ModelConfig
from accel_asr.data.checking.model_limits import load_model_limits
from accel_asr.errors import UserError
from accel_asr.model.pretrained import load_model_and_processor
from accel_asr.model.tokenizer_probe import require_fitting_tokenizer
from tests.odd_tokenizers import KINDS, with_tokenizer

Facts = dict[str, Any]


def edit(folder: Path, name: str, change: Callable[[Facts], object]) -> None:
    path = folder / name
    facts = json.loads(path.read_text(encoding="utf-8"))
    change(facts)
    path.write_text(json.dumps(facts), encoding="utf-8")


def refused(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        require_fitting_tokenizer(WhisperTokenizer.from_pretrained(folder), model_name=str(folder))
    told = str(caught.value)
    assert all(line.startswith(f"model.name_or_path: the tokenizer of {str(folder)!r} ") for line in told.splitlines())
    return told


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


def test_letters_that_do_not_come_back(folder: Path) -> None:
    def damage(facts: Facts) -> None:
        vocabulary = facts["model"]["vocab"]
        vocabulary["?" * 7] = vocabulary.pop("Ã")  # the byte C3, with which Ü begins

    edit(folder, "tokenizer.json", damage)
    told = refused(folder)
    assert "can't spell" in told
    assert "Ünïcödé" in told


def test_training_and_check_data_both_look(folder: Path) -> None:
    edit(folder, "tokenizer.json", swap("<|0.02|>", "<|1.00|>"))
    for load in (
        lambda: load_model_and_processor(str(folder)),
        lambda: load_model_limits(ModelConfig(name_or_path=str(folder), language="en"), language_of_rows=False),
    ):
        with pytest.raises(UserError) as caught:
            load()
        assert str(caught.value) == refused(folder)
