"""Adapters that plain peft made: loaded and merged, they are what peft itself gives with the adapter in place."""

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import WhisperForConditionalGeneration

from accel_asr.model.pretrained import load_model_and_processor, save_model_folder
from accel_asr.model.whisper_for_training import WhisperForTraining
from tests.adapter_folders import change_adapter, make_adapter
from tests.refusals import refused

LAYERS = ["q_proj", "v_proj"]
ADAPTERS: dict[str, Any] = {
    "LoRA": peft.LoraConfig(r=4, target_modules=LAYERS, task_type="SEQ_2_SEQ_LM"),
    "LoRA, by a pattern": peft.LoraConfig(r=2, target_modules=r".*decoder.*\.(fc1|fc2)"),
    "all-linear": peft.LoraConfig(r=2, target_modules="all-linear", bias="all"),
    "DoRA": peft.LoraConfig(r=4, target_modules=LAYERS, use_dora=True),
    "rslora": peft.LoraConfig(r=4, target_modules=["fc1"], use_rslora=True, modules_to_save=["layer_norm"]),
    "the projection": peft.LoraConfig(r=4, target_modules=["proj_out"]),
    "the embeddings": peft.LoraConfig(r=4, target_modules=["embed_tokens"]),
    "own embeddings": peft.LoraConfig(r=4, target_modules=LAYERS, modules_to_save=["embed_tokens"]),
    "LoHa": peft.LoHaConfig(r=4, target_modules=LAYERS),
    "LoKr": peft.LoKrConfig(r=4, target_modules=LAYERS),
    "AdaLoRA": peft.AdaLoraConfig(target_modules=LAYERS, total_step=10),
    "IA3": peft.IA3Config(target_modules=["k_proj", "fc2"], feedforward_modules=["fc2"]),
    "VeRA": peft.VeraConfig(r=4, target_modules=LAYERS),
    "OFT": peft.OFTConfig(target_modules=LAYERS, oft_block_size=8),
}


def logits(model: Any) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 80, 2 * model.config.max_source_positions, generator=generator)
    tokens = torch.tensor([[1, 2, 3, 4], [9, 8, 7, 6]])
    with torch.no_grad():
        return model.eval()(input_features=features, decoder_input_ids=tokens).logits


@pytest.mark.parametrize("kind", ADAPTERS)
def test_an_adapter_of_plain_peft_is_loaded_as_its_merged_model(tiny_folder: Path, tmp_path: Path, kind: str) -> None:
    adapter = make_adapter(tiny_folder, tmp_path / "adapter", ADAPTERS[kind])
    base = WhisperForConditionalGeneration.from_pretrained(tiny_folder, dtype=torch.float32)
    before = logits(base)
    # its own forward can't pass Whisper's features on for this task_type
    expected = logits(peft.PeftModel.from_pretrained(base, str(adapter)).get_base_model())
    assert (expected - before).abs().max() > 1e-3

    model, processor = load_model_and_processor(str(adapter))
    assert type(model) is WhisperForTraining
    torch.testing.assert_close(logits(model), expected, atol=2e-5, rtol=1e-5)  # observed: up to 5e-6
    assert not [name for name, _ in model.named_parameters() if "base_layer" in name or "lora" in name]
    fixed = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert fixed == {"model.encoder.embed_positions.weight"}

    save_model_folder(model, processor, tmp_path / "merged")
    merged = WhisperForConditionalGeneration.from_pretrained(tmp_path / "merged", dtype=torch.float32)
    torch.testing.assert_close(logits(merged), logits(model), atol=0, rtol=0)


def test_tensors_that_would_be_left_out_are_an_error(tiny_folder: Path, tmp_path: Path) -> None:
    """peft itself leaves them out without a word: the model would be half of what was trained."""
    adapter = make_adapter(tiny_folder, tmp_path / "adapter")
    change_adapter(adapter, target_modules=["q_proj"])
    with refused("--model.name_or_path", "left out", "v_proj", value=str(adapter)):
        load_model_and_processor(str(adapter))


def test_tensors_that_are_missing_are_an_error(tiny_folder: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tiny_folder, tmp_path / "adapter")
    weights = adapter / "adapter_model.safetensors"
    save_file({name: tensor for name, tensor in load_file(weights).items() if "encoder.layers.0" not in name}, weights)
    with refused("--model.name_or_path", "lacks", "encoder.layers.0", value=str(adapter)):
        load_model_and_processor(str(adapter))


def test_weights_that_are_not_finite_are_an_error(tiny_folder: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tiny_folder, tmp_path / "adapter", size=float("nan"))
    with refused("--model.name_or_path", "not finite", value=str(adapter)):
        load_model_and_processor(str(adapter))
    assert torch.isfinite(logits(load_model_and_processor(str(tiny_folder))[0])).all()


def test_what_peft_can_not_load_is_one_error(tiny_folder: Path, tmp_path: Path) -> None:
    adapter = change_adapter(make_adapter(tiny_folder, tmp_path / "adapter"), r=7)
    with refused("--model.name_or_path", "can't be merged", "size mismatch", value=str(adapter)):
        load_model_and_processor(str(adapter))
