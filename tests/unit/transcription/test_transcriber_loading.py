"""From a model's folder or name to a transcriber: languages, tasks and devices; and which model it is."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from accel_asr.audio.decoding import to_float32
from accel_asr.config.fallback_settings import Fallback
from accel_asr.transcription.segments import TimedText
from accel_asr.transcription.transcriber import Transcriber
from accel_asr.transcription.transcriber_loading import find_device, load_transcriber, weights_and_settings_hash
from tests.refusals import refused

GREEDY = Fallback((0.0,), None, None, None)  # a random model's transcripts are improbable, all of them


@pytest.fixture
def clips(utterances) -> list[np.ndarray]:
    return [to_float32(utterance.samples()) for utterance in utterances]


def test_another_context_is_refused(tiny_folder: Path) -> None:
    with refused("--audio_context", value="speech", remedy="merged"):
        load_transcriber(str(tiny_folder), audio_context="speech")
    assert load_transcriber(str(tiny_folder), audio_context="merged").merging is not None
    assert load_transcriber(str(tiny_folder)).merging is None


def test_language_and_task_are_those_of_the_model_unless_others_are_asked_for(tiny_folder) -> None:
    unset = load_transcriber(str(tiny_folder), device="cpu")
    assert (unset.language, unset.task) == (None, "transcribe")
    asked = load_transcriber(str(tiny_folder), device="cpu", language="German", task="translate")
    assert (asked.language, asked.task) == ("de", "translate")
    assert load_transcriber("quickstart", device="cpu").language == "en"


def test_an_english_only_model_transcribes_and_refuses_all_else(tiny_english_folder, clips) -> None:
    name = str(tiny_english_folder)
    for option, value in (("language", "de"), ("task", "translate")):
        with refused(f"--{option}", "English-only", value=value):
            load_transcriber(name, device="cpu", **{option: value})
    transcriber = load_transcriber(name, device="cpu", language="English", task="transcribe", fallback=GREEDY)
    transcriber.model.generation_config.max_new_tokens = 8
    (spoken,) = transcriber.transcribe_short(clips[:1], timed=True)
    assert (bool(spoken.text), spoken.language) == (True, "en")
    assert transcriber.transcribe_long(np.concatenate(clips)).text


def test_a_doubtful_transcript_of_a_model_tuned_for_one_language_names_the_option(
    tiny_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    settings = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps(settings | {"language": "yo", "task": "transcribe"}))
    assuming = load_transcriber(str(folder), device="cpu")
    given = load_transcriber(str(folder), device="cpu", language="Yoruba")
    detecting = load_transcriber(str(tiny_folder), device="cpu")
    assert (assuming.language, given.language, detecting.language) == ("yo", "yo", None)
    fine = TimedText("ask not what your country can do for you", (), 1.0)
    loop, cut_off = TimedText("I, " * 100, (), 1.0), TimedText("ask not", (), 1.0, cut_off=True)
    for transcriber in (assuming, given, detecting):
        assert transcriber.doubt(fine) is None
        assert "repeats itself" in (transcriber.doubt(loop) or "")
        assert "no room left" in (transcriber.doubt(cut_off) or "")
    for spoken in (loop, cut_off):
        assert "tuned for Yoruba (yo)" in (assuming.doubt(spoken) or "")
        assert "--language" in (assuming.doubt(spoken) or "")
        assert "--language" not in (given.doubt(spoken) or "") + (detecting.doubt(spoken) or "")


@pytest.mark.parametrize(("name", "code"), [("de-DE", "de"), ("GERMAN", "de"), ("nb", "no"), ("heb", "he")])
def test_a_language_may_be_given_by_any_of_its_names(tiny_folder, name: str, code: str) -> None:
    assert load_transcriber(str(tiny_folder), device="cpu", language=name).language == code


def test_an_unknown_language_lists_those_there_are(tiny_folder) -> None:
    with refused("--language", "does not know", value="klingon", remedy="it knows: af, am, ar"):
        load_transcriber(str(tiny_folder), device="cpu", language="klingon")


@pytest.mark.parametrize("name", ["cuda", "cuda:9", "mps", "gpu", ""])
def test_a_device_that_is_not_there_lists_those_that_are(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    with refused("--device", value=name, remedy="give one of cpu"):
        find_device(name)


def test_an_accelerator_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    assert find_device(None) == torch.device("cuda")
    assert find_device("cuda:1") == torch.device("cuda:1")
    assert find_device("cpu") == torch.device("cpu")
    with refused("--device", value="cuda:2", remedy="cpu, cuda, cuda:0, cuda:1"):
        find_device("cuda:2")


def test_a_model_is_known_by_its_weights_and_settings(model_and_processor) -> None:
    transcriber = Transcriber(*model_and_processor, task="transcribe")
    first = weights_and_settings_hash(transcriber)
    assert weights_and_settings_hash(transcriber) == first
    transcriber.model.generation_config.alignment_heads = [[0, 1]]
    second = weights_and_settings_hash(transcriber)
    transcriber.model.model.encoder.conv1.weight.data[0, 0, 0] += 1
    assert len({first, second, weights_and_settings_hash(transcriber)}) == 3
