"""ggml: one file for whisper.cpp, in the layout of its own convert-h5-to-ggml.py, run by pywhispercpp."""

import struct
from importlib.metadata import version
from pathlib import Path
from typing import IO

import numpy as np
import torch
from transformers import WhisperForConditionalGeneration, WhisperProcessor
from transformers.convert_slow_tokenizer import bytes_to_unicode

from accel_asr.exporting.decoding_arguments import read_settings
from accel_asr.exporting.exported_model import Clip
from accel_asr.model.folder.generation_settings import is_multilingual
from accel_asr.model.spelling import Spelling

MODEL_FILE = "ggml-model.bin"
MOST_TOKENS = 220  # whisper.cpp makes at most half of 448 positions, less 4
MAGIC = 0x67676D6C
FLOAT32, FLOAT16 = 0, 1  # as ggml numbers the types of tensors, and of the model
FRAMES = 3000  # whisper.cpp has a fixed window of 30 s
VOCABULARIES = {
    51_864: False,
    51_865: True,
    51_866: True,
}  # size -> multilingual: the size decides about special tokens
# transformers' names -> OpenAI's, which whisper.cpp has
PARTS = {
    "self_attn.k_proj": "attn.key",
    "self_attn.q_proj": "attn.query",
    "self_attn.v_proj": "attn.value",
    "self_attn.out_proj": "attn.out",
    "self_attn_layer_norm": "attn_ln",
    "encoder_attn.k_proj": "cross_attn.key",
    "encoder_attn.q_proj": "cross_attn.query",
    "encoder_attn.v_proj": "cross_attn.value",
    "encoder_attn.out_proj": "cross_attn.out",
    "encoder_attn_layer_norm": "cross_attn_ln",
    "fc1": "mlp.0",
    "fc2": "mlp.2",
    "final_layer_norm": "mlp_ln",
}
OUTSIDE_OF_LAYERS = {
    "encoder.layer_norm": "encoder.ln_post",
    "decoder.layer_norm": "decoder.ln",
    "encoder.embed_positions.weight": "encoder.positional_embedding",
    "decoder.embed_positions.weight": "decoder.positional_embedding",
    "decoder.embed_tokens.weight": "decoder.token_embedding.weight",
}
PROJECTION = "proj_out.weight"  # the embeddings again


def why_not_whisper_cpp(model: WhisperForConditionalGeneration, processor: WhisperProcessor) -> str | None:
    """Why whisper.cpp can't run this model; None when it can."""
    frames, vocabulary = processor.feature_extractor.nb_max_frames, model.config.vocab_size
    if frames != FRAMES:
        return f"its window is 30 s ({FRAMES} frames), and this model takes {frames} frames"
    multilingual = is_multilingual(model.generation_config)
    if VOCABULARIES.get(vocabulary) is not multilingual:
        kind = "a multilingual" if multilingual else "an English-only"
        return f"it tells special tokens by the size of OpenAI's vocabularies, and {vocabulary:,} is not {kind} model's"
    if model.config.activation_function != "gelu" or model.config.scale_embedding:
        return "it computes with gelu and unscaled embeddings only"
    return None


def write_ggml(model: WhisperForConditionalGeneration, processor: WhisperProcessor, path: Path) -> None:
    """Write a model that whisper.cpp can run; matrices in float16, the rest in float32."""
    config = model.config
    filters = processor.feature_extractor.mel_filters.T  # (mel bins, frequencies)
    with path.open("wb") as file:
        _write_integers(
            file,
            MAGIC,
            *(config.vocab_size, config.max_source_positions, config.d_model),
            *(config.encoder_attention_heads, config.encoder_layers),
            *(config.max_target_positions, config.d_model),
            *(config.decoder_attention_heads, config.decoder_layers),
            *(config.num_mel_bins, FLOAT16),
        )
        _write_integers(file, *filters.shape)
        file.write(filters.astype("<f4").tobytes())
        _write_words(file, processor)
        for name, tensor in model.state_dict().items():
            if name != PROJECTION:
                _write_tensor(file, ggml_name(name), tensor)


def ggml_name(name: str) -> str:
    """whisper.cpp's name for a tensor of transformers' Whisper."""
    name = name.removeprefix("model.")
    for ours, theirs in OUTSIDE_OF_LAYERS.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    side, kind, *rest = name.split(".")
    if kind != "layers":
        return name
    number, *part, last = rest
    return ".".join([side, "blocks", number, PARTS[".".join(part)], last])


def _write_words(file: IO[bytes], processor: WhisperProcessor) -> None:
    """The ordinary tokens as bytes, in the order of their ids; whisper.cpp adds the special ones itself."""
    tokenizer = processor.tokenizer
    bytes_of = {character: byte for byte, character in bytes_to_unicode().items()}
    words = {number: word for word, number in tokenizer.get_vocab().items() if number < tokenizer.eos_token_id}
    assert sorted(words) == list(range(tokenizer.eos_token_id)), "whisper.cpp counts tokens from 0"
    _write_integers(file, len(words))
    for number in range(len(words)):
        word = bytes(bytes_of[character] for character in words[number])
        _write_integers(file, len(word))
        file.write(word)


def _write_tensor(file: IO[bytes], name: str, tensor: torch.Tensor) -> None:
    array = tensor.detach().float().squeeze().numpy()
    if name in ("encoder.conv1.bias", "encoder.conv2.bias"):
        array = array[:, None]
    is_half = array.ndim >= 2 and not name.endswith(("positional_embedding", ".bias"))
    encoded = name.encode()
    _write_integers(file, array.ndim, len(encoded), FLOAT16 if is_half else FLOAT32, *reversed(array.shape))
    file.write(encoded)
    file.write(array.astype("<f2" if is_half else "<f4").tobytes())


def _write_integers(file: IO[bytes], *numbers: int) -> None:
    file.write(struct.pack(f"<{len(numbers)}i", *numbers))


class WhisperCpp:
    """An exported file in pywhispercpp, with the arguments of the folder, as its users run it."""

    def __init__(self, folder: Path, *, processor: WhisperProcessor, threads: int) -> None:
        from pywhispercpp.model import Model

        self._settings = read_settings(folder)
        self._model = Model(
            str(folder / MODEL_FILE), redirect_whispercpp_logs_to=None, n_threads=threads, **self._settings["model"]
        )
        self._window_samples = processor.feature_extractor.n_samples
        self._spelling = Spelling(processor.tokenizer)
        self.runtime = f"whisper.cpp in pywhispercpp {version('pywhispercpp')}, float16 on cpu"

    def transcribe(self, clip: Clip) -> tuple[str, list[int]]:
        """(text, its token ids, encoded again) of one clip."""
        # it transcribes nothing shorter than a second
        padded = np.pad(clip.samples, (0, max(0, self._window_samples - len(clip.samples))))
        segments = self._model.transcribe(
            padded,
            **self._settings["transcribe"]
            | {
                "language": clip.language or "en",
                "translate": clip.task == "translate",
                "max_tokens": clip.max_new_tokens,
                "prompt_tokens": list(clip.previous_ids) or None,
            },
        )
        text = " ".join(segment.text for segment in segments).strip()
        return text, list(self._spelling.ids(" " + text))
