"""Long recordings on a model with a window of two seconds: as transcribing them alone, over ranks, and when to skip."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from accel_asr.audio.decoding import AudioError
from accel_asr.config.fallback_settings import Fallback
from accel_asr.data.selection import long_recordings
from accel_asr.data.selection.long_recordings import LongRecording, joined_recordings
from accel_asr.evaluation import long_form
from accel_asr.evaluation.long_form import LongFormResult, score_long_recordings, why_not_long
from accel_asr.evaluation.long_form_faults import LongFormFaults, Stretch
from accel_asr.ranks.agreement import AgreedStopError, Agreement
from accel_asr.transcription.transcriber import Transcriber
from tests.unit.evaluation.conftest import decoding_of
from tests.unit.evaluation.made_up_scores import score_pairs

GREEDY = Fallback((0.0,), None, None, None)  # a random model's transcripts are improbable, all of them


@pytest.fixture
def recordings(utterances, monkeypatch) -> list[LongRecording]:
    monkeypatch.setattr(long_recordings, "SHORTEST_S", 3.0)
    return joined_recordings(utterances, most=3, longer_than_s=2.0)


@pytest.fixture
def score(model_and_processor, encoder, accelerator, monkeypatch) -> Any:
    model, processor = model_and_processor
    monkeypatch.setattr(model.config, "max_target_positions", 48)  # it never ends a transcript: a few tokens will do
    decoding = decoding_of(model, batch_size=4, fallback=GREEDY)

    def run(recordings: list[LongRecording], **more: Any) -> LongFormResult:
        parts = {"processor": processor, "encoder": encoder, "accelerator": accelerator}
        return score_long_recordings(model, recordings, decoding, **parts | more)

    return run


def test_each_is_transcribed_as_alone_and_scored_against_its_whole_text(score, recordings, model_and_processor) -> None:
    result = score(recordings)
    alone = Transcriber(*model_and_processor, language="en", task="transcribe", num_beams=1, fallback=GREEDY)
    texts = [alone.transcribe_long(recording.samples()).text for recording in recordings]
    assert [line.transcript.hypothesis for line in result.scored] == texts
    assert len(set(texts)) == len(texts)
    assert [line.transcript.reference for line in result.scored] == [recording.text for recording in recordings]
    record = result.record()
    assert record["recordings"] == len(recordings) == 3
    assert record["audio_seconds"] == pytest.approx(sum(recording.duration_s for recording in recordings), abs=0.01)
    low, high = record["wer_interval"]
    assert low <= record["wer"] <= high
    assert record["reference_words"] == sum(len(recording.text.split()) for recording in recordings)


def test_one_that_fits_the_window_is_heard_too(score, utterances) -> None:
    recordings = LongRecording.whole(utterances[:2])
    assert all(line.transcript.hypothesis for line in score(recordings).scored)


def test_one_that_can_not_be_decoded_is_all_deletions(score, recordings, monkeypatch) -> None:
    samples = LongRecording.samples

    def torn(recording: LongRecording) -> np.ndarray:
        if recording is recordings[1]:
            raise AudioError("it is torn")
        return samples(recording)

    monkeypatch.setattr(LongRecording, "samples", torn)
    result = score(recordings)
    assert [line.transcript.audio_problem for line in result.scored] == [None, "it is torn", None]
    assert result.scored[1].words.deletions == len(recordings[1].text.split())
    assert result.record()["unreadable"] == 1


@dataclass
class Rank:
    """An accelerator of one of several ranks, whose results are gathered by the test."""

    process_index: int
    num_processes: int
    accelerator: Any

    def autocast(self) -> Any:
        return self.accelerator.autocast()


class Done(Agreement):
    def __init__(self) -> None:
        pass

    def in_time(self) -> None:
        pass

    def all_done(self, *, is_done: bool, problem: Exception | None = None) -> bool:
        return True


def test_ranks_share_them_the_longest_first_and_get_the_same(score, recordings, accelerator, monkeypatch) -> None:
    shares: list[list[Any]] = []
    whole = score(recordings)

    def run(rank: int, gather: Any) -> LongFormResult:
        monkeypatch.setattr(long_form, "gather_object", gather)
        return score(recordings, accelerator=Rank(rank, 2, accelerator), agreement=Done())

    for rank in (0, 1):
        with pytest.raises(AssertionError, match="missing"):
            run(rank, lambda mine: shares.append(mine) or mine)
    longest = max(range(3), key=lambda number: recordings[number].duration_s)
    assert longest in [number for number, *_ in shares[0]]
    assert sorted(len(share) for share in shares) == [1, 2]
    result = run(1, lambda mine: shares[0] + mine)
    assert result.scored == whole.scored
    assert result.faults == whole.faults


def test_a_stop_ends_it_between_two_windows(score, recordings, accelerator, model_and_processor) -> None:
    model = model_and_processor[0].train()
    asked: list[bool] = []
    agreement = Agreement(accelerator, lambda: asked.append(True) or len(asked) > 1)
    agreement.in_time = lambda: agreement.all_done(is_done=False)  # each time, not after seconds
    before = torch.random.get_rng_state()
    with pytest.raises(AgreedStopError):
        score(recordings, agreement=agreement)
    assert model.training
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_record_adds_up_loops_stretches_and_errors() -> None:
    def stretch(words: int, start_s: float, end_s: float) -> Stretch:
        return Stretch("u0", start_s, end_s, words, "a", "b", "c")

    faults = [
        LongFormFaults((stretch(8, 0, 4),), (stretch(10, 5, 9), stretch(30, 20, 32.5)), (0.1, 0.2)),
        LongFormFaults((), (stretch(11, 1, 2),), (0.3, 2.0)),
    ]
    record = LongFormResult(score_pairs([("a b c d", "a b"), ("e f", "e f")]), faults, 1.234).record()
    assert (record["wer"], record["deletions"]) == (2 / 6, 2)
    assert (record["loops"], record["loop_words"], record["loop_s"]) == (1, 8, 4.0)
    assert (record["missing"], record["missing_words"], record["missing_s"]) == (3, 51, 17.5)
    assert (record["boundaries"], record["boundary_error_s"], record["boundary_error_95_s"]) == (4, 0.25, 1.745)
    assert [line["words"] for line in record["examples"]["missing"]] == [30, 11, 10]
    none = LongFormResult(score_pairs([("a", "a")]), [LongFormFaults()], 0.0).record()
    assert (none["boundaries"], none["boundary_error_s"]) == (0, None)
    assert all(math.isnan(bound) for bound in none["wer_interval"])  # of one recording


@pytest.fixture
def ask(model_and_processor, encoder, accelerator, recordings) -> Any:
    model, processor = model_and_processor
    return lambda: why_not_long(model, recordings, processor=processor, encoder=encoder, accelerator=accelerator)


def test_a_short_window_is_said_and_so_is_a_model_without_times(ask, model_and_processor, monkeypatch) -> None:
    model = model_and_processor[0]
    assert "window of 2 s is too short" in ask()
    monkeypatch.setattr(long_form, "SHORTEST_WINDOW_S", 1.0)
    assert "has not learnt to write times" in ask()  # random weights, with which words are likely
    monkeypatch.setattr(model.generation_config, "no_timestamps_token_id", None)
    assert "no tokens for times" in ask()


def test_a_model_whose_first_token_is_a_time_can_go_from_window_to_window(
    ask, model_and_processor, encoder, recordings, monkeypatch
) -> None:
    monkeypatch.setattr(long_form, "SHORTEST_WINDOW_S", 1.0)
    projection = model_and_processor[0].proj_out
    likely = torch.zeros(projection.out_features)
    likely[encoder.first_timestamp_id] = 1e6
    likely[encoder.no_timestamps_id] = 1e7  # an English-only model may write it in place of a time
    handle = projection.register_forward_hook(lambda module, inputs, logits: logits + likely)
    assert ask() is None
    handle.remove()
