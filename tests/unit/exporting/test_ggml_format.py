"""The ggml file is laid out as whisper.cpp reads it, and what it can't run is refused in words."""

import copy
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accel_asr.commands import export
from accel_asr.exporting import export_folder, ggml_format
from accel_asr.exporting.ggml_format import ggml_name, why_not_whisper_cpp, write_ggml
from tests.refusals import refused

NAMES = {
    "model.encoder.conv1.weight": "encoder.conv1.weight",
    "model.encoder.embed_positions.weight": "encoder.positional_embedding",
    "model.encoder.layer_norm.bias": "encoder.ln_post.bias",
    "model.encoder.layers.3.self_attn.k_proj.weight": "encoder.blocks.3.attn.key.weight",
    "model.encoder.layers.0.self_attn_layer_norm.weight": "encoder.blocks.0.attn_ln.weight",
    "model.decoder.embed_tokens.weight": "decoder.token_embedding.weight",
    "model.decoder.layer_norm.weight": "decoder.ln.weight",
    "model.decoder.layers.11.encoder_attn.out_proj.bias": "decoder.blocks.11.cross_attn.out.bias",
    "model.decoder.layers.1.fc2.weight": "decoder.blocks.1.mlp.2.weight",
    "model.decoder.layers.1.final_layer_norm.bias": "decoder.blocks.1.mlp_ln.bias",
}


@pytest.mark.parametrize("name", NAMES)
def test_tensors_have_openais_names(name: str) -> None:
    assert ggml_name(name) == NAMES[name]


class Reader:
    """The file from its beginning, as whisper.cpp's loader goes through it."""

    def __init__(self, path: Path) -> None:
        self.content, self.place = path.read_bytes(), 0

    def integers(self, count: int) -> tuple[int, ...]:
        return struct.unpack("<" + "i" * count, self.take(4 * count))

    def take(self, count: int) -> bytes:
        self.place += count
        assert self.place <= len(self.content)
        return self.content[self.place - count : self.place]


def test_the_file_holds_sizes_filters_words_and_tensors(model_and_processor: Any, tmp_path: Path) -> None:
    model, processor = model_and_processor
    write_ggml(model, processor, tmp_path / "model.bin")
    reader = Reader(tmp_path / "model.bin")
    assert reader.integers(1) == (0x67676D6C,)
    vocabulary = model.config.vocab_size
    assert reader.integers(11) == (vocabulary, 100, 16, 2, 2, 448, 16, 2, 2, 80, 1)
    assert reader.integers(2) == (80, 201)
    filters = np.frombuffer(reader.take(4 * 80 * 201), "<f4").reshape(80, 201)
    assert np.allclose(filters, processor.feature_extractor.mel_filters.T)

    words = [reader.take(reader.integers(1)[0]) for _ in range(reader.integers(1)[0])]
    assert len(words) == processor.tokenizer.eos_token_id
    assert sorted(word for word in words if len(word) == 1) == [bytes([byte]) for byte in range(256)]
    ids = processor.tokenizer("my card, é", add_special_tokens=False).input_ids
    assert b"".join(words[number] for number in ids).decode() == "my card, é"

    state = {ggml_name(name): tensor for name, tensor in model.state_dict().items() if name != "proj_out.weight"}
    while reader.place < len(reader.content):
        dimensions, length, kind = reader.integers(3)
        shape = reader.integers(dimensions)[::-1]
        name = reader.take(length).decode()
        expected = state.pop(name).numpy()
        kept_whole = expected.ndim < 2 or "positional" in name
        assert kind == (0 if kept_whole else 1), name
        values = np.frombuffer(reader.take((4 if kept_whole else 2) * expected.size), "<f4" if kept_whole else "<f2")
        assert shape == ((16, 1) if name in ("encoder.conv1.bias", "encoder.conv2.bias") else expected.shape)
        assert np.allclose(values.reshape(expected.shape), expected, rtol=1e-3, atol=1e-4), name
    assert state == {}


def test_models_that_whisper_cpp_can_not_run_are_refused(in_faster_whisper: Any, model_and_processor: Any) -> None:
    model, processor = copy.deepcopy(in_faster_whisper[0]), in_faster_whisper[1]
    with refused("--format", "200 frames", value="ggml", remedy="give ctranslate2 or onnx"):
        export_folder.require_runnable(*model_and_processor, export_format="ggml")
    export_folder.require_runnable(*model_and_processor, export_format="onnx")
    assert f"{model.config.vocab_size:,} is not an English-only" in str(why_not_whisper_cpp(model, processor))
    model.config.vocab_size = 51_864
    assert why_not_whisper_cpp(model, processor) is None
    model.generation_config.is_multilingual = True
    assert "a multilingual" in str(why_not_whisper_cpp(model, processor))
    model.config.vocab_size = 51_866
    assert why_not_whisper_cpp(model, processor) is None
    model.config.activation_function = "relu"
    assert "gelu" in str(why_not_whisper_cpp(model, processor))


def test_no_more_tokens_are_made_here_than_whisper_cpp_makes(model_and_processor: Any) -> None:
    model = model_and_processor[0]
    model.generation_config.max_new_tokens = 224
    (note,) = export_folder.limit_tokens(model, export_format="ggml")
    assert "whisper.cpp" in note
    assert model.generation_config.max_new_tokens == ggml_format.MOST_TOKENS


def test_weights_of_a_ggml_file_are_float16(tmp_path: Path) -> None:
    given = ["--model", "quickstart", "--format", "ggml", "--output_dir", str(tmp_path / "x"), "--quantization", "int8"]
    with refused("--quantization", "ggml", value="int8", remedy="float16"):
        export.main(given)
