"""Weights by their headers: torn, quantised, of other shapes or of other programs, in shards; and NaN when loaded."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from accel_asr.model.folder.examination import examine
from accel_asr.model.pretrained import load_model_and_processor
from tests.refusals import refused
from tests.unit.model.folder.conftest import Spoil, refusal, write

WEIGHTS = "model.safetensors"
FC1 = "model.decoder.layers.0.fc1.weight"
Tensors = dict[str, torch.Tensor]


@pytest.fixture
def tensors(tiny_folder: Path) -> Tensors:
    return load_file(tiny_folder / WEIGHTS)


def store(folder: Path, tensors: Tensors, name: str = WEIGHTS) -> Path:
    (folder / name).unlink(missing_ok=True)
    save_file(tensors, folder / name, {"format": "pt"})
    return folder


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda whole: whole[: len(whole) // 2], ["torn"]),
        (lambda whole: whole[:100], ["torn"]),
        (lambda whole: b"", ["empty"]),
        (lambda whole: b"\xff" * 8 + whole, ["torn"]),  # a header of 2^64 bytes
        (lambda whole: b"<html>not found</html>", ["torn"]),
        (lambda whole: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", ["git lfs pull"]),
    ],
    ids=["half", "header", "empty", "huge header", "page", "pointer"],
)
def test_a_file_that_is_not_whole_is_named(folder: Path, tiny_folder: Path, content, words: list[str]) -> None:
    write(folder / WEIGHTS, content((tiny_folder / WEIGHTS).read_bytes()))
    assert all(word in refusal(folder) for word in (WEIGHTS, *words))


def test_weights_that_are_missing_are_named(folder: Path, tensors: Tensors) -> None:
    tensors.pop(FC1)
    message = refusal(store(folder, tensors))
    assert "lacks weights" in message
    assert FC1 in message


def test_a_tensor_of_another_shape_is_named(folder: Path, tensors: Tensors) -> None:
    tensors["model.encoder.layers.1.fc2.bias"] = torch.zeros(7)
    message = refusal(store(folder, tensors))
    assert all(word in message for word in ("model.encoder.layers.1.fc2.bias", "(7,)", "(16,)"))


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.float8_e4m3fn])
def test_quantised_weights_are_refused(folder: Path, tensors: Tensors, dtype: torch.dtype) -> None:
    tensors[FC1] = tensors[FC1].to(dtype)
    message = refusal(store(folder, tensors))
    assert all(word in message for word in ("quantised", "made from"))


def test_half_precision_passes(folder: Path, tensors: Tensors) -> None:
    store(folder, {name: tensor.to(torch.bfloat16) for name, tensor in tensors.items()})
    assert examine(str(folder), name="m").notes == []


@pytest.mark.parametrize(
    ("rename", "word"),
    [
        (lambda name: f"module.{name}", "unwrap_model"),
        (lambda name: f"_orig_mod.{name}", "compiled"),
        (lambda name: f"base_model.model.{name}", "LoRA"),
        (lambda name: name.replace("model.encoder.layers", "encoder.blocks"), "MLX"),
    ],
)
def test_names_of_other_programs_are_known(folder: Path, tensors: Tensors, rename, word: str) -> None:
    assert word in refusal(store(folder, {rename(name): tensor for name, tensor in tensors.items()}))


def test_a_whisper_model_without_its_head_is_whole(folder: Path, tensors: Tensors, spoil: Spoil) -> None:
    store(folder, {name.removeprefix("model."): tensor for name, tensor in tensors.items()})
    spoil("config.json", architectures=["WhisperModel"])
    model, _ = load_model_and_processor(str(folder))
    assert torch.equal(model.state_dict()[FC1], tensors[FC1])
    assert torch.equal(model.proj_out.weight, tensors["model.decoder.embed_tokens.weight"])


def test_an_encoder_alone_is_refused(folder: Path, tensors: Tensors) -> None:
    store(folder, {name: tensor for name, tensor in tensors.items() if "encoder" in name and "decoder" not in name})
    assert "no decoder" in refusal(folder)


def test_tensors_that_no_whisper_has_are_ignored_and_that_is_said(folder: Path, tensors: Tensors) -> None:
    notes = examine(str(store(folder, tensors | {"ctc_head.weight": torch.zeros(3)})), name="m").notes
    assert len(notes) == 1
    assert "ctc_head.weight" in notes[0]


@pytest.fixture
def sharded(folder: Path, tensors: Tensors) -> dict[str, str]:
    """Two shards in place of one file; the map of tensors and files."""
    (folder / WEIGHTS).unlink()
    places = {name: f"model-0000{1 + index % 2}-of-00002.safetensors" for index, name in enumerate(tensors)}
    for shard in set(places.values()):
        store(folder, {name: tensors[name] for name, place in places.items() if place == shard}, shard)
    write(folder / f"{WEIGHTS}.index.json", json.dumps({"metadata": {}, "weight_map": places}))
    return places


def test_shards_are_read(folder: Path, sharded: dict[str, str], tensors: Tensors) -> None:
    model, _ = load_model_and_processor(str(folder))
    assert torch.equal(model.state_dict()[FC1], tensors[FC1])


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "/etc/passwd", "../model.safetensors", "a\\b.safetensors", "sub/model.safetensors", "x"],
)
def test_an_index_names_files_of_the_folder_only(folder: Path, sharded: dict[str, str], name: str) -> None:
    write(folder / f"{WEIGHTS}.index.json", json.dumps({"weight_map": sharded | {FC1: name}}))
    message = refusal(folder)
    assert repr(name) in message
    assert "of the folder only" in message


def test_a_missing_shard_and_a_tensor_that_is_not_in_its_shard_are_named(folder: Path, sharded: dict[str, str]) -> None:
    swapped = {FC1: "model-00001-of-00002.safetensors", **{n: p for n, p in sharded.items() if n != FC1}}
    if sharded[FC1] == swapped[FC1]:
        swapped[FC1] = "model-00002-of-00002.safetensors"
    write(folder / f"{WEIGHTS}.index.json", json.dumps({"weight_map": swapped}))
    assert f"{FC1} is not in {swapped[FC1]}" in refusal(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()
    assert "1 of 2 files of the weights are missing: model-00002-of-00002.safetensors" in refusal(folder)


@pytest.mark.parametrize("index", [{}, {"weight_map": []}, {"weight_map": {"a": 1}}, {"weight_map": {}}])
def test_an_index_without_a_map_is_refused(folder: Path, sharded: dict[str, str], index: dict[str, object]) -> None:
    write(folder / f"{WEIGHTS}.index.json", json.dumps(index))
    assert "weight_map" in refusal(folder)


def test_weights_by_another_name_are_pointed_at(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "model.fp16.safetensors")
    message = refusal(folder)
    assert "no model.safetensors" in message
    assert "model.fp16.safetensors" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(folder: Path, tensors: Tensors, value: float) -> None:
    tensors[FC1][3, 2] = value
    store(folder, tensors)
    with refused("--model.name_or_path", "not finite", FC1, remedy="earlier checkpoint"):
        load_model_and_processor(str(folder))


def test_large_weights_are_finite(folder: Path, tensors: Tensors) -> None:
    tensors[FC1].fill_(3e38)  # their sum is not
    load_model_and_processor(str(store(folder, tensors)))


HEADS = [[1, 1], [1, 2], [2, 0], [-1, 0], [0, "x"], [0], [1, True]]


def test_alignment_heads_that_the_decoder_lacks_are_dropped_and_that_is_said(spoil: Spoil, capsys) -> None:
    model, _ = load_model_and_processor(str(spoil("generation_config.json", alignment_heads=HEADS)))
    assert model.generation_config.alignment_heads == [[1, 1]]
    said = capsys.readouterr().err
    assert "note: " in said
    assert "6 of its alignment heads are dropped, such as [1, 2]" in said
    assert "2 layers of 2 heads" in said


@pytest.mark.parametrize("heads", [[[9, 0]], [], "x", {"a": 1}])
def test_without_a_usable_alignment_head_there_is_none(spoil: Spoil, tmp_path: Path, heads: object) -> None:
    model, _ = load_model_and_processor(str(spoil("generation_config.json", alignment_heads=heads)))
    assert not hasattr(model.generation_config, "alignment_heads")
    model.save_pretrained(tmp_path / "saved")
    assert "alignment_heads" not in json.loads((tmp_path / "saved" / "generation_config.json").read_text())
