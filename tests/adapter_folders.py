"""Adapter folders as peft itself writes them, over transformers' own Whisper, with changes that are not zero."""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import WhisperForConditionalGeneration


def make_adapter(base: Path, folder: Path, config: Any = None, *, named: str | None = None, size: float = 0.05) -> Path:
    """Wrap `base` by a configuration of peft (default: a small LoRA), change the adapter at random, and save it.

    Args:
        named: What adapter_config.json calls the base model; default is its folder.
    """
    import peft

    config = config or peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        whisper = WhisperForConditionalGeneration.from_pretrained(base, dtype=torch.float32)
        model = peft.get_peft_model(whisper, config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter), alpha=size)
    model.save_pretrained(folder)
    (folder / "README.md").unlink()  # peft's card
    if named is not None:
        change_adapter(folder, base_model_name_or_path=named)
    return folder


def change_adapter(folder: Path, **settings: Any) -> Path:
    """Change settings of adapter_config.json."""
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    return folder
