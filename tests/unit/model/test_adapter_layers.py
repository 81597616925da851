"""LoRA adapters: which layers get them, what they are in a checkpoint, and the folders that are made of them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from accel_asr.config.lora_settings import LoraConfig
from accel_asr.config.settings import Config, ModelConfig
from accel_asr.model.adapter_layers import add_adapters, base_tensors, has_adapters, merged, without_weights
from accel_asr.model.parts import freeze
from accel_asr.model.pretrained import (
    base_digest,
    load_model_and_processor,
    save_adapter_folder,
    save_model_folder,
)
from accel_asr.model.whisper_for_training import WhisperForTraining
from accel_asr.run.job import load_job
from tests.refusals import refused

VARIANTS = [
    {},
    {"frozen": True},
    {"use_dora": True},
    {"use_rslora": True},
    {"modules_to_save": ["layer_norm", "conv1", "decoder.embed_positions"]},
]


def adapted(
    folder: Path, *, frozen: bool = False, seed: int = 7, **options: Any
) -> tuple[WhisperForTraining, WhisperProcessor]:
    """The tiny model with adapters, and its processor."""
    model, processor = load_model_and_processor(str(folder))
    if frozen:
        freeze(model, ["encoder"])
    settings = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.0, "target_modules": "all-linear", "modules_to_save": []}
    add_adapters(model, seed=seed, base_name=str(folder), base_revision=None, **{**settings, **options})
    return model, processor


def trained(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def moved(model: WhisperForTraining) -> WhisperForTraining:
    """The model with what is trained moved by chance: adapters begin as nothing."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in trained(model).values():
            weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.1)
    return model.eval()


def logits(model: torch.nn.Module) -> torch.Tensor:
    features = torch.randn(2, 80, 200, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        return model(input_features=features, decoder_input_ids=torch.tensor([[5, 6, 7], [8, 9, 3]])).logits


def layers_of(model: torch.nn.Module) -> set[str]:
    return {name.partition(".lora_")[0] for name in trained(model)}


def test_every_linear_layer_gets_one_and_nothing_else_is_trained(tiny_folder: Path) -> None:
    model, _ = adapted(tiny_folder)
    assert type(model) is WhisperForTraining
    # 2 layers of 4 + 2 in the encoder, and of 8 + 2 in the decoder; not the output projection
    assert len(layers_of(model)) == 2 * 6 + 2 * 10
    assert all(".lora_A." in name or ".lora_B." in name for name in trained(model))
    assert all(weight.shape[0] == 4 for name, weight in trained(model).items() if ".lora_A." in name)


def test_at_first_they_change_nothing(tiny_folder: Path) -> None:
    model, _ = adapted(tiny_folder)
    assert torch.equal(logits(model.eval()), logits(load_model_and_processor(str(tiny_folder))[0].eval()))


def test_the_seed_decides_their_weights_and_leaves_the_generators_alone(tiny_folder: Path) -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first, same, other = (trained(adapted(tiny_folder, seed=seed)[0]) for seed in (7, 7, 8))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], weight) for name, weight in same.items())
    assert not all(torch.equal(first[name], weight) for name, weight in other.items())


def test_named_layers_only(tiny_folder: Path) -> None:
    layers = layers_of(adapted(tiny_folder, target_modules=["q_proj", "decoder.layers.1.fc2"])[0])
    assert {name.rpartition(".")[2] for name in layers} == {"q_proj", "fc2"}
    assert [name for name in layers if name.endswith("fc2")] == ["model.decoder.layers.1.fc2"]


def test_frozen_parts_get_none(tiny_folder: Path) -> None:
    model, _ = adapted(tiny_folder, frozen=True, modules_to_save=["layer_norm"])
    assert len([name for name in layers_of(model) if "modules_to_save" not in name]) == 2 * 10
    assert not [name for name in trained(model) if ".encoder." in name]


@pytest.mark.parametrize(
    ("settings", "setting", "words"),
    [
        ({"target_modules": ["nope"]}, "target_modules", ["'nope'", "fc1, fc2, k_proj, out_proj, q_proj, v_proj"]),
        ({"target_modules": ["proj_out", "fc1"]}, "target_modules", ["'proj_out'", "share their weights"]),
        ({"modules_to_save": ["embed_tokens"]}, "modules_to_save", ["'embed_tokens'", "share", "conv1, conv2"]),
        ({"modules_to_save": ["encoder"]}, "modules_to_save", ["'encoder'", "layer_norm"]),
        ({"target_modules": ["fc1"], "modules_to_save": ["fc1"]}, "target_modules", ["no layer is left"]),
    ],
)
def test_layers_that_are_not_there(tiny_folder: Path, settings: dict[str, Any], setting: str, words: list[str]) -> None:
    with refused(f"--lora.{setting}", *words):
        adapted(tiny_folder, **settings)


def test_the_base_is_known_by_its_digest_with_and_without_them(tiny_folder: Path) -> None:
    model, processor = adapted(tiny_folder, **VARIANTS[-1])
    plain, _ = load_model_and_processor(str(tiny_folder))
    assert base_digest(moved(model), processor) == base_digest(plain, processor)
    assert base_tensors(model).keys() == plain.state_dict().keys()


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_merging_gives_the_same_logits_and_leaves_the_model_as_it_was(
    tiny_folder: Path, options: dict[str, Any]
) -> None:
    model = moved(adapted(tiny_folder, **options)[0])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    plain = merged(model)
    assert type(plain) is WhisperForConditionalGeneration
    assert not has_adapters(plain)
    assert plain.state_dict().keys() == load_model_and_processor(str(tiny_folder))[0].state_dict().keys()
    assert plain.proj_out.weight is plain.get_input_embeddings().weight
    torch.testing.assert_close(logits(plain), logits(model), atol=2e-4, rtol=1e-4)
    assert float((logits(plain) - logits(load_model_and_processor(str(tiny_folder))[0].eval())).abs().max()) > 0.1
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_frozen_weights_in_half_precision_are_merged_in_fp32(tiny_folder: Path) -> None:
    model = moved(adapted(tiny_folder)[0])
    for name, weight in model.named_parameters():
        if name not in trained(model):
            weight.data = weight.data.to(torch.bfloat16)
    plain = merged(model)
    assert {tensor.dtype for tensor in plain.state_dict().values()} == {torch.float32}


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_an_empty_copy_has_the_same_names_shapes_and_trained_weights(
    tiny_folder: Path, options: dict[str, Any]
) -> None:
    model, _ = adapted(tiny_folder, **options)
    empty = without_weights(model)
    assert {name: tensor.shape for name, tensor in empty.state_dict().items()} == {
        name: tensor.shape for name, tensor in model.state_dict().items()
    }
    assert trained(empty).keys() == trained(model).keys()


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_peft_loads_the_folder_and_transcribes_as_the_merged_model(
    tiny_folder: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    model, processor = adapted(tiny_folder, **options)
    moved(model)
    for save, name in ((save_adapter_folder, "best_adapter"), (save_model_folder, "best")):
        (tmp_path / name).mkdir()
        save(model, processor, tmp_path / name)
    base = WhisperForConditionalGeneration.from_pretrained(tiny_folder)
    by_peft = PeftModel.from_pretrained(base, tmp_path / "best_adapter").eval()
    best = WhisperForConditionalGeneration.from_pretrained(tmp_path / "best").eval()
    torch.testing.assert_close(logits(by_peft), logits(best), atol=2e-4, rtol=1e-4)
    features = torch.randn(2, 80, 200, generator=torch.Generator().manual_seed(2))
    ids, other = (m.generate(input_features=features, language="en", max_new_tokens=8) for m in (by_peft, best))
    assert torch.equal(ids, other)
    assert by_peft.peft_config["default"].base_model_name_or_path == str(tiny_folder)
    files = {path.name for path in (tmp_path / "best").iterdir()} - {"model.safetensors", "config.json"}
    assert {path.name for path in (tmp_path / "best_adapter").iterdir()} == {
        *files,
        "adapter_config.json",
        "adapter_model.safetensors",
    }


def test_a_merged_adapter_leaves_an_ordinary_model_which_gets_no_adapters(tiny_folder: Path, tmp_path: Path) -> None:
    save_adapter_folder(*adapted(tiny_folder), tmp_path)
    model, _ = load_model_and_processor(str(tmp_path))
    assert not has_adapters(model)
    config = Config(model=ModelConfig(name_or_path=str(tmp_path), language="en"), lora=LoraConfig(enabled=True))
    with refused("--model.name_or_path", "is itself an adapter", value=str(tmp_path), remedy="best/"):
        load_job(config)
