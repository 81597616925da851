"""The shapes that the benchmark measures, without their weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from transformers import WhisperForConditionalGeneration

from benchmarks.speed.material import SIZES, make_tokenizer, model_config
from benchmarks.speed.real_material import RealMaterial


@pytest.mark.parametrize(
    ("name", "vocabulary", "parameters"),
    # on the Hub the models of these names have 37.8 and 809 million
    [("whisper-tiny", 51_865, 37_760_640), ("large-v3-turbo", 51_866, 808_878_080)],
)
def test_a_size_has_the_vocabulary_and_the_weights_of_its_name(name: str, vocabulary: int, parameters: int) -> None:
    size = SIZES[name]
    config = model_config(size, make_tokenizer(size))
    assert config.vocab_size == vocabulary
    with torch.device("meta"):
        model = WhisperForConditionalGeneration(config)
    assert sum(weight.numel() for weight in model.parameters()) == parameters


def test_real_recordings_of_a_model_without_languages(tiny_english_folder: Path, tmp_path: Path) -> None:
    texts = {f"{number}.wav": f"clip {number}" for number in range(4)}
    for number, name in enumerate(texts):
        soundfile.write(tmp_path / name, np.full(1_600 * (number + 1), number, dtype=np.int16), 16_000)
    lines = [{"file": name, "text": text, "duration": 0.1} for name, text in texts.items()]
    (tmp_path / "manifest.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    folder = tmp_path / "written"
    folder.mkdir()
    material = RealMaterial(folder, tiny_english_folder, tmp_path / "manifest.jsonl", device=torch.device("cpu"))
    assert sorted(material.text(row) for row in range(4)) == list(texts.values())
    for row, item in enumerate(material.items(4)):
        number = int(material.text(row).split()[1])
        assert item.duration_s == pytest.approx(0.1 * (number + 1))
        assert material.samples(row).tolist() == [number] * 1_600 * (number + 1)
        assert item.token_ids[1] == material.encoder.no_timestamps_id  # no language, no task
