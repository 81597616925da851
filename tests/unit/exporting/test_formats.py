"""Both formats make the token ids that transformers' `generate` makes, one for one."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import pytest
import torch

from accel_asr.data.labels import LabelEncoder
from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.exporting.ctranslate2_format import FasterWhisper
from accel_asr.exporting.decoding_arguments import (
    SETTINGS_FILE,
    ctranslate2_max_length,
    faster_whisper_settings,
    onnx_settings,
)
from accel_asr.exporting.parity import read_clip
from accel_asr.files.atomic_writes import write_json
from accel_asr.model import pretrained as modeling
from tests.unit.exporting.conftest import export, opened

pytestmark = pytest.mark.integration  # converts models, by packages that take seconds to import


def generated(model: Any, items: ClipItems, row: int) -> tuple[list[int], str]:
    """(token ids, text) by transformers, from the same start."""
    clip = read_clip(items, row, model=model)
    start = torch.tensor([clip.start_ids])
    ids = model.generate(
        torch.tensor(clip.features)[None],
        decoder_input_ids=start,
        max_new_tokens=clip.max_new_tokens,
        force_unique_generate_call=True,
    )[0].tolist()[start.shape[1] :]
    made = ids[: ids.index(model.config.eos_token_id)] if model.config.eos_token_id in ids else ids
    return made, items.encoder.tokenizer.decode(made, skip_special_tokens=True).strip()


def compare(model: Any, items: ClipItems, exported: Any) -> list[list[int]]:
    """The token ids of each clip, which must be those of transformers."""
    everything = []
    for row in range(len(items.utterances)):
        expected_ids, expected_text = generated(model, items, row)
        text, ids = exported.transcribe(read_clip(items, row, model=model))
        assert (ids, text) == (expected_ids, expected_text)
        everything.append(ids)
    return everything


def test_the_token_ids_are_those_of_transformers(exported_model, model_and_processor, clip_items) -> None:
    ids = compare(model_and_processor[0], clip_items, exported_model)
    assert len({tuple(made) for made in ids}) >= 4  # of seven clips


def test_rows_with_their_own_language_task_and_previous_text(exported_model, model_and_processor, varied_items) -> None:
    model = model_and_processor[0]
    starts = {len(read_clip(varied_items, row, model=model).start_ids) for row in range(6)}
    assert len(starts) == 2
    compare(model, varied_items, exported_model)


def again(model_and_processor: Any, as_onnx: Any, folder: Path, export_format: str) -> Any:
    """The model with its generation settings as they are now. ONNX takes 10 s, and has them in a file of their own."""
    if export_format == "ctranslate2":
        return opened(export(model_and_processor, folder, export_format), model_and_processor)
    shutil.copytree(as_onnx[0], folder)
    write_json(folder / SETTINGS_FILE, onnx_settings(*model_and_processor))
    return opened((folder, as_onnx[1]), model_and_processor)


@pytest.mark.parametrize("export_format", ["ctranslate2", "onnx"])
def test_what_generate_suppresses_is_suppressed(
    model_and_processor, as_onnx, clip_items, tmp_path: Path, export_format: str
) -> None:
    model, _ = model_and_processor
    first, second = generated(model, clip_items, 0)[0][:2]
    model.generation_config.begin_suppress_tokens = [first]
    model.generation_config.suppress_tokens = [second]
    ids = compare(model, clip_items, again(model_and_processor, as_onnx, tmp_path / "exported", export_format))
    assert ids[0][0] != first
    assert second not in ids[0]


@pytest.mark.parametrize("export_format", ["ctranslate2", "onnx"])
def test_a_model_that_suppresses_nothing(
    model_and_processor, as_onnx, clip_items, tmp_path: Path, export_format: str
) -> None:
    model, _ = model_and_processor
    model.generation_config.begin_suppress_tokens = model.generation_config.suppress_tokens = None
    compare(model, clip_items, again(model_and_processor, as_onnx, tmp_path / "exported", export_format))


def test_generation_ends_at_the_end_of_text(model_and_processor, clip_items, tmp_path: Path) -> None:
    model, _ = model_and_processor
    with torch.no_grad():  # prefers the end of text
        model.model.decoder.layer_norm.bias += 2 * model.get_input_embeddings().weight[model.config.eos_token_id]
    exported = opened(export(model_and_processor, tmp_path / "exported", "ctranslate2"), model_and_processor)
    assert min(len(ids) for ids in compare(model, clip_items, exported)) < 3


def test_the_loop_of_onnx_ends_at_the_end_of_text(model_and_processor, as_onnx, clip_items, tmp_path: Path) -> None:
    model, _ = model_and_processor
    made = generated(model, clip_items, 0)[0]
    model.config.eos_token_id = made[-1]
    exported = again(model_and_processor, as_onnx, tmp_path / "exported", "onnx")
    assert exported.transcribe(read_clip(clip_items, 0, model=model))[1] == made[: made.index(made[-1])]


def test_faster_whisper_makes_one_greedy_pass(in_faster_whisper, utterances) -> None:
    model, processor, exported = in_faster_whisper
    runner = opened(exported, (model, processor))
    assert isinstance(runner, FasterWhisper)
    encoder = LabelEncoder(processor.tokenizer)
    items = ClipItems(utterances[:3], feature_extractor=processor.feature_extractor, encoder=encoder)
    ids = compare(model, items, runner)
    assert [len(made) for made in ids] == [12, 12, 12]
    assert len({tuple(made) for made in ids}) == 3


def test_faster_whisper_suppresses_what_generate_does(in_faster_whisper, utterances, tmp_path: Path) -> None:
    model, processor, (folder, converted) = in_faster_whisper
    encoder = LabelEncoder(processor.tokenizer)
    items = ClipItems(utterances[:2], feature_extractor=processor.feature_extractor, encoder=encoder)
    model, folder = copy.deepcopy(model), shutil.copytree(folder, tmp_path / "exported")
    model.generation_config.suppress_tokens = list(set(generated(model, items, 0)[0]))
    settings = faster_whisper_settings(model, prompt_tokens=len(processor.tokenizer.prefix_tokens))
    write_json(folder / SETTINGS_FILE, settings)
    ids = compare(model, items, opened((folder, converted), (model, processor)))
    assert not set(ids[0]) & set(model.generation_config.suppress_tokens)


@pytest.mark.parametrize(("prompt_tokens", "new_tokens"), [(2, 12), (2, 5), (20, 5), (20, 30)])
def test_ctranslate2_counts_max_length_as_we_think(in_faster_whisper, prompt_tokens: int, new_tokens: int) -> None:
    model, processor, (folder, _) = in_faster_whisper
    start = list(processor.tokenizer.prefix_tokens)
    prompt = [model.generation_config.prev_sot_token_id, *range(260, 260 + prompt_tokens - len(start) - 1), *start]
    prompt = prompt if prompt_tokens > len(start) else start
    features = ctranslate2.StorageView.from_array(np.zeros((1, 80, 3000), np.float32))
    result = ctranslate2.models.Whisper(str(folder), device="cpu").generate(
        features, [prompt], beam_size=1, max_length=ctranslate2_max_length(len(prompt), new_tokens)
    )
    assert len(result[0].sequences_ids[0]) == new_tokens


def test_why_faster_whisper_can_not_take_a_short_window(as_ctranslate2) -> None:
    folder, converted = as_ctranslate2
    assert converted.why_not_faster_whisper == "it pads every clip to 3000 frames, and this model takes 200"
    assert set(json.loads((folder / "transcribe_settings.json").read_text())) == {"start_ids", "generate"}


def test_a_changed_weight_changes_transcripts(model_and_processor, as_onnx, clip_items, tmp_path: Path) -> None:
    folder, converted = as_onnx
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    weights = np.fromfile(broken / "decoder_model.onnx.data", dtype=np.float32)
    weights[: len(weights) // 2] *= 1.5
    weights.tofile(broken / "decoder_model.onnx.data")
    with pytest.raises(AssertionError):
        compare(model_and_processor[0], clip_items, opened((broken, converted), model_and_processor))


def test_without_usable_alignment_heads_ctranslate2_chooses_some_that_are_there(tiny_folder, tmp_path) -> None:
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    settings = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps(settings | {"alignment_heads": [[7, 0], [9, 1]]}))
    model_and_processor = modeling.load_model_and_processor(str(folder))
    modeling.configure_generation(
        *model_and_processor, language="en", task="transcribe", max_new_tokens=12, num_beams=1
    )
    exported, _ = export(model_and_processor, tmp_path / "exported", "ctranslate2")
    assert json.loads((exported / "config.json").read_text())["alignment_heads"] == [[1, 0], [1, 1]]
