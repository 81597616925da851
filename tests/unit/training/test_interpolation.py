"""Weights between the base model's and the trained ones: exact at both ends, tied, sharded files, adapters scaled."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from accel_asr.config.lora_settings import LoraConfig
from accel_asr.config.settings import CheckpointConfig, Config, DataConfig, ModelConfig
from accel_asr.model.adapter_layers import merged
from accel_asr.model.base_weights import BaseWeights
from accel_asr.model.parts import freeze
from accel_asr.model.pretrained import load_model_and_processor, save_adapter_folder
from accel_asr.run.job import load_job
from accel_asr.training.averages import lent
from accel_asr.training.interpolation import interpolated
from tests.refusals import refused
from tests.unit.model.test_adapter_layers import adapted, moved

EMBEDDING = "model.decoder.embed_tokens.weight"


def state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("frozen", [[], ["encoder"]])
def test_the_ends_are_the_base_and_the_trained_model_bit_for_bit(tiny_folder: Path, frozen: list[str]) -> None:
    model, _ = load_model_and_processor(str(tiny_folder))
    base = state(model)
    freeze(model, frozen)
    trained = state(moved(model))
    read = BaseWeights(str(tiny_folder)).tensor
    for alpha, expected in ((0.0, base), (1.0, trained)):
        with lent(model, interpolated(model, read, alpha)):
            assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())
    between = {name: (0.75 * base[name].double() + 0.25 * trained[name].double()).float() for name in base}
    with lent(model, interpolated(model, read, 0.25)):
        torch.testing.assert_close(state(model), between, rtol=1e-6, atol=1e-7)
        assert model.proj_out.weight is model.get_input_embeddings().weight  # tied, and blended once
        assert not torch.equal(state(model)[EMBEDDING], base[EMBEDDING])
    assert all(torch.equal(tensor, trained[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    "options",
    [{}, {"use_rslora": True}, {"modules_to_save": ["layer_norm", "conv1", "decoder.embed_positions"]}],
    ids=str,
)
def test_adapters_by_scaling_are_the_interpolation_of_what_they_merge_to(
    tiny_folder: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    base = state(load_model_and_processor(str(tiny_folder))[0])
    model, processor = adapted(tiny_folder, **options)
    moved(model)
    tuned = state(merged(model))
    read = BaseWeights(str(tiny_folder)).tensor
    for alpha in (0.0, 0.25, 1.0):
        with lent(model, interpolated(model, read, alpha)):
            whole = state(merged(model))
            save_adapter_folder(model, processor, tmp_path)
        expected = {name: torch.lerp(base[name], tuned[name], alpha) for name in base}
        torch.testing.assert_close(whole, expected, rtol=1e-5, atol=1e-6)
        reloaded = state(load_model_and_processor(str(tmp_path))[0])  # best_adapter/ on its base is best/
        torch.testing.assert_close(reloaded, whole, rtol=1e-5, atol=1e-6)
    assert max(float((tuned[name] - base[name]).abs().max()) for name in base) > 0.01
    assert all(torch.equal(tensor, tuned[name]) for name, tensor in merged(model).state_dict().items())


def test_the_base_is_read_from_shards_other_precisions_and_either_name_of_what_is_tied(
    tiny_folder: Path, tmp_path: Path
) -> None:
    tensors = load_file(tiny_folder / "model.safetensors")
    halves = {name: tensor.half() for name, tensor in tensors.items()}
    halves["proj_out.weight"] = halves.pop(EMBEDDING)
    names = sorted(halves)
    places = {}
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        save_file({name: halves[name] for name in part}, tmp_path / f"model-{number}.safetensors")
        places |= dict.fromkeys(part, f"model-{number}.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    read = BaseWeights(str(tmp_path))
    assert read.missing(tensors) == []
    for name, tensor in tensors.items():
        assert torch.equal(read.tensor(name), tensor.half().float())
    assert read.missing(["model.decoder.new"]) == ["model.decoder.new"]


def test_names_without_the_output_projection(tiny_folder: Path, tmp_path: Path) -> None:
    tensors = load_file(tiny_folder / "model.safetensors")
    save_file({name.removeprefix("model."): tensor for name, tensor in tensors.items()}, tmp_path / "model.safetensors")
    assert BaseWeights(str(tmp_path)).missing(tensors) == []


def test_a_base_that_has_gone_is_named(tiny_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file(load_file(tiny_folder / "model.safetensors"), file)
    read = BaseWeights(str(tmp_path))
    file.unlink()
    with refused("--model.name_or_path", value=str(tmp_path), remedy="put it back"):
        read.tensor(EMBEDDING)


def test_an_adapter_is_no_base_to_interpolate_from(tiny_folder: Path, tmp_path: Path) -> None:
    save_adapter_folder(*adapted(tiny_folder), tmp_path)
    with refused("--model.name_or_path", "is itself an adapter", value=str(tmp_path), remedy="the merged model"):
        load_job(job_config(tmp_path))


@pytest.mark.parametrize(
    "lora", [LoraConfig(), LoraConfig(enabled=True, modules_to_save=["conv1"])], ids=["whole", "lora"]
)
def test_a_job_knows_its_base_only_where_it_is_asked_for(tiny_folder: Path, lora: LoraConfig) -> None:
    for wanted in (False, True):
        job = load_job(job_config(tiny_folder, wanted=wanted, lora=lora))
        assert (job.base_weights is not None) == wanted


def job_config(folder: Path, *, wanted: bool = True, lora: LoraConfig | None = None) -> Config:
    return Config(
        model=ModelConfig(name_or_path=str(folder), language="en"),
        data=DataConfig(name_or_path="quickstart", train_rows=40),
        lora=lora or LoraConfig(),
        checkpoint=CheckpointConfig(interpolate=wanted),
    )
