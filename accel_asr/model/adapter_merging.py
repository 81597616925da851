"""An adapter, as peft saved it, merged into the base model that was loaded for it."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import WhisperForConditionalGeneration

from accel_asr.errors import UserError
from accel_asr.model.folder.adapter_folder import ADAPTER_SETTINGS
from accel_asr.model.folder.examination import SETTING


def merge_adapter(
    model: WhisperForConditionalGeneration, weights: Path, *, name: str
) -> WhisperForConditionalGeneration:
    """The same model with the adapter's changes added to its weights (`merge_and_unload`): no module of peft is left.

    Args:
        weights: adapter_model.safetensors, with adapter_config.json beside it.
        name: Of the adapter, as the user gave it.

    Raises:
        UserError: peft can't do it, or the adapter belongs to another model.
    """
    try:
        with _quiet():
            wrapped, missing, unknown = _wrapped(model, weights)
            merged = wrapped.merge_and_unload()
    except Exception as error:  # peft checks little of what it reads, and raises whatever comes of it
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise UserError(
            f"its adapter can't be merged into the base model ({reason})", setting=SETTING, value=name
        ) from error
    for names, what in ((missing, "lacks tensors that"), (unknown, "has tensors, which would be left out, that not")):
        if names:
            raise UserError(
                f"its adapter {what} {ADAPTER_SETTINGS} asks for: {names[0]} and {len(names) - 1:,} more",
                setting=SETTING,
                value=name,
                remedy="take both files from one adapter, or save it with peft again",
            )
    merged.requires_grad_(True)  # peft froze what it wrapped
    return merged


def _wrapped(model: WhisperForConditionalGeneration, weights: Path) -> tuple[Any, list[str], list[str]]:
    """(peft's model, tensors that the adapter lacks, tensors of it that found no place)."""
    from peft import PeftConfig, PeftModel, set_peft_model_state_dict
    from peft.mapping import PEFT_TYPE_TO_PREFIX_MAPPING

    tensors = load_file(weights)
    settings = PeftConfig.from_pretrained(str(weights.parent))
    settings.inference_mode = True
    _untie(model, list(tensors), keep=getattr(settings, "ensure_weight_tying", False))
    # not PeftModel.from_pretrained, which only warns of what is missing or has no place, and opens pickles
    wrapped = PeftModel(model, settings)
    loaded: Any = set_peft_model_state_dict(wrapped, tensors)
    prefix = PEFT_TYPE_TO_PREFIX_MAPPING.get(settings.peft_type)  # such as `lora_`
    missing = [name for name in loaded.missing_keys if prefix and prefix in name and not _is_shared(name)]
    return wrapped, missing, list(loaded.unexpected_keys)


def _is_shared(name: str) -> bool:
    """Whether it is a second name of one tensor of the whole adapter, which is saved once."""
    return any(part in name for part in (".tinylora_v.", ".unilora_theta_d."))


def _untie(model: WhisperForConditionalGeneration, adapted: list[str], *, keep: bool) -> None:
    """Give the output projection weights of its own where an adapter changes it or the embeddings, and not both.

    Merging adds to the weights in place, so that a change of the one would be a change of the other.
    """
    touched = any(part in name for name in adapted for part in (".proj_out.lora", ".embed_tokens.lora"))
    if touched and model.config.tie_word_embeddings and not keep:
        model.proj_out.weight = nn.Parameter(model.proj_out.weight.detach().clone())
        model.config.tie_word_embeddings = False


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what peft, and packages that it looks for, say of themselves."""
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):  # new adapters start at random
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.ERROR)
        try:
            yield
        finally:
            logging.disable(before)
