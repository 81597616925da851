"""A multilingual model of whisper-tiny's true size, with the real tokenizer and random weights, in faster-whisper."""

import shutil
from pathlib import Path

import pytest
import torch
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

from accel_asr.data.labels import LabelEncoder
from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.exporting.ctranslate2_format import FasterWhisper
from accel_asr.exporting.decoding_arguments import MOST_CTRANSLATE2_TOKENS
from accel_asr.exporting.parity import read_clip
from accel_asr.model import pretrained as modeling
from tests.unit.exporting.conftest import export, opened
from tests.unit.exporting.test_formats import compare

INIT_STD = 0.2  # at 0.02, the usual, all clips have one transcript


@pytest.fixture
def true_tiny(tmp_path: Path, realdata: Path):
    """(model, processor), told to transcribe English in as many tokens as CTranslate2 can make."""
    source = realdata / "whisper-tiny-processor"
    folder = tmp_path / "true-tiny"
    config = WhisperConfig.from_pretrained(source, init_std=INIT_STD)
    config.suppress_tokens = config.begin_suppress_tokens = None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = WhisperForConditionalGeneration(config)
    with torch.no_grad():  # everything but words is improbable, as in tests/tiny_models.py
        model.get_input_embeddings().weight[config.eos_token_id :].mul_(0.1)
    model.generation_config = GenerationConfig.from_pretrained(source)
    model.save_pretrained(folder)
    for path in source.iterdir():
        if not (folder / path.name).exists():
            shutil.copyfile(path, folder / path.name)
    modeling.quiet_libraries()
    model, processor = modeling.load_model_and_processor(str(folder))
    modeling.configure_generation(
        model, processor, language="en", task="transcribe", max_new_tokens=MOST_CTRANSLATE2_TOKENS, num_beams=1
    )
    return model, processor


@pytest.mark.slow
@pytest.mark.realdata
def test_faster_whisper_gives_the_token_ids_of_transformers_in_every_row(true_tiny, varied_items, tmp_path) -> None:
    model, processor = true_tiny
    items = ClipItems(
        varied_items.utterances[:4],  # both languages and tasks, with and without a previous text
        feature_extractor=processor.feature_extractor,
        encoder=LabelEncoder(processor.tokenizer),
    )
    runner = opened(export(true_tiny, tmp_path / "exported", "ctranslate2"), true_tiny)
    assert isinstance(runner, FasterWhisper)
    ids = compare(model, items, runner)
    assert len({tuple(made) for made in ids}) == 4
    assert [len(made) for made in ids] == [read_clip(items, row, model=model).max_new_tokens for row in range(4)]
