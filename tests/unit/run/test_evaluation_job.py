"""Sets whose rows are shorter and longer than the window: one score, the same transcripts as each kind alone."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from accel_asr.config.fallback_settings import Fallback
from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.data.selection.long_recordings import LongRecording
from accel_asr.evaluation.evaluating import evaluate_model
from accel_asr.evaluation.evaluation_sets import EvaluationSet
from accel_asr.evaluation.long_form import score_long_recordings
from accel_asr.evaluation.scoring import corpus_score
from accel_asr.run import evaluation_job
from accel_asr.run.evaluation_job import drop_unfit_long_rows, score_sets
from tests.refusals import refused
from tests.unit.evaluation.conftest import decoding_of

GREEDY = Fallback((0.0,), None, None, None)  # a random model's transcripts are improbable, all of them
WINDOW_S = 0.8  # of the test: some of its clips are longer


@pytest.fixture
def loaded(model_and_processor, encoder, collator, monkeypatch) -> Any:
    model, processor = model_and_processor
    monkeypatch.setattr(model.config, "max_target_positions", 48)  # it never ends a transcript: a few tokens will do
    monkeypatch.setattr(evaluation_job.modeling, "window_s", lambda _: WINDOW_S)
    decoding = decoding_of(model, batch_size=2, fallback=GREEDY, keywords=("account",))
    plain = SimpleNamespace(model=model, processor=processor, encoder=encoder, decoding=decoding)
    plain.collator_for = lambda *_, **__: collator
    return plain


@pytest.fixture
def mixed(utterances) -> EvaluationSet:
    is_long = utterances.durations_s() > WINDOW_S
    assert 0 < is_long.sum() < len(utterances)
    return EvaluationSet("test", "calls", "test", None, utterances)


def test_long_and_short_rows_are_in_one_score_in_their_order(loaded, mixed, accelerator, collator) -> None:
    (result,) = score_sets(loaded, [mixed], accelerator=accelerator)
    is_long = mixed.utterances.durations_s() > WINDOW_S
    long, short = (mixed.utterances.select(np.flatnonzero(rows)) for rows in (is_long, ~is_long))
    assert [line.transcript.utterance_id for line in result.scored] == mixed.utterances.ids()
    items = ClipItems(short, feature_extractor=loaded.processor.feature_extractor, encoder=loaded.encoder)
    of_short = evaluate_model(loaded.model, items, loaded.decoding, accelerator=accelerator, collator=collator)
    parts = {"processor": loaded.processor, "encoder": loaded.encoder, "accelerator": accelerator}
    of_long = score_long_recordings(loaded.model, LongRecording.whole(long), loaded.decoding, **parts)
    written = {line.transcript.utterance_id: line for line in (*of_short.scored, *of_long.scored)}
    assert result.scored == [written[name] for name in mixed.utterances.ids()]
    evaluation = result.evaluation
    assert evaluation.score == corpus_score(result.scored)
    assert evaluation.loss == of_short.loss
    assert evaluation.long_form["recordings"] == is_long.sum()
    assert evaluation.long_form["reference_words"] + of_short.score.reference_words == evaluation.score.reference_words
    assert evaluation.record()["long_form"] == evaluation.long_form
    assert evaluation.keywords["occurrences"] == sum(
        line.reference_normalized.split().count("account") for line in result.scored
    )


def test_a_set_of_long_rows_alone(loaded, mixed, accelerator) -> None:
    long = replace(mixed, utterances=mixed.utterances.select(np.flatnonzero(mixed.utterances.durations_s() > WINDOW_S)))
    (result,) = score_sets(loaded, [long], accelerator=accelerator)
    assert len(result.scored) == len(long.utterances)
    assert result.evaluation.score.wer == result.evaluation.long_form["wer"]
    assert np.isnan(result.evaluation.loss)


def test_short_rows_alone_are_scored_as_before(loaded, mixed, accelerator) -> None:
    (result,) = score_sets(loaded, [replace(mixed, utterances=mixed.utterances[:0])], accelerator=accelerator)
    assert result.evaluation.long_form is None
    assert "long_form" not in result.evaluation.record()


def test_a_model_that_can_not_go_on_leaves_long_rows_out(loaded, mixed, accelerator, monkeypatch) -> None:
    monkeypatch.setattr(evaluation_job, "why_not_long", lambda *_, **__: "the model has not learnt to write times")
    sets = [mixed]
    (notice,) = drop_unfit_long_rows(loaded, sets, accelerator=accelerator)
    is_long = mixed.utterances.durations_s() > WINDOW_S
    assert f"test: {is_long.sum()} rows" in notice
    assert "times" in notice
    assert sets[0].utterances.durations_s().max() <= WINDOW_S
    assert len(sets[0].utterances) == (~is_long).sum()
    only_long = [replace(mixed, utterances=mixed.utterances.select(np.flatnonzero(is_long)))]
    with refused("--dataset", "times", value="calls", remedy="timestamps_probability"):
        drop_unfit_long_rows(loaded, only_long, accelerator=accelerator)


def test_a_model_that_can_keeps_them(loaded, mixed, accelerator, monkeypatch) -> None:
    monkeypatch.setattr(evaluation_job, "why_not_long", lambda *_, **__: None)
    sets = [mixed]
    assert drop_unfit_long_rows(loaded, sets, accelerator=accelerator) == []
    assert sets == [mixed]


def test_noise_changes_long_rows_and_is_the_same_each_time(mixed, monkeypatch) -> None:
    from accel_asr.audio.augmentation import Augmentation
    from accel_asr.config.augmentation_settings import AugmentConfig

    hiss = Augmentation(
        AugmentConfig(noise_prob=1.0, min_snr_db=0.0, max_snr_db=0.0),
        16_000,
        lambda samples, _, draws: (draws.standard_normal(samples, dtype=np.float32), "hiss"),
    )
    plain, noisy, again = (LongRecording.whole(mixed.utterances, heard)[0].samples() for heard in (None, hiss, hiss))
    assert np.array_equal(noisy, again)
    assert len(noisy) == len(plain)
    assert not np.allclose(noisy, plain, atol=0.01)
    assert not np.array_equal(noisy, LongRecording.whole(mixed.utterances[1:], hiss)[0].samples()[: len(noisy)])
