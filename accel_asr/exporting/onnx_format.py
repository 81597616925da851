"""ONNX: the graphs of the encoder and of one decoder step with its cache, run by the greedy loop in the folder.

Written by hand, since optimum's exporter does not install beside transformers 5.
"""

import logging
import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import WhisperForConditionalGeneration, WhisperTokenizer

from accel_asr.exporting.exported_model import Clip
from accel_asr.model.spelling import Spelling

ENCODER_FILE, DECODER_FILE = "encoder_model.onnx", "decoder_model.onnx"
LOOP_FILE = "onnx_greedy.py"
OPSET = 18  # the first that torch's exporter writes without converting


class EncoderGraph(nn.Module):
    """Log-mel features to the keys and values of the decoder's cross-attention, which do not depend on the tokens."""

    def __init__(self, model: WhisperForConditionalGeneration) -> None:
        super().__init__()
        self.encoder = model.model.encoder
        self.attentions: Any = nn.ModuleList(layer.encoder_attn for layer in model.model.decoder.layers)
        self.heads = model.config.decoder_attention_heads

    def forward(self, input_features: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(batch, mel bins, frames) -> key, value of each layer in turn, (batch, heads, positions, head size)."""
        hidden = self.encoder(input_features).last_hidden_state
        return tuple(
            _split_heads(projection(hidden), self.heads)
            for attention in self.attentions
            for projection in (attention.k_proj, attention.v_proj)
        )


class DecoderGraph(nn.Module):
    """The next token's logits, from new tokens and the keys and values of those before; the first call has none.

    Composed of the model's own layers: the exporter can't trace transformers' caches and masks, which are Python
    objects.
    """

    def __init__(self, model: WhisperForConditionalGeneration) -> None:
        super().__init__()
        self.decoder = model.model.decoder
        self.projection = model.proj_out

    def forward(
        self, input_ids: torch.Tensor, cross: list[torch.Tensor], past: list[torch.Tensor]
    ) -> tuple[torch.Tensor, ...]:
        """One step.

        Args:
            input_ids: (batch, tokens).
            cross: The output of EncoderGraph.
            past: Key and value of each layer in turn, (batch, heads, past, head size); with past 0 at first.

        Returns:
            logits (batch, vocabulary) after the last token, then key and value of each layer, now past + tokens long.
        """
        decoder, tokens, before = self.decoder, input_ids.shape[1], past[0].shape[2]
        positions = torch.arange(tokens, device=input_ids.device) + before
        hidden = decoder.embed_tokens(input_ids) + decoder.embed_positions.weight[positions]
        seen = torch.arange(tokens + before, device=input_ids.device)[None, :] <= positions[:, None]
        present: list[torch.Tensor] = []
        for number, layer in enumerate(decoder.layers):
            attention = layer.self_attn
            normed = layer.self_attn_layer_norm(hidden)
            key = torch.cat((past[2 * number], _split_heads(attention.k_proj(normed), attention.num_heads)), dim=2)
            value = torch.cat(
                (past[2 * number + 1], _split_heads(attention.v_proj(normed), attention.num_heads)), dim=2
            )
            present += (key, value)
            hidden = hidden + _attend(attention, normed, key, value, seen=seen)
            normed = layer.encoder_attn_layer_norm(hidden)
            hidden = hidden + _attend(layer.encoder_attn, normed, cross[2 * number], cross[2 * number + 1], seen=None)
            normed = layer.final_layer_norm(hidden)
            hidden = hidden + layer.fc2(layer.activation_fn(layer.fc1(normed)))
        return self.projection(decoder.layer_norm(hidden[:, -1])), *present


def write_graphs(model: WhisperForConditionalGeneration, folder: Path) -> None:
    """Write both graphs in fp32, weights beside them (`.onnx.data`), for any number of clips and tokens.

    Inputs and outputs: input_features -> cross_0 ...; input_ids, cross_0 ..., past_0 ... -> logits, present_0 ...
    """
    config = model.config
    count, heads = 2 * config.decoder_layers, config.decoder_attention_heads
    head_size = config.d_model // heads
    frames = 2 * config.max_source_positions
    numbers = range(count)
    batch, tokens, before = (torch.export.Dim(name) for name in ("batch", "tokens", "past"))
    features = torch.zeros(2, config.num_mel_bins, frames)
    _write(
        EncoderGraph(model).eval(),
        (features,),
        folder / ENCODER_FILE,
        input_names=["input_features"],
        output_names=[f"cross_{number}" for number in numbers],
        dynamic_shapes=({0: batch},),
    )
    # sizes above 1: torch.export would take 1 for a constant
    cross = [torch.zeros(2, heads, config.max_source_positions, head_size) for _ in numbers]
    past = [torch.zeros(2, heads, 3, head_size) for _ in numbers]
    _write(
        DecoderGraph(model).eval(),
        (torch.zeros(2, 2, dtype=torch.int64), cross, past),
        folder / DECODER_FILE,
        input_names=[
            "input_ids",
            *(f"cross_{number}" for number in numbers),
            *(f"past_{number}" for number in numbers),
        ],
        output_names=["logits", *(f"present_{number}" for number in numbers)],
        dynamic_shapes=({0: batch, 1: tokens}, [{0: batch} for _ in numbers], [{0: batch, 2: before} for _ in numbers]),
    )


def _write(graph: nn.Module, inputs: tuple[Any, ...], path: Path, **names: Any) -> None:
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it warns four times about torchvision, and traces each symbol
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the exporter's internals
            torch.onnx.export(graph, inputs, path, dynamo=True, opset_version=OPSET, verbose=False, **names)
    finally:
        logging.disable(disabled)


def _split_heads(tensor: torch.Tensor, heads: int) -> torch.Tensor:
    """(batch, length, width) -> (batch, heads, length, head size)."""
    return tensor.unflatten(2, (heads, -1)).transpose(1, 2)


def _attend(
    attention: Any, normed: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *, seen: torch.Tensor | None
) -> torch.Tensor:
    """Attention of (batch, tokens, width) to key and value; `seen` (tokens, length) says what each token may see."""
    query = _split_heads(attention.q_proj(normed), key.shape[1])
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=seen)
    return attention.out_proj(mixed.transpose(1, 2).flatten(2))


def convert_to_onnx(model: WhisperForConditionalGeneration, folder: Path) -> None:
    """Write both graphs and the greedy loop to `folder`. `model` must be on the CPU."""
    write_graphs(model, folder)
    shutil.copyfile(Path(__file__).with_name(LOOP_FILE), folder / LOOP_FILE)


class Onnx:
    """An exported folder in ONNX Runtime."""

    def __init__(self, folder: Path, *, threads: int) -> None:
        import onnxruntime

        from accel_asr.exporting.onnx_greedy import OnnxWhisper

        self._model = OnnxWhisper(folder, threads=threads)
        self._spelling = Spelling(WhisperTokenizer.from_pretrained(folder))
        self.runtime = f"ONNX Runtime {onnxruntime.__version__}, float32 on cpu"

    def transcribe(self, clip: Clip) -> tuple[str, list[int]]:
        """(text, token ids) of one clip."""
        token_ids = self._model.generate(clip.features, list(clip.start_ids), clip.max_new_tokens)
        return self._spelling.text(token_ids), token_ids
