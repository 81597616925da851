"""Memory of a training step, by what is trained and how: `python -m benchmarks.memory`.

A Whisper of whisper-base's size with random weights, or a model folder, makes a step on clips that fill the window,
with an optimizer that has its state. Each row is a process of its own. Weights, gradients and optimizer are the bytes
of their tensors; activations are what the process holds more at the end of the forward pass; the peak is the most that
it held in the whole step beyond what it held before there was a model. Both are resident memory (on a GPU: allocated
tensors), so that all that a step needs counts. Writes nothing; prints a table and, last, one JSON line.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Any

from accel_asr.config.lora_settings import LoraConfig

MB = 10**6
# glibc keeps freed blocks of up to 32 MB, which nothing needs and a GPU's allocator would use again
FREED_AT_ONCE = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
BAR = 1 / 3  # of full training's peak: what adapters with checkpointing may need
FULL, BEST = "full", "LoRA, checkpointing"


@dataclass(frozen=True)
class Row:
    """What is trained, and the settings of `training` for it."""

    frozen: tuple[str, ...] = ()
    lora: LoraConfig | None = None
    is_bf16: bool = False  # a training in bf16, with what is frozen stored in bf16
    training: dict[str, Any] = field(default_factory=dict)


LORA = LoraConfig(enabled=True)
BOTH = {"gradient_checkpointing": "both"}
ROWS = {
    FULL: Row(),
    "full, checkpointing of the encoder": Row(training={"gradient_checkpointing": "encoder"}),
    "full, checkpointing": Row(training=BOTH),
    "full, adamw_8bit": Row(training={"optim": "adamw_8bit"}),
    "full, adafactor": Row(training={"optim": "adafactor"}),
    "full, muon": Row(training={"optim": "muon"}),
    "full, adafactor, checkpointing": Row(training={"optim": "adafactor", **BOTH}),
    "encoder only": Row(frozen=("decoder",)),
    "encoder only, checkpointing": Row(frozen=("decoder",), training=BOTH),
    "LoRA": Row(lora=LORA),
    BEST: Row(lora=LORA, training=BOTH),
    "LoRA without dropout, checkpointing": Row(lora=replace(LORA, lora_dropout=0.0), training=BOTH),
    "full, bf16": Row(is_bf16=True),
    "LoRA, checkpointing, bf16": Row(lora=LORA, is_bf16=True, training=BOTH),
}


def measure(name: str, *, model_folder: str | None, size: str, batch_size: int, label_tokens: int) -> dict[str, float]:
    """One row, in this process: MB of each kind."""
    import torch
    from torch import nn

    from accel_asr.config.training_settings import TrainingConfig
    from accel_asr.model.adapter_layers import add_adapters
    from accel_asr.model.frozen_weights import store_frozen_in_bf16
    from accel_asr.model.parts import freeze
    from accel_asr.model.pretrained import parameter_counts, quiet_libraries
    from accel_asr.run.prepared_model import optimizer_for_steps
    from accel_asr.training.launch.device_memory import free_memory, used_bytes

    row, device = ROWS[name], torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    quiet_libraries()
    warm_up(device, is_lora=row.lora is not None, is_bf16=row.is_bf16, optim=row.training.get("optim", ""))
    free_memory()
    before = used_bytes(device)
    model = new_model(size) if model_folder is None else loaded_model(model_folder)
    model.to(device).train()
    freeze(model, row.frozen)
    if row.lora is not None:
        add_adapters(
            model,
            target_modules=row.lora.target_modules,
            modules_to_save=(),
            seed=0,
            base_name=size,
            base_revision=None,
            r=row.lora.r,
            lora_alpha=row.lora.lora_alpha,
            lora_dropout=row.lora.lora_dropout,
        )
    if row.is_bf16 and (row.frozen or row.lora is not None):
        store_frozen_in_bf16(model, keeps_originals=False)
    optimizer = optimizer_for_steps(model, TrainingConfig(**row.training), learning_rate=1e-5)
    shape = (batch_size, model.config.num_mel_bins, 2 * model.config.max_source_positions)
    tokens = torch.randint(model.config.vocab_size, (batch_size, label_tokens), device=device)
    inputs = {
        "input_features": torch.randn(shape, device=device),
        "decoder_input_ids": tokens,
        "use_cache": False,
        "target_positions": torch.arange(tokens.numel(), device=device),
        "target_labels": tokens.flatten(),
        "row_seeds": torch.arange(batch_size, device=device),
    }
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()  # from here on it has its state
    optimizer.zero_grad()
    free_memory()
    with peak_of(device) as peak:
        resting = used_bytes(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=row.is_bf16):
            loss = model(**inputs).loss_sum / tokens.numel()
        measured = {"activations_mb": (used_bytes(device) - resting) / MB}
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    measured["peak_mb"] = (peak() - before) / MB
    tensors = {
        "weights_mb": list(model.parameters()),
        "gradients_mb": [weight.grad for weight in model.parameters() if weight.grad is not None],
        "optimizer_mb": [
            value for state in optimizer.state.values() for value in state.values() if isinstance(value, torch.Tensor)
        ],
    }
    sizes = {kind: sum({t.data_ptr(): t.nbytes for t in held}.values()) / MB for kind, held in tensors.items()}
    return {"trained_parameters": parameter_counts(model)[1], **sizes, **measured}


def warm_up(device: Any, *, is_lora: bool, is_bf16: bool, optim: str) -> None:
    """Import and start what would else count as memory of the first step."""
    import torch
    import transformers.optimization  # noqa: F401

    if is_lora:
        import peft  # noqa: F401
    if optim == "adamw_8bit":
        import bitsandbytes  # noqa: F401
    layer = torch.nn.TransformerEncoderLayer(64, 2, batch_first=True).to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=is_bf16):
        layer(torch.randn(2, 32, 64, device=device)).sum().backward()


def peak_of(device: Any) -> Any:
    """A context that gives a function: the most that was used since it was entered, in bytes."""
    from contextlib import contextmanager

    import torch

    from accel_asr.training.launch.device_memory import peak_watched

    @contextmanager
    def watched() -> Any:
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            yield lambda: torch.cuda.max_memory_allocated(device)
        else:
            with peak_watched() as peak:
                yield lambda: peak.bytes

    return watched()


def new_model(size: str) -> Any:
    """A random Whisper of that size."""
    from transformers import WhisperConfig

    from accel_asr.model.whisper_for_training import WhisperForTraining

    sizes = {"whisper-base": (512, 6, 8, 1500, 51_865), "tiny": (16, 1, 2, 100, 300)}
    width, layers, heads, positions, vocabulary = sizes[size]
    return WhisperForTraining(
        WhisperConfig(
            vocab_size=vocabulary,
            d_model=width,
            encoder_layers=layers,
            decoder_layers=layers,
            encoder_attention_heads=heads,
            decoder_attention_heads=heads,
            encoder_ffn_dim=4 * width,
            decoder_ffn_dim=4 * width,
            max_source_positions=positions,
            pad_token_id=vocabulary - 1,
            bos_token_id=vocabulary - 1,
            eos_token_id=vocabulary - 1,
            decoder_start_token_id=vocabulary - 2,
            suppress_tokens=None,
            begin_suppress_tokens=None,
        )
    )


def loaded_model(folder: str) -> Any:
    """That of a folder."""
    from accel_asr.model.pretrained import load_model_and_processor

    return load_model_and_processor(folder)[0]


def in_new_process(name: str, options: argparse.Namespace) -> dict[str, float]:
    """`measure` in a new process."""
    code = "import json, sys; from benchmarks.memory import measure; "
    code += "print(json.dumps(measure(sys.argv[1], **json.loads(sys.argv[2]))))"
    keywords = {
        "model_folder": options.model,
        "size": options.size,
        "batch_size": options.batch_size,
        "label_tokens": options.label_tokens,
    }
    command = [sys.executable, "-c", code, name, json.dumps(keywords)]
    env = {**os.environ, **FREED_AT_ONCE}
    done = subprocess.run(command, stdout=subprocess.PIPE, env=env, text=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def main() -> None:
    """Measure every row, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="a model folder in place of random weights")
    parser.add_argument("--size", choices=["whisper-base", "tiny"], default="whisper-base", help="of random weights")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--label_tokens", type=int, default=48)
    parser.add_argument("--rows", nargs="+", choices=[*ROWS], default=[*ROWS], metavar="ROW")
    options = parser.parse_args()
    columns = ("weights_mb", "gradients_mb", "optimizer_mb", "activations_mb", "peak_mb")
    print("| trained | parameters | " + " | ".join(columns) + " | of full |\n|" + "---|" * (3 + len(columns)))
    results: dict[str, dict[str, float]] = {}
    for name in options.rows:
        result = results[name] = in_new_process(name, options)
        numbers = " | ".join(f"{result[column]:,.0f}" for column in columns)
        share = f"{result['peak_mb'] / results[FULL]['peak_mb']:.0%}" if FULL in results else ""
        print(f"| {name} | {result['trained_parameters']:,} | {numbers} | {share} |", flush=True)
    if {FULL, BEST} <= {*results}:
        share_of_full = results[BEST]["peak_mb"] / results[FULL]["peak_mb"]
        verdict = "met" if share_of_full < BAR else "missed"
        print(f"{BEST}: {share_of_full:.0%} of full training's peak, and less than a third wanted: {verdict}")
    about = {name: version(name) for name in ("torch", "transformers")} | {"python": platform.python_version()}
    print(json.dumps({"benchmark": "memory", "options": vars(options), "results": results, "versions": about}))


if __name__ == "__main__":
    main()
