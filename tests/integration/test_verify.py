"""`accelerate launch ... -m accel_asr verify` with two processes: a sound trainer passes, a broken one does not."""

import re

from tests.integration.launching import ACCELERATE, TWO_PROCESSES, Finished, run
from tests.integration.tones import TonesJob

CHECKS = (
    "utterances trained",
    "loss",
    "gradient norm",
    "gradient direction",
    "change by 3 updates",
    "learning rates",
    "utterances scored",
    "transcripts that differ",
    "WER",
    "validation loss",
)


def verify(tones: TonesJob, module: list[str], name: str, *more: str) -> Finished:
    cwd = tones.folder / name
    cwd.mkdir()
    finished = run([*ACCELERATE, *TWO_PROCESSES, "-m", *module, *tones.settings(2, 2, *more)], cwd=cwd)
    assert list(cwd.iterdir()) == []  # nothing is written
    return finished


def verdicts(finished: Finished) -> dict[str, str]:
    """The first and the last column of the table."""
    rows = re.findall(r"^│ (.+?) +│.*│ (pass|FAIL) │$", finished.out, flags=re.MULTILINE)
    assert tuple(name for name, _ in rows) == CHECKS, finished.out + finished.err[-4000:]
    return dict(rows)


def test_two_processes_that_accumulate_are_one_process_with_one_batch(tones: TonesJob) -> None:
    finished = verify(tones, ["accel_asr", "verify"], "verify-sound")
    assert finished.code == 0, finished.out + finished.err[-4000:]
    assert set(verdicts(finished).values()) == {"pass"}
    assert "2 processes x 2 accumulation steps x 2 = 8 utterances, fp32 on cpu" in finished.out
    assert "steps 1, 3, 12 of 12, with 8, 8, 3 utterances" in finished.out  # the last window is short
    assert "13 utterances in batches of 3" in finished.out
    assert finished.out.count("pass: all 10 checks") == 1  # the main process alone speaks


def test_every_technique_at_once_is_the_same_on_two_processes(tones: TonesJob) -> None:
    finished = verify(tones, ["accel_asr", "verify"], "verify-techniques", *tones.every_technique)
    assert finished.code == 0, finished.out + finished.err[-4000:]
    assert set(verdicts(finished).values()) == {"pass"}


def test_gradients_that_are_not_synchronised_fail(tones: TonesJob) -> None:
    finished = verify(tones, ["tests.integration.broken_verify"], "verify-broken")
    failed = [name for name, verdict in verdicts(finished).items() if verdict == "FAIL"]
    assert finished.code == 1
    assert {"gradient norm", "gradient direction", "change by 3 updates"} <= set(failed)
    assert {"utterances trained", "loss", "learning rates", "utterances scored"} & set(failed) <= {"loss"}
    assert f"FAIL: {', '.join(failed)}" in finished.out
