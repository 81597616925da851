"""The recipe `learner_english`: real whisper-tiny.en on real learners' English hears them better, beyond chance."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from accel_asr.evaluation.intervals import paired_difference, rate_intervals
from accel_asr.evaluation.scoring import ScoredUtterance
from tests.integration.launching import ACCELERATE, TRAIN, run

DEADLINE_S = 40 * 60  # of something that hangs; it took some minutes on two cores that had other tests to run, too
LEAST_GAIN = 0.25  # of the untouched model's word error rate


def scored(path: Path) -> list[ScoredUtterance]:
    return [ScoredUtterance.from_json(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
@pytest.mark.realmodel
@pytest.mark.realdata
def test_fine_tuning_takes_away_a_quarter_of_the_errors(
    whisper_tiny_en: Path, realdata: Path, tmp_path: Path, print_figure: Callable[[str], None]
) -> None:
    settings = ["--config", "learner_english", "--model.name_or_path", str(whisper_tiny_en), "--output_dir", "run"]
    settings += ["--data.name_or_path", str(realdata / "speechocean762"), "--tracking.report_to", "[]"]
    settings += ["--training.num_train_epochs", "2"]  # of 4: half the time, and no worse on these clips
    # what other tests are for costs minutes here
    settings += [
        "--evaluation.audio_context",
        "merged",
        "--evaluation.long_form",
        "none",
        "--evaluation.no_speech",
        "false",
    ]
    # on one thread, as all tests: another process of tests has the other core
    finished = run([*ACCELERATE, TRAIN, *settings], cwd=tmp_path, deadline_s=DEADLINE_S)
    assert finished.code == 0, finished.err[-4000:]

    first, *_, last = sorted((tmp_path / "run" / "evaluations").glob("step-*.jsonl"))
    before, after = scored(first), scored(last)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    difference = paired_difference(after, before)
    low, high = (100 * bound for bound in difference.interval)
    for name, utterances, score in (("untouched", before, "baseline"), ("tuned", after, "best")):
        interval = [f"{100 * bound:.2f}%" for bound in rate_intervals(utterances)["wer"]]
        print_figure(f"learner_english, {name}: WER {100 * summary[score]['wer']:.2f}% ({' to '.join(interval)})")
    print_figure(f"learner_english, difference {100 * difference.difference:.2f} points ({low:.2f} to {high:.2f})")
    assert len(after) == 160
    assert summary["best"]["wer"] <= (1 - LEAST_GAIN) * summary["baseline"]["wer"]
    assert difference.is_clear
    assert difference.difference < 0
