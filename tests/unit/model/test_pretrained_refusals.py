"""Model folders that are not whole are refused in words, never half loaded, and nothing is unpickled."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from accel_asr.errors import UserError
from accel_asr.model.pretrained import configure_generation, load_model_and_processor
from tests.refusals import refused


def load_and_configure(name: str) -> None:
    model, processor = load_model_and_processor(name)
    configure_generation(model, processor, language="en", task="transcribe", max_new_tokens=12, num_beams=1)


def damaged(tiny_folder: Path, tmp_path: Path, change: Callable[[Path], None]) -> str:
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    change(folder)
    with pytest.raises(UserError) as caught:
        load_and_configure(str(folder))
    told = str(caught.value)
    assert str(folder) in told
    return told


def halve(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return change


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"]
)
def test_a_file_cut_in_half_is_no_model(tiny_folder: Path, tmp_path: Path, name: str) -> None:
    damaged(tiny_folder, tmp_path, halve(name))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "preprocessor_config.json"])
def test_a_missing_file_is_no_model(tiny_folder: Path, tmp_path: Path, name: str) -> None:
    damaged(tiny_folder, tmp_path, lambda folder: (folder / name).unlink())


@pytest.mark.parametrize("change", [halve("generation_config.json"), lambda f: (f / "generation_config.json").unlink()])
def test_without_its_generation_settings_a_model_is_refused_in_words(
    tiny_folder: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    damaged(tiny_folder, tmp_path, change)  # many fine-tuned models on the Hub have none, or an incomplete one


def test_weights_that_are_missing_are_not_made_up(tiny_folder: Path, tmp_path: Path) -> None:
    def drop_one(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        del tensors["model.decoder.layers.0.fc1.weight"]
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})

    assert "model.decoder.layers.0.fc1.weight" in damaged(tiny_folder, tmp_path, drop_one)


def test_weights_of_other_shapes_are_refused(tiny_folder: Path, tmp_path: Path) -> None:
    def widen(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"d_model": 32}))

    damaged(tiny_folder, tmp_path, widen)


def test_a_pickled_checkpoint_is_not_opened(model_and_processor, tiny_folder: Path, tmp_path: Path) -> None:
    def pickle_it(folder: Path) -> None:
        torch.save(model_and_processor[0].state_dict(), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()

    damaged(tiny_folder, tmp_path, pickle_it)


@pytest.mark.parametrize("name", ["./missing", "/nowhere/model"])
def test_a_folder_that_is_not_there_is_named_with_remedies(name: str) -> None:
    with refused("--model.name_or_path", "not a local folder", value=name, remedy="--config quickstart"):
        load_model_and_processor(name)
