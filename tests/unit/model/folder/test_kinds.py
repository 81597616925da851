"""What people have and take for a model folder: each is recognised, and the way to a model is told."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from accel_asr.errors import UserError
from accel_asr.model.folder.examination import examine
from tests.unit.model.folder.conftest import refusal

KINDS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "CTranslate2": (
        {"model.bin": b"x", "config.json": {"alignment_heads": []}, "vocabulary.json": [], "tokenizer.json": {}},
        ["CTranslate2", "faster-whisper", "converted from"],
    ),
    "our CTranslate2": (
        {"model.bin": b"x", "config.json": {}, "vocabulary.json": [], "export.json": {"model": "runs/a/best"}},
        ["CTranslate2", "exported from 'runs/a/best'"],
    ),
    "ONNX": ({"encoder_model.onnx": b"x", "config.json": {"model_type": "whisper"}}, ["ONNX", "converted from"]),
    "ggml": ({"ggml-tiny.bin": b"lmgg"}, ["whisper.cpp", "converted from"]),
    "gguf": ({"whisper.gguf": b"GGUF"}, ["whisper.cpp"]),
    "OpenAI": ({"tiny.en.pt": b"PK"}, ["OpenAI", "openai/whisper-tiny", "convert_openai_to_hf", "tiny.en.pt"]),
    "MLX": ({"weights.npz": b"PK", "config.json": {"n_mels": 80}}, ["MLX"]),
    "pickle": (
        {"pytorch_model.bin": b"PK", "config.json": {"model_type": "whisper"}},
        ["pickle", "use_safetensors=False", "save_pretrained"],
    ),
    "pickle in shards": ({"pytorch_model-00001-of-00002.bin": b"", "config.json": {}}, ["pickle"]),
    "TensorFlow": ({"tf_model.h5": b"", "config.json": {}}, ["TensorFlow", "from_tf=True", "transformers<5"]),
    "Flax": ({"flax_model.msgpack": b"", "config.json": {}}, ["Flax", "from_flax=True"]),
    "NeMo": ({"model.nemo": b""}, ["another program"]),
    "empty": ({}, ["empty", "RUN/best"]),
    "tokenizer": ({"tokenizer.json": {}, "tokenizer_config.json": {}}, ["tokenizer and no model"]),
    "no weights": (
        {"config.json": {"model_type": "whisper"}, "tokenizer.json": {}},
        ["no weights", "model.safetensors"],
    ),
    "no configuration": ({"model.safetensors": b"", "tokenizer.json": {}}, ["no config.json"]),
    "recordings": ({"a.wav": b"", "metadata.csv": b""}, ["recordings", "data.name_or_path"]),
    "something else": ({"notes.txt": b""}, ["no config.json", "notes.txt"]),
    "run": ({"best/config.json": {}, "config.yaml": b"", "summary.json": {}}, ["run", "/best'"]),
    "run without best": ({"checkpoints/step-00000010/state.json": {}, "config.yaml": b""}, ["no config.json"]),
    "checkpoint": (
        {"state.json": {}, "optimizer.safetensors": b"", "rng.safetensors": b"", "model.safetensors": b""},
        ["checkpoint to resume from", "best/ or last/"],
    ),
    "cache": ({"snapshots/abc/config.json": {}, "refs/main": b"abc", "blobs/1": b""}, ["cache", "snapshots/abc"]),
    "Trainer": ({"checkpoint-500/config.json": {}, "checkpoint-90/config.json": {}}, ["checkpoints", "checkpoint-500"]),
    "one deeper": ({"whisper-tiny/config.json": {}, "README.md": b""}, ["inside", "/whisper-tiny'"]),
}


def fill(folder: Path, files: dict[str, Any]) -> Path:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_model_folder_is_told_by_what_it_is_and_how_to_get_to_one(tmp_path: Path, kind: str) -> None:
    files, words = KINDS[kind]
    message = refusal(fill(tmp_path / "given", files))
    assert all(word in message for word in words), message


def test_a_checkpoint_of_a_run_leads_to_the_runs_best(tmp_path: Path, tiny_folder: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_folder, run / "best")
    checkpoint = fill(run / "checkpoints" / "step-00000010", {"state.json": {}, "optimizer.safetensors": b""})
    assert f"give {str(run / 'best')!r}" in refusal(checkpoint)
    assert f"{str(run / 'best')!r}, so give that" in refusal(run / "checkpoints")
    assert f"{str(run / 'best')!r}, so give that" in refusal(run)


FILES = {
    "tiny.pt": (b"PK", "OpenAI"),
    "ggml-base.bin": (b"lmgg", "whisper.cpp"),
    "a.gguf": (b"GGUF", "whisper.cpp"),
    "a.onnx": (b"", "ONNX"),
    "a.nemo": (b"", "another program"),
    "model.tar.gz": (b"", "unpack"),
    "job.yaml": (b"", "--config"),
    "model.safetensors": (b"", "folder that it lies in"),
    "config.json": (b"{}", "folder that it lies in"),
    "notes": (b"", "give the folder"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_in_place_of_a_folder_is_told_by_what_it_is(tmp_path: Path, name: str) -> None:
    content, word = FILES[name]
    (tmp_path / name).write_bytes(content)
    assert word in refusal(tmp_path / name)


def test_a_complete_folder_may_hold_other_formats_too(folder: Path) -> None:
    for name in ("pytorch_model.bin", "flax_model.msgpack", "encoder_model.onnx", "tf_model.h5"):
        (folder / name).touch()
    assert examine(str(folder), name="m").notes == []


def test_a_complete_folder_may_hold_other_folders_of_models(folder: Path) -> None:
    for name in ("best", "checkpoint-500", "onnx"):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text("{}")
    assert examine(str(folder), name="m").notes == []


def test_an_adapter_beside_whole_weights_is_not_said_to_lack_them(folder: Path) -> None:
    """transformers would load its base model and not these weights."""
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "openai/whisper-base"}')
    message = refusal(folder)
    for words in ("whole weights", "take adapter_config.json"):
        assert words in message


def test_a_folder_that_may_not_be_read_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(UserError, match="Permission denied"):
        examine(str(tmp_path), name="m")
