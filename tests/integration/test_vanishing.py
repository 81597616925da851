"""Recordings that vanish after they were indexed: the run goes on without them, and every record says so."""

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
    left_out = job.metrics(f"vanishing-{name}", "left_out")
    assert [line["recordings"] for line in left_out] == [[[TRAINED, REASON]]] * 3
    assert [(line["step"] - 1) // 4 for line in left_out] == [0, 1, 2]  # the epochs
    ledger = job.ledger(f"vanishing-{name}")
    trained = [utterance for lists in ledger.values() for ids in lists for utterance in ids]
    assert len(trained) == 3 * (TRAIN_CLIPS - 1)
    assert TRAINED not in trained
    said = job.said(f"vanishing-{name}")
    assert said.count(f"{TRAINED} ({REASON})") == 3
    assert "1 recordings, see metrics.jsonl" in said
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
    note = f"empty transcript: {VALIDATED} ({REASON})"
    assert job.said(f"vanishing-{name}").count(note) == 1  # in a log, beside the table at its end


def test_two_processes_train_as_one(job: TonesJob) -> None:
    one, two = (job.metrics(f"vanishing-{name}", "train") for name in TOPOLOGIES)
    assert [line["target_tokens"] for line in two] == [line["target_tokens"] for line in one]
    assert [line["loss"] for line in two] == pytest.approx([line["loss"] for line in one], rel=1e-5)


def test_more_than_the_allowed_share_ends_the_run_with_one_message(job: TonesJob) -> None:
    first, second = (job.said_in_one_line("vanishing-strict", rank) for rank in (0, 1))
    assert first.count("error: ") == 1
    for words in ("--data.max_bad_fraction 0.03", "1 of 27"):
        assert words in first
    assert "error:" not in second
    assert "Traceback" not in first + second
