"""The same global batch and the same validation clips on 1, 2 and 3 processes: one result."""

import json

import pytest

from tests.integration.tones import STEPS_PER_EPOCH, TRAIN_CLIPS, VALIDATION_CLIPS, TonesJob

TOPOLOGIES = [(1, 8, 1), (1, 2, 4), (2, 2, 2), (2, 4, 1)]  # (processes, micro-batch, accumulation)
ALONE, *OTHERS = TOPOLOGIES
THREE = (3, 3, 1)  # another global batch, so another training, but the same evaluation before it


@pytest.mark.parametrize("topology", OTHERS)
def test_updates_are_those_of_one_process_with_one_batch(tones: TonesJob, topology: tuple[int, int, int]) -> None:
    """`pytest -rP` shows what it prints."""
    name, expected = tones.whole_run(topology), tones.whole_run(ALONE)
    tones.assert_close_losses(name, expected)
    pairs = list(zip(tones.metrics(name, "train"), tones.metrics(expected, "train"), strict=True))
    assert len(pairs) == 3 * STEPS_PER_EPOCH
    residuals = [line["loss"] - other["loss"] for line, other in pairs]
    mean = sum(residuals) / len(residuals)
    assert abs(mean) < 1e-6
    for line, other in pairs:
        assert line["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-5)
        assert line["learning_rate"] == other["learning_rate"]
    print(f"{name} against {expected}: losses within {max(map(abs, residuals)):.1e}, mean {mean:.0e}")
    tones.assert_close_weights(name, expected)


def test_checkpointed_layers_change_no_bit_on_two_ranks_that_accumulate(tones: TonesJob) -> None:
    expected = tones.whole_run((2, 2, 2))
    plan = [tones.launch("checkpointed", (2, 2, 2), "--training.gradient_checkpointing", "both")]
    assert tones.run_plan(plan) == [[0, 0]], tones.logs(plan)
    assert tones.metrics("checkpointed") == tones.metrics(expected)
    tones.assert_equal_weights("checkpointed", expected)


def test_the_windows_are_ragged_and_the_last_one_is_short(tones: TonesJob) -> None:
    tokens = [line["target_tokens"] for line in tones.metrics(tones.whole_run(ALONE), "train")]
    assert len(set(tokens[:STEPS_PER_EPOCH])) > 2
    assert tokens[STEPS_PER_EPOCH - 1] < 0.6 * min(tokens[: STEPS_PER_EPOCH - 1])


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_an_epoch_trains_on_every_utterance_once(tones: TonesJob, topology: tuple[int, int, int]) -> None:
    ledger = tones.ledger(tones.whole_run(topology))
    for epoch in range(3):
        steps = range(epoch * STEPS_PER_EPOCH + 1, (epoch + 1) * STEPS_PER_EPOCH + 1)
        ids = [utterance for (step, _), lists in ledger.items() if step in steps for ids in lists for utterance in ids]
        assert len(ids) == len(set(ids)) == TRAIN_CLIPS


@pytest.mark.parametrize("topology", [*OTHERS, THREE])
def test_the_table_of_transcripts_is_the_same_row_for_row(tones: TonesJob, topology: tuple[int, int, int]) -> None:
    name, expected = tones.whole_run(topology), tones.whole_run(ALONE)
    table, other = (
        (tones.run_dir(run) / "evaluations" / "step-00000000.jsonl").read_text() for run in (name, expected)
    )
    assert table == other
    rows = [json.loads(line) for line in table.splitlines()]
    assert len({row["utterance_id"] for row in rows}) == len(rows) == VALIDATION_CLIPS
    assert len({row["hypothesis"] for row in rows}) > 1  # or a mix-up would go unnoticed
    assert tones.metrics(name, "eval")[0] == tones.metrics(expected, "eval")[0]  # WER and loss to the last digit
