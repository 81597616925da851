"""What the Hub gives is examined too: its JSON files before the weights are fetched; and what else it may hold."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from accel_asr.model.folder.examination import examine
from accel_asr.model.pretrained import load_model_and_processor
from tests.adapter_folders import change_adapter, make_adapter
from tests.hub_server import LoopbackHub
from tests.refusals import refused
from tests.tiny_models import make_tiny_whisper
from tests.unit.model.folder.conftest import Spoil
from tests.unit.publishing.hub_client import hub_of_this_process

NAME = "tester/whisper"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with hub_of_this_process(tmp_path, monkeypatch) as hub:
        address = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
        yield hub


def real_copy(folder: Path) -> Path:
    return shutil.copytree(folder, folder.with_name("copy"))  # of the files, not of the links


def test_a_whole_model_passes(hub: LoopbackHub, folder: Path) -> None:
    hub.add_repository("model", NAME, real_copy(folder))
    assert examine(NAME, name=NAME).config["d_model"] == 16
    assert hub.requested("model.safetensors") == []


def test_what_does_not_fit_is_found_before_the_weights_are_fetched(hub: LoopbackHub, spoil: Spoil) -> None:
    hub.add_repository("model", NAME, real_copy(spoil("preprocessor_config.json", feature_size=128)))
    with refused("--model.name_or_path", "feature_size is 128", "80 mel bins", value=NAME):
        load_model_and_processor(NAME)
    assert hub.requested("model.safetensors") == []


@pytest.mark.parametrize(
    ("names", "word"),
    [
        (["config.json", "pytorch_model.bin"], "pickle"),
        (["config.json", "flax_model.msgpack"], "Flax"),
        (["model.bin", "vocabulary.json"], "CTranslate2"),
        (["ggml-tiny.bin"], "whisper.cpp"),
        (["tokenizer.json"], "tokenizer and no model"),
    ],
)
def test_what_a_repository_holds_instead_of_weights_is_said(
    hub: LoopbackHub, folder: Path, tmp_path: Path, names: list[str], word: str
) -> None:
    repository = tmp_path / "repository"
    if "config.json" in names:
        shutil.copytree(folder, repository, ignore=shutil.ignore_patterns("*.safetensors"))
    repository.mkdir(exist_ok=True)
    for name in names:
        if not (repository / name).exists():
            (repository / name).write_text("{}")
    hub.add_repository("model", NAME, repository)
    with refused("--model.name_or_path", word, value=NAME):
        load_model_and_processor(NAME)


def test_a_repository_that_is_not_there_is_answered_with_ways_on(hub: LoopbackHub) -> None:
    with refused("--model.name_or_path", "not a local folder", value="nobody/nothing", remedy="--config quickstart"):
        load_model_and_processor("nobody/nothing")


ADAPTER = "tester/adapter"


def test_an_adapter_and_its_base_come_from_the_hub(hub: LoopbackHub, folder: Path, tmp_path: Path) -> None:
    """The base at the revision that the adapter names, though its `main` holds another model."""
    other = make_tiny_whisper(tmp_path / "other", layers=1)
    hub.add_repository("model", NAME, {"main": other, "v1": real_copy(folder)})
    adapter = change_adapter(make_adapter(folder, tmp_path / "adapter", named=NAME), revision="v1")
    hub.add_repository("model", ADAPTER, adapter)
    on_hub, processor = load_model_and_processor(ADAPTER)
    here, _ = load_model_and_processor(str(change_adapter(adapter, base_model_name_or_path=str(folder))))
    assert on_hub.config.decoder_layers == 2
    assert processor.feature_extractor.feature_size == 80
    assert all(torch.equal(there, tensor) for there, tensor in zip(on_hub.parameters(), here.parameters(), strict=True))


def test_a_base_that_the_hub_does_not_give_is_named(hub: LoopbackHub, folder: Path, tmp_path: Path) -> None:
    adapter = make_adapter(folder, tmp_path / "adapter", named="openai/whisper-tiny")
    hub.add_repository("model", ADAPTER, adapter)
    words = ("openai/whisper-tiny", "Hub did not give it")
    with refused("--model.name_or_path", *words, value=ADAPTER, remedy="base_model_name_or_path"):
        load_model_and_processor(ADAPTER)
    assert hub.requested("adapter_model.safetensors") == []
