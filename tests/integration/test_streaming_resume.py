"""A stream that is killed on two processes and resumed ends as one that was never stopped, and reads each row once."""

import copy
import itertools
import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from accel_asr.data.reading.sources import SourceName
from accel_asr.data.streaming.shards import open_shards
from accel_asr.data.streaming.streams import Place, Stream, StreamOrder
from accel_asr.data.text_processing import TextProcessing
from tests.hub_server import LoopbackHub
from tests.integration.launching import console, hub_environment
from tests.integration.tones import RESUME, TonesJob
from tests.tiny_datasets import make_scripted_minds14, tone_utterances, wav_bytes
from tests.unit.data.shard_server import write_tar

SIZES = (6, 7, 9, 5, 8)  # two shards for each rank, and one that they share
HELD_OUT = (6, 1, 0, 0, 0)
WITHOUT_TEXT = {"s-1/4", "s-2/0", "s-4/7"}
BLOCK_ROWS, SEED = 3, 41  # so that in the first epoch all ranks share the last shard
TWO_PROCESSES = (2, 2, 2)  # processes, micro-batch, accumulation
CONFIG = """
model: {name_or_path: MODEL, language: en}
data: {name_or_path: "TARS", streaming: true, eval_rows: 7, streaming_block_rows: 3}
training:
  {learning_rate: 1e-4, lr_scheduler_type: constant_with_warmup, warmup_steps: 3,
  max_steps: 10, dataloader_num_workers: 2, seed: 41}
evaluation: {generation_max_length: 12, per_device_eval_batch_size: 5, eval_steps: 4}
checkpoint: {save_steps: 2}
tracking: {logging_steps: 1}
"""


@pytest.fixture(scope="module")
def tars(tones: TonesJob) -> str:
    folder = tones.folder / "tars"
    folder.mkdir()
    clips = iter(tone_utterances(sum(SIZES), seed=3))
    for shard, size in enumerate(SIZES):
        members: dict[str, Any] = {}
        for number, (words, samples) in zip(range(size), clips, strict=False):
            members[f"{number}.wav"] = wav_bytes(samples)
            members[f"{number}.txt"] = "" if f"s-{shard}/{number}" in WITHOUT_TEXT else " ".join(words)
        write_tar(folder / f"s-{shard}.tar", members)
    return str(folder / "s-{0..4}.tar")


@pytest.fixture(scope="module")
def job(tones: TonesJob, tars: str) -> TonesJob:
    """Undisturbed; killed within step 8, after the checkpoint of step 6, and resumed; and resumed on one process."""
    job = copy.copy(tones)
    job.config = tones.folder / "streaming.yaml"
    job.config.write_text(CONFIG.replace("MODEL", str(tones.folder / "model")).replace("TARS", tars))
    kill = {"moment": "step", "rank": 1, "count": 1 + 2 * 7 + 2, "signal": int(signal.SIGKILL)}
    plan = [
        job.launch("stream", TWO_PROCESSES),
        job.launch("stream-killed", TWO_PROCESSES, ends=kill),
        job.launch("stream-killed", TWO_PROCESSES, *RESUME),
        job.launch("stream", (1, 2, 4), *RESUME),
    ]
    codes = job.run_plan(plan)
    assert codes[0] == codes[2] == [0, 0]
    assert codes[1][1] == -signal.SIGKILL
    assert codes[3] == [2]
    return job


def test_weights_metrics_and_transcripts_are_those_of_a_run_never_stopped(job: TonesJob) -> None:
    assert "resumed after step 6 of 10" in job.said("stream-killed")
    job.assert_equal_weights("stream-killed", "stream")
    assert job.metrics("stream-killed") == job.metrics("stream")
    assert len(job.metrics("stream", "train")) == 10
    for path in sorted((job.run_dir("stream") / "evaluations").iterdir()):
        assert (job.run_dir("stream-killed") / "evaluations" / path.name).read_text() == path.read_text()


def test_a_step_is_trained_on_the_same_rows_again(job: TonesJob) -> None:
    ledger = job.ledger("stream-killed")
    assert ledger == job.ledger("stream")
    assert all(len(lists) == 1 for lists in ledger.values())
    assert {rank for _, rank in ledger} == {0, 1}


def test_over_its_first_epoch_each_row_is_trained_on_once(job: TonesJob, tars: str) -> None:
    stream = Stream(open_shards(SourceName(tars)), HELD_OUT, BLOCK_ROWS, TextProcessing(), 2.0)
    ledger = job.ledger("stream")
    trained: Counter[str] = Counter()
    shards: list[set[str]] = []
    for rank in range(2):
        rows = StreamOrder(stream, rank=rank, num_processes=2, seed=SEED).rows(Place())
        first_epoch = list(itertools.takewhile(lambda step: step[1].epoch == 0, rows))
        with_text = [row.utterance_id for row, _ in first_epoch if row.text]
        windows = [next(iter(ledger[step, rank])) for step in range(1, 11)]
        ids = list(itertools.chain(*windows))
        assert len(ids) > len(with_text)  # or the run was too short for an epoch
        trained.update(ids[: len(with_text)])
        shards.append({name.split("/")[0] for name in ids[: len(with_text)]})
    assert shards == [{"s-1", "s-2", "s-4"}, {"s-3", "s-4"}]  # s-0 is held out as a whole
    expected = {f"s-{shard}/{number}" for shard in range(5) for number in range(HELD_OUT[shard], SIZES[shard])}
    assert trained == Counter(expected - WITHOUT_TEXT)


def test_validation_rows_are_never_trained_on(job: TonesJob) -> None:
    path = next(iter(sorted((job.run_dir("stream") / "evaluations").iterdir())))
    validated = {json.loads(line)["utterance_id"] for line in path.read_text().splitlines()}
    assert validated == {*(f"s-0/{number}" for number in range(6)), "s-1/0"}
    trained = {name for lists in job.ledger("stream").values() for names in lists for name in names}
    assert not trained & validated


def test_rows_left_out_are_counted_across_the_kill_and_reported(job: TonesJob) -> None:
    for name in ("stream", "stream-killed"):
        summary = json.loads((job.run_dir(name) / "data_summary.json").read_text())
        left_out = [pair for line in job.metrics(name, "left_out") for pair in line["recordings"]]
        assert {utterance_id for utterance_id, _ in left_out} == WITHOUT_TEXT
        assert summary["left_out_in_training"] == {"no text": len(left_out), "unreadable": []}
        assert f"dropped from the stream: {len(left_out)} (no text)" in job.said(name)


def test_another_number_of_processes_would_be_another_order_and_is_refused(job: TonesJob) -> None:
    assert "their number has changed: 2 -> 1" in job.said_in_one_line("stream")


def test_a_checkpoint_says_where_each_rank_is(job: TonesJob) -> None:
    folders: list[Path] = sorted((job.run_dir("stream") / "checkpoints").iterdir())
    places = json.loads((folders[-1] / "state.json").read_text())["progress"]["places"]
    assert [set(place) for place in places] == [{"epoch", "turn", "place", "row", "taken"}] * 2
    assert places[0] != places[1]


def test_a_hub_dataset_is_streamed_by_its_name(tones: TonesJob, tmp_path: Path) -> None:
    with LoopbackHub(tmp_path / "hub") as hub:
        hub.add_repository("dataset", "PolyAI/minds14", make_scripted_minds14(tmp_path / "data", rows=24, other_rows=6))
        config = tmp_path / "hub.yaml"
        config.write_text(
            CONFIG.replace("MODEL", str(tones.folder / "model"))
            .replace('"TARS"', "PolyAI/minds14, subset: en-US, text_column: english_transcription")
            .replace("max_steps: 10", "max_steps: 5")
        )
        settings = ["--config", str(config), "--training.per_device_train_batch_size", "4", "--output_dir", "run"]
        finished = console(["train", *settings], cwd=tmp_path, env=hub_environment(hub, tmp_path / "home"))
        assert finished.code == 0, finished.err[-4000:]
        assert not hub.requested("de-DE/", method="GET")
    assert "train: streamed from 1 shards" in finished.out
    lines = (tmp_path / "run" / "evaluations" / "step-00000005.jsonl").read_text().splitlines()
    validated = [json.loads(line)["utterance_id"] for line in lines]
    assert validated == [f"train-00000-{row:07d}" for row in range(7)]
    state = json.loads((tmp_path / "run" / "checkpoints" / "step-00000005" / "state.json").read_text())
    (place,) = state["progress"]["places"]
    # 20 rows, of 17 in an epoch: three of the second epoch
    assert (place["epoch"], place["row"] + place["taken"]) == (1, 9 + 1)
