"""From samples to text with times, on a model with a window of two seconds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from accel_asr.audio.decoding import to_float32
from accel_asr.config.fallback_settings import Fallback
from accel_asr.model.silence_merging import SilenceMerging
from accel_asr.transcription.segments import Segment
from accel_asr.transcription.transcriber import Transcriber
from accel_asr.transcription.transcriber_loading import load_transcriber
from accel_asr.transcription.window_decoding import DecodedWindow, WindowDecoder, most_new_tokens
from tests.odd_tokenizers import KINDS, with_tokenizer

RATE_HZ = 16_000
WINDOW_S = 2
GREEDY = Fallback((0.0,), None, None, None)  # a random model's transcripts are improbable, all of them


@pytest.fixture
def clips(utterances) -> list[np.ndarray]:
    return [to_float32(utterance.samples()) for utterance in utterances]


@pytest.fixture
def transcriber(model_and_processor) -> Transcriber:
    return Transcriber(*model_and_processor, language="en", task="transcribe", fallback=GREEDY)


def without_language(transcriber: Transcriber) -> Transcriber:
    return Transcriber(transcriber.model, transcriber.processor, task="transcribe", fallback=GREEDY)


def test_batches_say_what_clips_say_alone(transcriber: Transcriber, clips: list[np.ndarray]) -> None:
    together = transcriber.transcribe_short(clips, timed=True)
    alone = [transcriber.transcribe_short([clip], timed=True)[0] for clip in clips]
    assert together == alone
    assert len({spoken.text for spoken in together}) > 3  # else they could have been mixed up


MERGING = SilenceMerging(window_positions=100, position_s=0.02, margin_s=0.1, end_s=0.1)


@pytest.mark.parametrize("num_beams", [1, 3])
@pytest.mark.parametrize("language", ["en", None])
def test_with_merged_padding_batches_say_what_clips_say_alone(
    transcriber: Transcriber, clips: list[np.ndarray], num_beams: int, language: str | None
) -> None:
    merging = replace(transcriber, num_beams=num_beams, language=language, merging=MERGING)
    together = merging.transcribe_short(clips, timed=True)
    assert together == [merging.transcribe_short([clip], timed=True)[0] for clip in clips]
    plain = replace(merging, merging=None).transcribe_short(clips, timed=True)
    assert replace(merging, merging=replace(MERGING, factor=1)).transcribe_short(clips, timed=True) == plain


def test_merged_padding_reaches_the_encoder_and_leaves_long_recordings_as_they_are(
    transcriber: Transcriber, clips: list[np.ndarray]
) -> None:
    long = np.concatenate(clips)
    before = transcriber.transcribe_long(long)
    encoded: list[tuple[int, ...]] = []
    layer = transcriber.model.get_encoder().layers[0]
    watch = layer.register_forward_hook(lambda *seen: encoded.append(tuple(seen[1][0].shape[:2])))
    replace(transcriber, merging=MERGING).transcribe_short([clips[1]], timed=False)
    watch.remove()
    assert encoded == [(1, 64)]
    assert replace(transcriber, merging=MERGING).transcribe_long(long) == before


@pytest.mark.parametrize("num_beams", [1, 3])
def test_asking_for_times_does_not_change_the_text(
    transcriber: Transcriber, clips: list[np.ndarray], num_beams: int
) -> None:
    transcriber = Transcriber(transcriber.model, transcriber.processor, "en", "transcribe", num_beams)
    untimed = transcriber.transcribe_short(clips, timed=False)
    timed = transcriber.transcribe_short(clips, timed=True)
    assert [spoken.text for spoken in timed] == [spoken.text for spoken in untimed]
    for spoken, clip in zip(timed, clips, strict=True):
        assert " ".join(segment.text for segment in spoken.segments).split() == spoken.text.split()
        assert spoken.duration_s == len(clip) / RATE_HZ
        assert spoken.segments[-1].end_s <= spoken.duration_s + 0.0005


def test_beams_change_what_is_heard(transcriber: Transcriber, clips: list[np.ndarray]) -> None:
    searching = Transcriber(transcriber.model, transcriber.processor, "en", "transcribe", num_beams=4)
    texts = [[spoken.text for spoken in one.transcribe_short(clips, timed=False)] for one in (transcriber, searching)]
    assert texts[0] != texts[1]


def saying(transcriber: Transcriber, monkeypatch: pytest.MonkeyPatch, *, plain: str, timed: str) -> None:
    """Let `generate` give these words, and with times those."""
    tokenizer = transcriber.processor.tokenizer

    def ids(text: str) -> torch.Tensor:
        return torch.tensor(tokenizer(text, add_special_tokens=False).input_ids)

    def generate(self, *, return_timestamps: bool, **options: object):
        if not return_timestamps:
            return type("Out", (), {"sequences": torch.cat([ids(plain), ids("<|endoftext|>")])[None]})
        parts = [part.split("|") for part in timed.split(" / ")]
        return {
            "segments": [
                [{"start": float(start), "end": float(end), "tokens": ids(words)} for start, end, words in parts]
            ]
        }

    monkeypatch.setattr(type(transcriber.model), "generate", generate)


def test_times_of_a_pass_that_says_the_same_words_are_used(
    transcriber: Transcriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    saying(
        transcriber, monkeypatch, plain=" Hello there. Good night.", timed="0.1|0.7|hello there / 0.7|9.0|good night"
    )
    (spoken,) = transcriber.transcribe_short([np.zeros(RATE_HZ, np.float32)], timed=True)
    assert spoken.text == "Hello there. Good night."
    assert spoken.segments == (Segment(0.1, 0.7, "Hello there."), Segment(0.7, 1.0, "Good night."))
    assert not spoken.cut_off


def test_where_the_timed_pass_says_other_words_the_whole_clip_is_the_segment(
    transcriber: Transcriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    saying(transcriber, monkeypatch, plain="Hello there", timed="0.1|0.7|something else")
    (spoken,) = transcriber.transcribe_short([np.zeros(RATE_HZ, np.float32)], timed=True)
    assert spoken.segments == (Segment(0.0, 1.0, "Hello there"),)


@pytest.mark.parametrize("kind", KINDS)
def test_control_tokens_are_no_words_whatever_the_tokenizer_says_of_them(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    transcriber = load_transcriber(str(with_tokenizer(tiny_folder, tmp_path / "model", kind)), language="en")
    vocabulary = transcriber.processor.tokenizer.get_vocab()
    words = transcriber.spelling.ids(" my card")
    start, times, end = (
        [vocabulary[token] for token in tokens]
        for tokens in (
            ("<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>"),
            ("<|0.00|>", "<|1.00|>"),
            ("<|nocaptions|>", "<|endoftext|>"),
        )
    )

    def generate(self, *, return_timestamps: bool, **options: object):
        said = torch.tensor([*start, times[0], *words, times[1], *end])
        if not return_timestamps:
            return type("Out", (), {"sequences": said[None]})
        return {"segments": [[{"start": 0.0, "end": 1.0, "tokens": said, "result": said}]]}

    monkeypatch.setattr(type(transcriber.model), "generate", generate)
    decoded = DecodedWindow((times[0], *words, end[0], times[1]), 0.0, -0.1, 1.0, 0.0, is_silence=False, has_ended=True)
    monkeypatch.setattr(WindowDecoder, "begin", lambda *given, **named: decoded)
    monkeypatch.setattr(WindowDecoder, "remove", lambda self, row: None)
    (short,) = transcriber.transcribe_short([np.zeros(RATE_HZ, np.float32)], timed=True)
    long = transcriber.transcribe_long(np.zeros(2 * RATE_HZ, np.float32))
    for spoken in (short, long):
        assert (spoken.text, spoken.segments, spoken.cut_off) == ("my card", (Segment(0.0, 1.0, "my card"),), False)


def test_a_model_that_never_ends_is_said_to_be_cut_off(transcriber: Transcriber, clips: list[np.ndarray]) -> None:
    assert all(spoken.cut_off for spoken in transcriber.transcribe_short(clips[:2], timed=False))
    assert transcriber.transcribe_long(np.concatenate(clips)).cut_off


@pytest.mark.parametrize("samples", [0, 1, 3, RATE_HZ])
def test_silence_and_next_to_nothing_are_heard_without_a_crash(transcriber: Transcriber, samples: int) -> None:
    silence = np.zeros(samples, np.float32)
    (spoken,) = without_language(transcriber).transcribe_short([silence], timed=True)
    assert spoken.duration_s == samples / RATE_HZ
    assert (spoken.text == "") >= (samples == 0)
    assert all(segment.start_s < segment.end_s for segment in spoken.segments)


def test_a_recording_longer_than_the_window_is_heard_to_its_end(
    transcriber: Transcriber, clips: list[np.ndarray]
) -> None:
    samples = np.concatenate(clips)
    assert len(samples) > 2 * WINDOW_S * RATE_HZ
    assert transcriber.is_long(samples)
    assert not transcriber.is_long(samples[: WINDOW_S * RATE_HZ])
    heard_frames, done_s = [], []
    transcriber.model.get_encoder().register_forward_pre_hook(lambda _, given: heard_frames.append(given[0].shape[-1]))
    spoken = transcriber.transcribe_long(samples, on_progress=done_s.append)
    assert len(heard_frames) >= 3
    assert set(heard_frames) == {100 * WINDOW_S}
    assert done_s[0] == 0.0
    assert done_s == sorted(set(done_s))
    assert done_s[-1] > spoken.duration_s - WINDOW_S - 0.1
    assert spoken.segments[-1].start_s > spoken.duration_s - WINDOW_S - 0.1
    assert spoken.segments[-1].end_s <= round(spoken.duration_s, 3)
    assert " ".join(segment.text for segment in spoken.segments).split() == spoken.text.split()


def test_an_unset_language_is_detected_for_each_clip(
    transcriber: Transcriber, clips: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    def transcript(language: str, clip: np.ndarray) -> str:
        telling = Transcriber(transcriber.model, transcriber.processor, language=language, task="transcribe")
        return telling.transcribe_short([clip], timed=False)[0].text

    detecting = without_language(transcriber)
    (detected,) = detecting.transcribe_short(clips[:1], timed=False)
    assert detected.language is not None
    assert detected.text == transcript(detected.language, clips[0])
    assert detecting.transcribe_long(np.concatenate(clips)).language is not None

    assert 0 < detected.language_probability < 1

    # the random model hears one language in everything
    def languages(self: Transcriber, language: str | None, task: str, encoded: torch.Tensor) -> list[tuple[str, None]]:
        return [(language or detected, None) for detected in ("de", "fr")[: len(encoded)]]

    monkeypatch.setattr(Transcriber, "_languages", languages)
    both = detecting.transcribe_short([clips[1], clips[1]], timed=False)
    assert [spoken.language for spoken in both] == ["de", "fr"]
    assert [spoken.text for spoken in both] == [transcript("de", clips[1]), transcript("fr", clips[1])]
    assert both[0].text != both[1].text


def test_what_a_random_model_hears_is_improbable_and_so_decoded_again(transcriber: Transcriber, clips) -> None:
    samples = np.concatenate(clips[:3])  # two windows
    greedy = transcriber.transcribe_long(samples)
    improbable = replace(transcriber, fallback=Fallback((0.0, 1.0), None, -1.0, None))
    first = improbable.transcribe_long(samples)
    assert first.text != greedy.text
    torch.manual_seed(7)
    assert improbable.transcribe_long(samples) == first  # sampled, and still the same each time
    assert torch.initial_seed() == 7  # and the generator of all else was left alone
    probable = replace(transcriber, fallback=Fallback((0.0, 1.0), None, -1e9, None))
    assert probable.transcribe_long(samples) == greedy


def test_an_improbable_window_of_silence_is_left_out(transcriber: Transcriber, clips) -> None:
    silent = replace(transcriber, fallback=Fallback((0.0,), None, -1e-9, -1.0))  # everything is, by these thresholds
    assert silent.transcribe_long(np.concatenate(clips[:3])).segments == ()


def test_long_windows_have_room_for_all_that_is_said_and_for_what_came_before(
    transcriber: Transcriber, clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[list[int]] = []
    begin = WindowDecoder.begin
    monkeypatch.setattr(
        WindowDecoder,
        "begin",
        lambda self, row, encoded, ids, **named: given.append(ids) or begin(self, row, encoded, ids, **named),
    )
    settings = transcriber.model.generation_config
    settings.max_new_tokens = 2  # of the run's clips
    spoken = transcriber.transcribe_long(np.concatenate(clips[:3]))
    assert most_new_tokens(transcriber.model) == 216  # of 448 positions, 224 are for the text before
    first = spoken.windows[0]
    assert len(first.ids) > 10
    assert given[1][0] == settings.prev_sot_token_id
    assert tuple(given[1][1:-3]) in (first.ids, first.ids[:-1])  # of two times at its end the second begins the next
    assert tuple(given[1][-3:]) == first.start_ids
    del given[:]
    settings.prev_sot_token_id = None
    transcriber.transcribe_long(np.concatenate(clips[:3]))
    assert {len(ids) for ids in given} == {3}
