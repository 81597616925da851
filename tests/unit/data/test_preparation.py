"""Rows to utterances: what is kept, what is dropped and why, what the labels are."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from accel_asr.data import preparation
from accel_asr.data.audio import to_int16
from accel_asr.data.preparation import (
    Drops,
    LabelEncoder,
    Utterance,
    fingerprint,
    hours,
    prepare_utterances,
)
from accel_asr.data.rows import Row
from accel_asr.errors import UserError
from tests.tiny_datasets import wav_bytes

RATE_HZ = 16_000


@pytest.fixture
def encoder(model_and_processor) -> LabelEncoder:
    return LabelEncoder(model_and_processor[1].tokenizer)


def clip(duration_s: float, *, rate_hz: int = RATE_HZ) -> bytes:
    noise = 0.1 * np.random.default_rng(0).standard_normal(round(duration_s * rate_hz)).clip(-3, 3)
    return wav_bytes(noise, sampling_rate_hz=rate_hz)


def prepare(
    rows: Sequence[Row],
    encoder: LabelEncoder,
    *,
    max_duration_s: float = 2.0,
    max_label_tokens: int = 448,
    max_bad_fraction: float = 1.0,
    channel: int | None = None,
) -> tuple[list[Utterance], Drops]:
    return prepare_utterances(
        rows,
        encoder=encoder,
        sampling_rate_hz=RATE_HZ,
        max_duration_s=max_duration_s,
        max_label_tokens=max_label_tokens,
        max_bad_fraction=max_bad_fraction,
        channel=channel,
    )


# -- what is kept


def test_utterances_keep_the_order_of_the_rows(encoder: LabelEncoder) -> None:
    durations_s = [1.5, 0.1, 0.9, 0.2, 1.9, 0.1]
    rows = [Row(f"r{index}", clip(duration_s), f"text {index}") for index, duration_s in enumerate(durations_s)]
    kept, drops = prepare(rows, encoder)
    assert [(utterance.utterance_id, utterance.duration_s) for utterance in kept] == [
        (f"r{index}", duration_s) for index, duration_s in enumerate(durations_s)
    ]
    assert drops.sentence() == "dropped none"


def test_samples_are_int16_at_the_models_rate(encoder: LabelEncoder, tmp_path: Path) -> None:
    samples = to_int16(0.5 * np.sin(np.arange(1600) / 10))
    soundfile.write(tmp_path / "a.wav", samples, RATE_HZ)
    kept, _ = prepare([Row("a", tmp_path / "a.wav", "x"), Row("b", clip(0.5, rate_hz=8_000), "x")], encoder)
    assert kept[0].samples.dtype == np.int16
    np.testing.assert_array_equal(kept[0].samples, samples)
    assert [(utterance.duration_s, len(utterance.samples)) for utterance in kept] == [(0.1, 1600), (0.5, 8000)]


def test_a_segment_a_channel_and_a_group_reach_the_utterance(encoder: LabelEncoder, tmp_path: Path) -> None:
    samples = to_int16(np.stack([np.linspace(-0.5, 0.5, 3200), np.zeros(3200)], axis=1))
    soundfile.write(tmp_path / "a.wav", samples, RATE_HZ)
    row = Row("a", tmp_path / "a.wav", "x", start_s=0.05, end_s=0.15, group="mary")
    (kept,), _ = prepare([row], encoder, channel=0)
    np.testing.assert_array_equal(kept.samples, samples[800:2400, 0])
    assert (kept.duration_s, kept.group) == (0.1, "mary")


def test_text_is_trimmed(encoder: LabelEncoder) -> None:
    (kept,), _ = prepare([Row("a", clip(0.1), "\t my card \n")], encoder)
    assert kept.text == "my card"
    assert kept.token_ids == encoder.encode("my card")


# -- what is dropped


def test_every_reason_is_counted_with_examples(encoder: LabelEncoder, tmp_path: Path) -> None:
    rows = [
        Row("good", clip(1.0), "my card"),
        Row("gone", tmp_path / "gone.wav", "my card"),
        Row("no audio", None, "my card"),
        Row("null", clip(1.0), None),
        Row("blank", clip(1.0), " \n"),
        Row("long", clip(2.5), "my card"),
        Row("at the limit", clip(2.0), "my card"),
        Row("below the limit", clip(2.0 - 1 / RATE_HZ), "my card"),
        Row("wordy", clip(1.0), "card " * 30),
    ]
    kept, drops = prepare(rows, encoder, max_label_tokens=20)
    assert [utterance.utterance_id for utterance in kept] == ["good", "below the limit"]
    wordy = len(encoder.encode(("card " * 30).strip()))
    assert drops.summary() == {
        "undecodable audio": {
            "count": 2,
            "examples": [["gone", "the file does not exist"], ["no audio", "the row holds no audio"]],
        },
        "no text": {"count": 2, "examples": [["null", "null"], ["blank", "empty"]]},
        "not shorter than 2 s": {"count": 2, "examples": [["long", "2.50 s"], ["at the limit", "2.00 s"]]},
        "label longer than 20 tokens": {"count": 1, "examples": [["wordy", f"{wordy} tokens"]]},
    }
    assert drops.sentence() == (
        "dropped 2 (undecodable audio), 2 (no text), 2 (not shorter than 2 s), 1 (label longer than 20 tokens)"
    )


def test_counts_of_two_splits_are_added_and_examples_are_few() -> None:
    one, other = Drops(), Drops()
    for index in range(1_500):
        one.add("no text", f"a{index}", "null")
    other.add("no text", "b", "empty")
    other.add("undecodable audio", "c", "why")
    one.merge(other)
    assert one.sentence() == "dropped 1,501 (no text), 1 (undecodable audio)"
    assert one.summary()["no text"]["count"] == 1_501
    assert one.summary()["no text"]["examples"] == [[f"a{index}", "null"] for index in range(20)]


def test_a_share_of_bad_audio_is_let_pass_and_more_ends_the_run(encoder: LabelEncoder) -> None:
    rows = [Row(f"r{index}", b"no audio" if index in (3, 7) else clip(0.1), "x") for index in range(10)]
    kept, _ = prepare(rows, encoder, max_bad_fraction=0.2)  # exactly so many
    assert len(kept) == 8
    with pytest.raises(UserError) as caught:
        prepare(rows, encoder, max_bad_fraction=0.19)
    told = str(caught.value).splitlines()
    assert told[0].startswith("data.max_bad_fraction: 2 of 10 recordings can't be decoded, more than the share of 0.19")
    assert [line.split(":")[0] for line in told[1:]] == ["  r3", "  r7"]


def test_of_many_bad_recordings_twenty_are_named(encoder: LabelEncoder) -> None:
    with pytest.raises(UserError) as caught:
        prepare([Row(f"r{index}", None, "x") for index in range(25)], encoder, max_bad_fraction=0.5)
    told = str(caught.value).splitlines()
    assert (len(told), told[-1]) == (1 + 20 + 1, "  and 5 more")


def test_when_nothing_is_left_the_reasons_are_told(encoder: LabelEncoder) -> None:
    with pytest.raises(UserError, match=r"no utterance is left after the filters \(dropped 1 \(no text\)\)"):
        prepare([Row("a", clip(0.1), "")], encoder)


# -- labels


def test_a_label_is_what_whisper_was_trained_on(encoder: LabelEncoder) -> None:
    tokenizer = encoder.tokenizer
    ids = encoder.encode("my card")
    assert tokenizer.decode(ids) == "<|startoftranscript|><|en|><|transcribe|><|notimestamps|>my card<|endoftext|>"
    assert ids.count(tokenizer.convert_tokens_to_ids("<|startoftranscript|>")) == 1
    assert ids.count(tokenizer.convert_tokens_to_ids("<|endoftext|>")) == 1


def test_markup_in_a_text_does_not_become_control_tokens(encoder: LabelEncoder) -> None:
    ids = encoder.encode("a <|startoftranscript|> b <|endoftext|> c")
    assert ids.count(encoder.tokenizer.convert_tokens_to_ids("<|startoftranscript|>")) == 1
    assert ids.count(encoder.tokenizer.convert_tokens_to_ids("<|endoftext|>")) == 1


def test_a_label_may_fill_the_decoder_and_not_one_token_more(encoder: LabelEncoder) -> None:
    row = Row("a", clip(0.1), "my card please")
    length = len(encoder.encode("my card please"))
    kept, _ = prepare([row], encoder, max_label_tokens=length)
    assert len(kept) == 1
    with pytest.raises(UserError, match=f"label longer than {length - 1} tokens"):
        prepare([row], encoder, max_label_tokens=length - 1)


@pytest.mark.parametrize(
    ("duration_s", "end"),
    [(1.0, "1.00"), (1.999, "1.98"), (0.02, "0.02"), (0.019, "0.00"), (1.16, "1.16"), (0.58, "0.58"), (0.06, "0.06")],
)
def test_times_are_put_where_the_tokenizer_reads_them(encoder: LabelEncoder, duration_s: float, end: str) -> None:
    plain = encoder.encode("my card")
    timed = encoder.with_timestamps(plain, duration_s)
    read = encoder.tokenizer.decode(timed, decode_with_timestamps=True)
    assert read == f"<|startoftranscript|><|en|><|transcribe|><|0.00|>my card<|{end}|><|endoftext|>"
    assert len(timed) == len(plain) + 1
    assert encoder.tokenizer.decode(timed, skip_special_tokens=True).strip() == "my card"


# -- splits


def numbered(count: int) -> list[Utterance]:
    return [
        Utterance(f"u{index}", f"text {index}", 1.5, np.full(3, index, dtype=np.int16), (1, 2))
        for index in range(count)
    ]


def test_hours() -> None:
    assert hours(numbered(2400)) == 1.0


# -- fingerprint


@pytest.mark.parametrize("change", [{"text": "other"}, {"utterance_id": "x"}, {"samples": np.zeros(3, np.int16)}])
def test_the_fingerprint_sees_ids_texts_and_audio(change: dict) -> None:
    data = numbered(3)
    changed = [data[0], dataclasses.replace(data[1], **change), data[2]]
    assert fingerprint(data) == fingerprint(numbered(3))
    assert fingerprint(changed) != fingerprint(data)


def test_the_fingerprint_sees_the_order() -> None:
    assert fingerprint(numbered(3)[::-1]) != fingerprint(numbered(3))


def test_decoding_in_threads_does_not_reorder(encoder: LabelEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    def slow_first(source: bytes, **options: object) -> np.ndarray:
        time.sleep(0.05 if source == b"0" else 0)
        return np.full(100, int(source) / 32768, dtype=np.float32)

    monkeypatch.setattr(preparation, "decode", slow_first)
    kept, _ = prepare([Row(f"r{index}", str(index).encode(), "x") for index in range(6)], encoder)
    assert [int(utterance.samples[0]) for utterance in kept] == list(range(6))
