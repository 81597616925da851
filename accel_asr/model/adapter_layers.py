"""LoRA adapters by peft: added to a Whisper whose own weights stay as they are, merged into a copy of it, saved.

The model stays what it is, a `WhisperForTraining` with peft's layers in the place of some linear ones.
"""

import copy
import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import WhisperForConditionalGeneration

from accel_asr.errors import UserError
from accel_asr.model.folder.adapter_folder import ADAPTER_SETTINGS, ADAPTER_WEIGHTS, PREFIX
from accel_asr.model.row_dropout import RowDropout, RowSeeds
from accel_asr.model.whisper_for_training import WhisperForTraining

ALL_LINEAR = "all-linear"
_NAME = "default"  # peft's name for a model's only adapter


def add_adapters(
    model: WhisperForTraining,
    *,
    target_modules: Literal["all-linear"] | Sequence[str],
    modules_to_save: Sequence[str],
    seed: int,
    base_name: str,
    base_revision: str | None,
    **options: Any,
) -> None:
    """Put adapters into the trained linear layers of a model and freeze all else. They change nothing yet.

    The seed decides their first weights, the same on every rank. What they drop out depends on the seeds of the rows,
    see `row_dropout`.

    Args:
        modules_to_save: Layers that are trained whole.
        base_name, base_revision: What the adapters will be loaded on top of, for adapter_config.json.
        options: `r`, `lora_alpha`, `lora_dropout`, `use_dora`, `use_rslora` of `peft.LoraConfig`.

    Raises:
        UserError: the model has no such layers; names those that it has.
    """
    from peft import LoraConfig, inject_adapter_in_model

    trained = dict(_trained_layers(model))
    linear = [name for name, layer in trained.items() if isinstance(layer, nn.Linear)]
    if target_modules != ALL_LINEAR:
        linear = _of_these_names(target_modules, linear, setting="--lora.target_modules", kind="linear layer")
    whole = _of_these_names(modules_to_save, trained, setting="--lora.modules_to_save", kind="layer")
    adapted = [name for name in linear if name not in whole]
    if not adapted:
        raise UserError(
            "no layer is left that could get an adapter: all are frozen, or trained whole by --lora.modules_to_save",
            setting="--lora.target_modules",
            value=target_modules,
            remedy="freeze less, or leave out --lora.enabled",
            same_on_every_rank=True,
        )
    config = LoraConfig(
        base_model_name_or_path=base_name,
        revision=base_revision,
        target_modules=adapted,
        modules_to_save=whole or None,
        **options,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(config, model)
    if config.lora_dropout:
        model.dropout_seeds = RowSeeds()
        for number, (_, layer) in enumerate(_adapted_layers(model)):
            layer.lora_dropout[_NAME] = RowDropout(config.lora_dropout, model.dropout_seeds, layer=number)


def has_adapters(model: nn.Module) -> bool:
    """Whether `add_adapters` has been called with this model, or the one that it is a copy of."""
    return "peft_config" in vars(model)


def base_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """The state of a model as if it had no adapters: its own weights under their own names."""
    return {
        name.replace(".base_layer.", ".").replace(".original_module.", "."): tensor.detach()
        for name, tensor in model.state_dict(keep_vars=True).items()
        if not any(part.startswith("lora_") or part == "modules_to_save" for part in name.split("."))
    }


def name_without_adapters(name: str) -> str:
    """The name that a weight of the model's own, or one trained whole, has in the base model."""
    return name.replace(".base_layer.", ".").replace(f".modules_to_save.{_NAME}.", ".")


def without_weights(
    model: WhisperForConditionalGeneration, *, with_adapters: bool = True
) -> WhisperForConditionalGeneration:
    """A model of the same settings and adapters on torch's `meta` device. Give it memory, then tie its weights."""
    with torch.device("meta"):
        empty = WhisperForConditionalGeneration(copy.deepcopy(model.config))
        if with_adapters and has_adapters(model):
            from peft import inject_adapter_in_model

            inject_adapter_in_model(copy.deepcopy(_config(model)), empty)
    assert not list(empty.buffers()), "they would be left empty"
    empty.generation_config = copy.deepcopy(model.generation_config)
    return empty


def merged(model: WhisperForConditionalGeneration) -> WhisperForConditionalGeneration:
    """An ordinary Whisper in fp32 on the CPU, with the adapters' work in its weights. `model` stays as it is.

    What has no adapter may share its memory with `model`.
    """
    from peft.utils.other import ModulesToSaveWrapper

    tensors = {name: tensor.cpu().float() for name, tensor in base_tensors(model).items()}
    for name, layer in _adapted_layers(model):
        own = copy.deepcopy(layer)  # merging changes a layer, and to undo it would round
        own.to("cpu", torch.float32).merge()
        tensors[f"{name}.weight"] = own.get_base_layer().weight.detach()
    for name, layer in model.named_modules():
        if isinstance(layer, ModulesToSaveWrapper):
            trained = layer.modules_to_save[_NAME].state_dict()
            tensors |= {f"{name}.{key}": tensor.cpu().float() for key, tensor in trained.items()}
    plain = without_weights(model, with_adapters=False)
    plain.load_state_dict(tensors, assign=True)
    plain.tie_weights()
    return plain.eval()


def save_adapters(model: nn.Module, folder: Path) -> None:
    """Write adapter_config.json and the adapters' weights, for `PeftModel.from_pretrained` on top of the base model."""
    from peft import get_peft_model_state_dict

    # "auto" would ask the Hub for the base model's configuration
    tensors = get_peft_model_state_dict(model, save_embedding_layers=False)
    named = {f"{PREFIX}{name}": tensor.contiguous() for name, tensor in tensors.items()}
    save_file(named, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    config = {**_config(model).to_dict(), "inference_mode": True}
    # peft keeps names in sets, whose order changes from process to process
    content = {name: sorted(value) if isinstance(value, set) else value for name, value in config.items()}
    (folder / ADAPTER_SETTINGS).write_text(json.dumps(content, indent=2, sort_keys=True), encoding="utf-8")


def _adapted_layers(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """(full name, layer of peft's)."""
    from peft.tuners.lora import Linear as AdaptedLinear

    return ((name, layer) for name, layer in model.named_modules() if isinstance(layer, AdaptedLinear))


def _config(model: nn.Module) -> Any:
    return vars(model)["peft_config"][_NAME]


def _trained_layers(model: WhisperForConditionalGeneration) -> Iterator[tuple[str, nn.Module]]:
    """(full name, layer) of each layer that holds weights, all of them trained, and not shared with another layer.

    The token embedding is the output projection too: peft's copy or adapter of one would take the two apart.
    """
    shared = model.get_input_embeddings().weight
    for name, layer in model.named_modules():
        weights = list(layer.parameters(recurse=False))
        if weights and all(weight.requires_grad and weight is not shared for weight in weights):
            yield name, layer


def _of_these_names(wanted: Sequence[str], layers: Collection[str], *, setting: str, kind: str) -> list[str]:
    """The full names of the layers that are called as wanted, by their last names or more of them.

    Raises:
        UserError: there is none of a name.
    """
    chosen = {name: [layer for layer in layers if f".{layer}".endswith(f".{name}")] for name in wanted}
    missing = [name for name, found in chosen.items() if not found]
    if missing:
        is_shared = any(name.rpartition(".")[2] in ("embed_tokens", "proj_out") for name in missing)
        why = "; token embedding and output projection share their weights, and must keep doing so" if is_shared else ""
        known = sorted({layer.rpartition(".")[2] for layer in layers})
        raise UserError(
            f"the model has no {kind} {' or '.join(map(repr, missing))} that is trained{why}",
            setting=setting,
            value=list(wanted),
            remedy=f"give any of {', '.join(known)}",
            same_on_every_rank=True,
        )
    return list(dict.fromkeys(layer for found in chosen.values() for layer in found))
