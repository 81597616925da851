"""Windows of one recording on two processes: the same training as on one."""

import json
from pathlib import Path

import numpy as np
import soundfile

from tests.integration.test_verify import verdicts, verify
from tests.integration.tones import TonesJob
from tests.tiny_datasets import tone_utterances

RATE_HZ = 16_000
ROWS = 30


def one_recording(folder: Path) -> Path:
    """A manifest of the rows of one recording, with pauses of 0.1 to 0.4 s."""
    folder.mkdir()
    draws, sound, rows = np.random.default_rng(0), [np.zeros(1_600)], []
    for words, clip in tone_utterances(ROWS, seed=3):
        start_s = sum(map(len, sound)) / RATE_HZ
        end_s = start_s + len(clip) / RATE_HZ
        rows.append({"audio": "talk.wav", "start": start_s, "end": end_s, "english_transcription": " ".join(words)})
        sound += [clip, np.zeros(int(draws.integers(1_600, 6_400)))]
    soundfile.write(folder / "talk.wav", np.concatenate(sound), RATE_HZ)
    manifest = folder / "rows.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return manifest


def test_two_processes_stitch_the_same_windows_as_one(tones: TonesJob) -> None:
    manifest = one_recording(tones.folder / "recording")
    finished = verify(
        tones,
        ["accel_asr", "verify"],
        "verify-stitched",
        *("--data.name_or_path", str(manifest), "--data.train_rows", "24", "--training.pack", "recordings"),
        *("--augment.speed_prob", "0.5", "--data.no_speech_fraction", "0.1", "--training.audio_context", "merged"),
    )
    assert finished.code == 0, finished.out + finished.err[-4000:]
    assert set(verdicts(finished).values()) == {"pass"}
    assert "packed windows" in finished.out
