"""Real weights in other runtimes: no transcript differs, and word times do not crash, whatever heads it names."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from accel_asr.commands import export
from tests.conftest import forget_accelerate

pytestmark = [pytest.mark.realmodel, pytest.mark.realdata]

JFK = "openai-whisper/jfk.flac"
CLIPS = (JFK, "stt-smoke/LDC93S1.flac", "ljspeech-coqui-tts/LJ001-0002.wav", "picovoice-cheetah/test_en.wav")
HEADS_OF_A_DEEPER_DECODER = [[7, 0], [10, 4], [11, 5]]  # tiny.en has 4 layers
WORD_TIMES = """
import json, sys
import faster_whisper
model = faster_whisper.WhisperModel(sys.argv[1], device="cpu", compute_type="float32", cpu_threads=1)
segments, _ = model.transcribe(sys.argv[2], language="en", beam_size=1, word_timestamps=True)
print(json.dumps([[word.start, word.end, word.word] for segment in segments for word in segment.words]))
"""


@pytest.fixture(autouse=True)
def accelerate_forgotten() -> Iterator[None]:
    forget_accelerate()
    yield
    forget_accelerate()


@pytest.fixture
def settings(realdata: Path, tmp_path: Path) -> list[str]:
    """One clip for training, the others for validation."""
    texts = {}
    for folder in {Path(name).parent for name in CLIPS}:
        for line in (realdata / folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            texts[str(folder / row["file"])] = row["text"]
    rows = [{"audio": str(realdata / name), "text": texts[name], "split": "test"} for name in CLIPS]
    rows.append(rows[0] | {"audio": str(realdata / "ljspeech-coqui-tts/LJ001-0003.wav"), "split": "train"})
    manifest = tmp_path / "clips.jsonl"
    manifest.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return ["--data.name_or_path", str(manifest), "--data.eval_split", "test", "--data.allow_outside_paths", "true"]


@pytest.fixture
def confused_tiny_en(whisper_tiny_en: Path, tmp_path: Path) -> Path:
    """tiny.en with alignment heads as a distilled model that kept those of its teacher."""
    folder = tmp_path / "confused"
    folder.mkdir()
    for path in whisper_tiny_en.iterdir():
        os.symlink(path, folder / path.name)
    content = json.loads((folder / "generation_config.json").read_text())
    content["alignment_heads"] += HEADS_OF_A_DEEPER_DECODER
    (folder / "generation_config.json").unlink()
    (folder / "generation_config.json").write_text(json.dumps(content))
    return folder


def exported(model: Path, export_format: str, settings: list[str], folder: Path) -> Path:
    given = ["--model", str(model), "--format", export_format, "--output_dir", str(folder), *settings]
    assert export.main(given) == 0
    parity = json.loads((folder / "export.json").read_text())["parity"]
    assert (parity["utterances"], parity["transcripts_that_differ"]) == (len(CLIPS), 0)
    assert parity["difference_interval_points"] == [0, 0]
    assert parity["wer_here"] < 0.3
    return folder


def test_faster_whisper_says_the_same_and_when_each_word_is_said(
    confused_tiny_en: Path, settings: list[str], realdata: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = exported(confused_tiny_en, "ctranslate2", settings, tmp_path / "exported")
    shown = capsys.readouterr()
    assert f"0 of {len(CLIPS)} transcripts differ" in shown.out
    assert "3 of its alignment heads are dropped, such as [7, 0]" in shown.err
    # in a new process: beyond its memory, CTranslate2 does not raise but crashes
    done = subprocess.run(
        [sys.executable, "-I", "-c", WORD_TIMES, str(folder), str(realdata / JFK)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    words = json.loads(done.stdout)
    assert "".join(word for *_, word in words).strip().startswith("And so my fellow Americans")
    starts = [start for start, _, _ in words]
    assert starts == sorted(starts)
    assert 0 <= starts[0] < 1
    assert 10 < words[-1][1] <= 11.1  # the clip has 11 s, and ends with a word


def test_whisper_cpp_says_the_same(whisper_tiny_en: Path, settings: list[str], tmp_path: Path) -> None:
    folder = exported(whisper_tiny_en, "ggml", settings, tmp_path / "exported")
    assert {path.name for path in folder.iterdir()} == {
        *("ggml-model.bin", "README.md", "export.json", "transcribe_settings.json")
    }


def test_onnx_runtime_says_the_same(whisper_tiny_en: Path, settings: list[str], tmp_path: Path) -> None:
    exported(whisper_tiny_en, "onnx", settings, tmp_path / "exported")
