"""Recordings that vanish after they were indexed: the run goes on without them, and says so everywhere."""

import json
from pathlib import Path

import pytest

from tests.integration.tones import TRAIN_CLIPS, VALIDATION_CLIPS, TonesJob
from tests.tiny_datasets import tone_utterances, wav_bytes

TOPOLOGIES = {"one": (1, 4, 2), "two": (2, 2, 2)}  # processes, micro-batch, accumulation steps
TRAINED, VALIDATED = "3.wav", "30.wav"
REASON = "the file can't be reached (No such file or directory)"


def write_clips(folder: Path) -> Path:
    """The clips of the job as files, with a manifest."""
    folder.mkdir(parents=True)
    lines = ["file_name,text"]
    for number, (words, clip) in enumerate(tone_utterances(TRAIN_CLIPS + VALIDATION_CLIPS)):
        (folder / f"{number}.wav").write_bytes(wav_bytes(clip))
        lines.append(f"{number}.wav,{' '.join(words)}")
    (folder / "metadata.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def job(tones: TonesJob) -> TonesJob:
    plan = []
    for name, topology in {**TOPOLOGIES, "strict": (2, 2, 2)}.items():
        clips = write_clips(tones.folder / f"vanishing-{name}" / "clips")
        settings = ["--data.name_or_path", str(clips), "--data.text_column", "text"]
        settings += ["--data.max_bad_fraction", "0.03" if name == "strict" else "0.05"]  # one of 27 is 0.037
        gone = [str(clips / TRAINED), str(clips / VALIDATED)]
        plan.append(tones.launch(f"vanishing-{name}", topology, *settings, vanishes=gone))
    codes = tones.run_plan(plan)
    assert codes == [[0], [0, 0], [2, 2]], tones.logs(plan[:1]) + tones.logs(plan)
    return tones


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_training_goes_on_without_it_and_counts_it_in_every_epoch(job: TonesJob, name: str) -> None:
    told = job.metrics(f"vanishing-{name}", "left_out")
    assert [line["recordings"] for line in told] == [[[TRAINED, REASON]]] * 3
    assert [(line["step"] - 1) // 4 for line in told] == [0, 1, 2]  # the epochs
    trained = [one for ids in job.ledger(f"vanishing-{name}").values() for names in ids for one in names]
    assert len(trained) == 3 * (TRAIN_CLIPS - 1)
    assert TRAINED not in trained
    said = job.said(f"vanishing-{name}")
    assert said.count(f"1 recordings could not be used, and the batch was without them: {TRAINED} ({REASON})") == 3
    assert "could not be used when their turn came: 1 recordings, see metrics.jsonl" in said
    summary = json.loads((job.run_dir(f"vanishing-{name}") / "data_summary.json").read_text())
    assert summary["train"]["utterances"] == TRAIN_CLIPS
    assert summary["left_out_in_training"] == {"unreadable": [TRAINED]}


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_validation_scores_it_as_an_empty_hypothesis_and_says_so(job: TonesJob, name: str) -> None:
    run = job.run_dir(f"vanishing-{name}")
    files = sorted((run / "evaluations").iterdir())
    assert len(files) > 3
    for file in files:
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        assert len(rows) == VALIDATION_CLIPS
        assert [row["utterance_id"] for row in rows if row["audio_problem"]] == [VALIDATED]
        (row,) = (row for row in rows if row["utterance_id"] == VALIDATED)
        assert (row["hypothesis"], row["audio_problem"]) == ("", REASON)
        assert row["words"]["deletions"] == row["words"]["reference_length"]
    scores = job.metrics(f"vanishing-{name}", "eval")
    assert [(line["utterances"], line["unreadable"]) for line in scores] == [(VALIDATION_CLIPS, 1)] * len(files)
    told = f"not decoded, scored as an empty transcript: {VALIDATED} ({REASON})"
    assert job.said(f"vanishing-{name}").count(told) == 1  # in a log, beside the table at its end


def test_two_processes_train_as_one(job: TonesJob) -> None:
    one, two = (job.metrics(f"vanishing-{name}", "train") for name in TOPOLOGIES)
    assert [line["target_tokens"] for line in two] == [line["target_tokens"] for line in one]
    assert [line["loss"] for line in two] == pytest.approx([line["loss"] for line in one], rel=1e-5)


def test_more_than_the_share_that_is_let_pass_ends_the_run_with_one_message(job: TonesJob) -> None:
    told = [job.said("vanishing-strict", rank) for rank in (0, 1)]
    assert told[0].count("error: data.max_bad_fraction: 1 training recordings could not be used by step ") == 1
    assert "more than the share of 0.03 of 27 that is let pass" in told[0]
    assert "error:" not in told[1]
    assert not any("Traceback" in text for text in told)
