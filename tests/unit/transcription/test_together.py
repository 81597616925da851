"""Long recordings side by side: what transformers' long-form generation writes, whatever else is in the batch."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from accel_asr.audio.decoding import to_float32
from accel_asr.config.fallback_settings import Fallback
from accel_asr.model import decoder_rows
from accel_asr.model.decoder_rows import DecoderRows
from accel_asr.transcription.inputs import Recording
from accel_asr.transcription.outcomes import outcomes
from accel_asr.transcription.segments import TimedText, joined, tidied
from accel_asr.transcription.sequential import LongAudio
from accel_asr.transcription.transcriber import Transcriber
from accel_asr.transcription.transcriber_loading import load_transcriber
from accel_asr.transcription.window_decoding import most_new_tokens

RATE_HZ = 16_000
GREEDY = Fallback((0.0,), None, None, None)
# thresholds that some windows of a random model pass and others do not
DOUBTFUL = Fallback((0.0, 0.4, 1.0), 2.2, -2.3, None)


@pytest.fixture
def long_clips(utterances) -> list[np.ndarray]:
    """Recordings of some seconds; the window has two."""
    clips = [to_float32(utterance.samples()) for utterance in utterances]
    clips += clips
    return [np.concatenate(clips[first : first + 3 + first % 3]) for first in range(6)]


@pytest.fixture
def transcriber(model_and_processor, monkeypatch: pytest.MonkeyPatch) -> Iterator[Transcriber]:
    """It writes ends and times as often as a trained model does."""
    model, processor = model_and_processor
    settings = model.generation_config
    likely = torch.zeros(model.proj_out.out_features)
    likely[settings.eos_token_id] = 6.0
    likely[settings.no_timestamps_token_id + 1 :] = 2.5
    model.proj_out.bias = torch.nn.Parameter(likely)
    yield Transcriber(model, processor, language="en", task="transcribe", fallback=GREEDY)
    model.proj_out.bias = None


def by_generate(transcriber: Transcriber, samples: np.ndarray) -> TimedText:
    """The transcript of transformers' own long-form generation."""
    extractor, model = transcriber.processor.feature_extractor, transcriber.model
    inputs = extractor(
        samples,
        sampling_rate=RATE_HZ,
        truncation=False,
        padding="longest",
        return_attention_mask=True,
        return_tensors="pt",
    )
    of_language = {} if transcriber.task is None else {"language": transcriber.language, "task": transcriber.task}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        parts = model.generate(
            **inputs,
            **of_language,
            **asdict(transcriber.fallback),
            num_beams=transcriber.num_beams or 1,
            max_new_tokens=most_new_tokens(model),
            return_timestamps=True,
            return_segments=True,
        )["segments"][0]
    segments = transcriber._segments(parts)
    duration_s = len(samples) / RATE_HZ
    return TimedText(joined([each.text for each in segments]), tidied(segments, duration_s=duration_s), duration_s)


def assert_same(ours: TimedText, theirs: TimedText) -> None:
    assert (ours.text, ours.segments, ours.duration_s) == (theirs.text, theirs.segments, theirs.duration_s)


@pytest.mark.parametrize("fallback", [GREEDY, replace(GREEDY, condition_on_prev_tokens=False), DOUBTFUL])
def test_what_generate_writes_is_written(transcriber: Transcriber, long_clips, fallback: Fallback) -> None:
    asked = replace(transcriber, fallback=fallback)
    texts = []
    for samples in long_clips[:4]:
        ours = asked.transcribe_long(samples)
        assert_same(ours, by_generate(asked, samples))
        texts.append(ours)
    assert len({spoken.text for spoken in texts}) == len(texts)
    assert sum(len(spoken.segments) > len(spoken.windows) for spoken in texts) > 1  # times are written in pairs
    if fallback == DOUBTFUL:
        assert {window.temperature for spoken in texts for window in spoken.windows} == {0.0, 0.4, 1.0}


def test_and_by_a_beam_search(transcriber: Transcriber, long_clips) -> None:
    searching = replace(transcriber, num_beams=3)
    ours = searching.transcribe_long(long_clips[0])
    assert_same(ours, by_generate(searching, long_clips[0]))
    assert ours.segments != transcriber.transcribe_long(long_clips[0]).segments


def test_and_with_other_settings_and_an_english_only_model(tiny_english_folder: Path, long_clips) -> None:
    english = load_transcriber(str(tiny_english_folder), device="cpu", fallback=GREEDY)
    english.model.generation_config.repetition_penalty = 1.5
    english.model.generation_config.no_repeat_ngram_size = 3
    english.model.generation_config.suppress_tokens = [300, 301, 302]
    english.model.generation_config.max_initial_timestamp_index = 5
    ours = english.transcribe_long(long_clips[0])
    assert_same(ours, by_generate(english, long_clips[0]))
    assert ours.language == "en"


@pytest.mark.parametrize("at_once", [2, 4])
def test_a_recording_says_the_same_whatever_is_beside_it(transcriber: Transcriber, long_clips, at_once: int) -> None:
    """To the last bit of its probabilities."""
    asked = replace(transcriber, fallback=DOUBTFUL)
    alone = [asked.transcribe_long(samples) for samples in long_clips]
    together = dict(asked.together(at_once=at_once).transcribe(map(LongAudio, long_clips)))
    assert [together[number] for number in range(len(long_clips))] == alone


def test_side_by_side_the_decoder_is_called_less_often(
    transcriber: Transcriber, long_clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    step = DecoderRows.step
    monkeypatch.setattr(DecoderRows, "step", lambda self, ids: rows.append(len(ids)) or step(self, ids))
    list(transcriber.together(at_once=16).transcribe(map(LongAudio, long_clips)))
    together, tokens = len(rows), sum(rows)
    assert max(rows) == 4  # the most on a CPU
    rows.clear()
    for samples in long_clips:
        transcriber.transcribe_long(samples)
    assert set(rows) == {1}
    assert len(rows) == tokens
    assert together < 0.6 * tokens


def test_rows_at_once_on_a_gpu_say_the_same_too(
    transcriber: Transcriber, long_clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = [transcriber.transcribe_long(samples) for samples in long_clips]
    monkeypatch.setattr(decoder_rows, "is_cpu", lambda device: False)
    together = dict(transcriber.together(at_once=5).transcribe(map(LongAudio, long_clips)))
    for number, spoken in enumerate(alone):
        assert_same(together[number], spoken)


def test_no_more_recordings_are_asked_for_than_are_worked_on(transcriber: Transcriber, long_clips) -> None:
    begun, done = [], []

    def recordings() -> Iterator[LongAudio]:
        for number, samples in enumerate(long_clips):
            begun.append(number)
            assert len(begun) - len(done) <= 3  # two, and the one that takes the place of the first that is done
            yield LongAudio(samples)

    for number, _ in transcriber.together(at_once=2).transcribe(recordings()):
        done.append(number)
    assert sorted(done) == begun == [*range(len(long_clips))]


def test_each_has_its_own_language_and_what_was_before_it(
    transcriber: Transcriber, long_clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[int, ...]] = []
    fill = DecoderRows.fill

    def watched(self: DecoderRows, row: int, encoded: torch.Tensor, ids: list[int], *, at: list[int]) -> torch.Tensor:
        given.append(tuple(ids))
        return fill(self, row, encoded, ids, at=at)

    monkeypatch.setattr(DecoderRows, "fill", watched)
    settings = transcriber.model.generation_config
    start = settings.decoder_start_token_id
    german, translate = settings.lang_to_id["<|de|>"], settings.task_to_id["translate"]
    audio = [
        LongAudio(long_clips[0], language="de", task="translate", initial_prompt_ids=[7, 8], keyword_ids=[5]),
        LongAudio(long_clips[1]),
    ]
    spoken = dict(transcriber.together(at_once=2).transcribe(audio))
    assert (spoken[0].language, spoken[1].language) == ("de", "en")
    of_german = [ids for ids in given if german in ids]
    assert of_german[0] == (settings.prev_sot_token_id, 5, 7, 8, start, german, translate)
    assert of_german[1][:4] == (settings.prev_sot_token_id, 5, 7, 8)
    assert len(of_german[1]) > len(of_german[0])
    others = [ids for ids in given if german not in ids]
    assert others[0] == (start, settings.lang_to_id["<|en|>"], settings.task_to_id["transcribe"])


def test_only_the_parts_with_speech_are_transcribed(transcriber: Transcriber, long_clips) -> None:
    samples = np.concatenate(long_clips)[: 12 * RATE_HZ]
    parts = [(0.5, 1.5), (4.0, 7.25), (11.5, 99.0)]
    places: list[float] = []
    together = transcriber.together(at_once=2)
    nothing = LongAudio(samples, speech=[])
    heard = dict(together.transcribe([LongAudio(samples, speech=parts, on_progress=places.append), nothing]))
    spoken = heard[0]
    assert [place for place in places if place in (0.5, 4.0, 11.5)] == [0.5, 4.0, 11.5]
    spans = [(window.start_s, window.start_s + window.audio_s) for window in spoken.windows]
    for start_s, end_s in spans:
        assert any(first <= start_s + 1e-6 and end_s <= min(last, 12.0) + 1e-6 for first, last in parts)
    for segment in spoken.segments:
        assert any(start_s - 1e-6 <= segment.start_s <= segment.end_s <= end_s + 1e-6 for start_s, end_s in spans)
    assert (heard[1].text, heard[1].segments, heard[1].duration_s) == ("", (), 12.0)


def test_windows_say_where_they_are_and_what_was_written(transcriber: Transcriber, long_clips) -> None:
    spoken = transcriber.transcribe_long(long_clips[3])
    first_time = transcriber.model.generation_config.no_timestamps_token_id + 1
    texts = [transcriber.spelling.text(window.ids) for window in spoken.windows]
    assert joined(texts).split() == spoken.text.split()
    for window in spoken.windows:
        assert window.ids[0] >= first_time
        assert 0 < window.audio_s <= 2.0
        assert window.avg_logprob < 0 < window.compression_ratio
    starts_s = [window.start_s for window in spoken.windows]
    assert starts_s == sorted(set(starts_s))
    assert spoken.segments[0].start_s == round((spoken.windows[0].ids[0] - first_time) * 0.02, 3)


def test_outcomes_come_in_order_while_others_are_worked_on(
    transcriber: Transcriber, long_clips, utterances, tmp_path: Path
) -> None:
    import soundfile

    short = to_float32(utterances[0].samples())
    sounds = {"a": long_clips[1], "b": short, "c": long_clips[0], "e": long_clips[2], "f": short}
    for name, samples in sounds.items():
        soundfile.write(tmp_path / f"{name}.wav", samples, RATE_HZ, subtype="FLOAT")
    (tmp_path / "d.wav").write_bytes(b"RIFF")
    recordings = [Recording(f"{name}.wav", tmp_path / f"{name}.wav", tmp_path) for name in "abcdef"]
    lines: list[str] = []
    heard = list(outcomes(transcriber, recordings, batch_size=2, timed=False, on_progress=lines.append))
    assert [index for index, _ in heard] == [0, 1, 2, 3, 4, 5]
    assert isinstance(heard[3][1], str)
    for (_, spoken), name in zip(heard, "abcdef", strict=True):
        if name in "ace":
            assert spoken == transcriber.transcribe_long(sounds[name])
    assert any(line.startswith("c.wav: 0:00 of 0:0") for line in lines)
    assert lines[-1] == ""
