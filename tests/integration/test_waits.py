"""A data worker hangs or is killed: a stop is honoured, every rank ends, and a resume ends like an undisturbed run."""

import pytest

from accel_asr.training.stopping import STOPPED_EXIT_CODE
from tests.integration.tones import RESUME, TOPOLOGIES, TRAIN_CLIPS, TonesJob

TRAINING_CLIP, VALIDATION_CLIP = 0, TRAIN_CLIPS  # rows
FAILURES = {  # (processes, epoch, row, what its worker does)
    "training data hang": (2, 1, TRAINING_CLIP, "hang"),
    "validation data hang": (1, 0, VALIDATION_CLIP, "hang"),
    "a worker is killed": (2, 1, TRAINING_CLIP, "die"),
}
GRACE_S = 60  # then the harness would kill the ranks that still run


@pytest.fixture(scope="module")
def job(tones: TonesJob) -> TonesJob:
    plan = []
    for name, (processes, epoch, row, do) in FAILURES.items():
        at_clip = {"epoch": epoch, "name": f"/{row:05d}.wav", "do": do}
        # without the evaluation before training, which would have no checkpoint
        more = ("--evaluation.eval_on_start", "false") if do == "hang" and processes == 1 else ()
        plan += [
            tones.launch(name, TOPOLOGIES[processes], *more, at_clip=at_clip, grace_s=GRACE_S),
            tones.launch(name, TOPOLOGIES[processes], *more, *RESUME),
        ]
    stopped = STOPPED_EXIT_CODE
    assert tones.run_plan(plan) == [[stopped, stopped], [0, 0], [stopped], [0], [2, 2], [0, 0]], tones.logs(plan)
    return tones


@pytest.mark.parametrize("name", [name for name in FAILURES if name.endswith("hang")])
def test_a_stop_is_honoured_with_a_checkpoint_while_data_hang(job: TonesJob, name: str) -> None:
    said = job.said(name)
    step = int(said.split("stopped after step ")[1].split()[0])
    assert 0 < step < 12
    assert f"resumed after step {step} of 12" in said


def test_a_killed_worker_ends_every_rank_with_one_message(job: TonesJob) -> None:
    name = "a worker is killed"
    message = job.said_in_one_line(name)
    assert message.count("error: ") == 1
    for words in ("SIGKILL", " GB", "--training.dataloader_num_workers", "--checkpoint.resume true"):
        assert words in message
    assert "error" not in job.said(name, 1)
    for rank in (0, 1):
        assert "Traceback" not in job.said(name, rank)


@pytest.mark.parametrize("name", FAILURES)
def test_the_resumed_run_ends_like_an_undisturbed_one(job: TonesJob, name: str) -> None:
    whole = job.whole_run(TOPOLOGIES[FAILURES[name][0]])
    job.assert_equal_weights(name, whole)
    metrics, expected = (
        [line for line in job.metrics(run) if (line["kind"], line["step"]) != ("eval", 0)] for run in (name, whole)
    )
    assert metrics == expected
