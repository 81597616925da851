"""Masks, effects on the sound and clips without speech: the same in each step on any topology and after a kill."""

import json
import signal
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.integration.tones import RESUME, TRAIN_CLIPS, TonesJob

ALONE, SPLIT, KILLED = "masked-alone", "masked-split", "masked-killed"
SPEC_AUGMENT = ("--spec_augment.enabled", "true", "--spec_augment.mask_time_length", "10")
EFFECTS = {
    "speed_prob": 0.5,
    "room_prob": 0.3,
    "noise_prob": 0.5,
    "telephone_prob": 0.3,
    "mp3_prob": 0.2,
    "shift_prob": 0.5,
}
SILENCE = ("--data.no_speech_fraction", "0.2")
SILENT_CLIPS = 7  # beside 27 of speech: a fifth of 34
STEPS_PER_EPOCH = 5  # of a global batch of 8; the fifth has two clips
TIMED = ("--data.timestamps_probability", "0.5")
KILL = {"moment": "step", "count": 11, "signal": int(signal.SIGKILL), "rank": -1}  # in step 5 or 6, after a save


@pytest.fixture(scope="module")
def masked(tones: TonesJob) -> TonesJob:
    """The same run with all of them by one process without workers; split over two with two workers; killed and
    resumed; and resumed with other noise."""
    split = (2, 2, 2)
    effects = [f"--augment.{name}={share}" for name, share in EFFECTS.items()]
    noise, other_noise = (noise_folder(tones, name, seed) for seed, name in enumerate(("hiss", "other-hiss")))
    settings = {
        name: (*SPEC_AUGMENT, *SILENCE, *TIMED, *effects, *noise, "--training.dataloader_num_workers", str(count))
        for name, count in WORKERS
    }
    plan = [
        tones.launch(ALONE, (1, 8, 1), *settings[ALONE]),
        tones.launch(SPLIT, split, *settings[SPLIT]),
        tones.launch(KILLED, split, *settings[KILLED], ends=KILL),
        tones.launch(KILLED, split, *settings[KILLED], *RESUME),
        tones.launch(KILLED, split, *settings[KILLED], *other_noise, *RESUME),
    ]
    codes = tones.run_plan(plan)
    assert [codes[0], codes[1], codes[3]] == [[0], [0, 0], [0, 0]], tones.logs(plan)
    assert codes[2] != [0, 0]
    assert codes[4] == [2, 2]
    return tones


def noise_folder(tones: TonesJob, name: str, seed: int) -> list[str]:
    """A folder with noise of its own, as a setting."""
    folder = tones.folder / name
    folder.mkdir()
    soundfile.write(folder / "hiss.flac", np.random.default_rng(seed).standard_normal(24_000) / 10, 8_000)
    return [f"--augment.noise_dir={folder}"]


WORKERS = [(ALONE, 0), (SPLIT, 2), (KILLED, 1)]


def masks_by_step(job: TonesJob, name: str) -> dict[int, dict[str, Any]]:
    """Step -> utterance -> its masks; a step that was repeated after a kill had them both times."""
    steps: dict[int, dict[str, Any]] = {}
    for line in (job.folder / name / "ledger.jsonl").read_text().splitlines():
        entry = json.loads(line)
        for utterance, masks in zip(entry["ids"], entry.get("masks", []), strict=True):
            assert steps.setdefault(entry["step"], {}).setdefault(utterance, masks) == masks
    return steps


def test_ids_and_masks_of_each_step_are_those_of_one_process(masked: TonesJob) -> None:
    alone = masks_by_step(masked, ALONE)
    assert sorted(alone) == list(range(1, 3 * STEPS_PER_EPOCH + 1))
    assert masks_by_step(masked, SPLIT) == alone
    assert masks_by_step(masked, KILLED) == alone


def test_each_epoch_masks_anew(masked: TonesJob) -> None:
    alone = masks_by_step(masked, ALONE)
    epochs: list[dict[str, Any]] = [{}, {}, {}]
    for step, masks in alone.items():
        epochs[(step - 1) // STEPS_PER_EPOCH] |= masks
    assert [len(masks) for masks in epochs] == [TRAIN_CLIPS + SILENT_CLIPS] * 3
    assert sum(name.startswith("no-speech-") for name in epochs[0]) == SILENT_CLIPS
    differ = [clip for clip in epochs[0] if epochs[0][clip] != epochs[1][clip]]
    assert len(differ) > TRAIN_CLIPS / 2


def test_updates_are_those_of_one_process(masked: TonesJob) -> None:
    masked.assert_close_losses(SPLIT, ALONE)
    masked.assert_close_weights(SPLIT, ALONE)
    # validation is neither masked nor changed
    assert masked.metrics(ALONE, "eval")[0] == masked.metrics(masked.whole_run((1, 8, 1)), "eval")[0]


def test_other_noise_is_another_training(masked: TonesJob) -> None:
    message = masked.said_in_one_line(KILLED)
    assert "augment.noise_dir: recordings " in message
    assert "--checkpoint.allow_changes true" in message
    assert "augment.noise_dir: 1 recording, " in masked.said(SPLIT)


def test_a_killed_run_ends_bit_for_bit_as_an_unbroken_one(masked: TonesJob) -> None:
    assert "resumed after step" in masked.said(KILLED)
    assert masked.metrics(KILLED) == masked.metrics(SPLIT)
    masked.assert_equal_weights(KILLED, SPLIT)
