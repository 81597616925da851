"""Rows to utterances: what is kept, what is dropped and why, what a run is told apart by."""

import dataclasses
import errno
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from accel_asr.audio.decoding import to_int16
from accel_asr.config.settings import DataConfig
from accel_asr.data.labels import LabelEncoder
from accel_asr.data.reading.rows import Row
from accel_asr.data.selection.preparation import Drops, fingerprint, hours, label_lengths, prepare_utterances
from accel_asr.data.selection.utterances import Utterance, Utterances
from accel_asr.data.text_processing import CONTROL_TOKENS, CONTROL_TOKENS_BEFORE, TIMES, WRONG_TIMES, TextProcessing
from accel_asr.errors import UserError
from accel_asr.model.written_tokens import TimedWords
from tests.refusals import refused
from tests.tiny_datasets import wav_bytes
from tests.unit.data.local_sources import RATE_HZ, part_of, utterances_of


def clip(duration_s: float, *, rate_hz: int = RATE_HZ) -> bytes:
    noise = 0.1 * np.random.default_rng(0).standard_normal(round(duration_s * rate_hz)).clip(-3, 3)
    return wav_bytes(noise, sampling_rate_hz=rate_hz)


@pytest.fixture
def prepare(encoder: LabelEncoder, tmp_path: Path):
    """`prepare(rows, ...)`: the rows of a manifest in `tmp_path`, indexed and filtered."""

    def run(
        rows: Sequence[Row],
        *,
        max_label_tokens: int = 448,
        channel: int | None = None,
        keep_empty_texts: bool = False,
        **settings: Any,
    ) -> tuple[Utterances, Drops]:
        return prepare_utterances(
            part_of(rows, tmp_path, channel=channel),
            DataConfig(**{"max_bad_fraction": 1.0, **settings}),
            encoder=LabelEncoder(encoder.tokenizer, max_label_tokens=max_label_tokens),
            window_s=2.0,
            keep_empty_texts=keep_empty_texts,
        )

    return run


# -- what is kept


def test_utterances_keep_the_order_of_the_rows(prepare) -> None:
    durations_s = [1.5, 0.1, 0.9, 0.2, 1.9, 0.1]
    rows = [Row(f"r{index}", clip(duration_s), f"\t text {index} \n") for index, duration_s in enumerate(durations_s)]
    kept, drops = prepare(rows)
    assert [(utterance.utterance_id, utterance.duration_s, utterance.text) for utterance in kept] == [
        (f"r{index}", duration_s, f"text {index}") for index, duration_s in enumerate(durations_s)
    ]
    assert drops.sentence() == "dropped none"


def test_samples_are_int16_at_the_models_rate(prepare, tmp_path: Path) -> None:
    samples = to_int16(0.5 * np.sin(np.arange(1600) / 10))
    soundfile.write(tmp_path / "a.wav", samples, RATE_HZ)
    kept, _ = prepare([Row("a.wav", tmp_path / "a.wav", "x"), Row("b", clip(0.5, rate_hz=8_000), "x")])
    assert kept[0].samples().dtype == np.int16
    np.testing.assert_array_equal(kept[0].samples(), samples)
    assert [(utterance.duration_s, len(utterance.samples())) for utterance in kept] == [(0.1, 1600), (0.5, 8000)]


def test_a_segment_a_channel_and_a_group_reach_the_utterance(prepare, tmp_path: Path) -> None:
    samples = to_int16(np.stack([np.linspace(-0.5, 0.5, 3200), np.zeros(3200)], axis=1))
    soundfile.write(tmp_path / "a.wav", samples, RATE_HZ)
    row = Row("a.wav[0.050-0.150]", tmp_path / "a.wav", "x", start_s=0.05, end_s=0.15, group="mary")
    (kept,), _ = prepare([row], channel=0)
    np.testing.assert_array_equal(kept.samples(), samples[800:2400, 0])
    assert (kept.duration_s, kept.group) == (0.1, "mary")


def test_rows_in_which_nothing_is_said_are_kept_to_be_scored(prepare) -> None:
    rows = [Row("said", clip(0.1), "hello"), Row("nothing", clip(0.2), " "), Row("unknown", clip(0.3), None)]
    assert prepare(rows)[0].ids() == ["said"]
    kept, drops = prepare(rows, keep_empty_texts=True)
    assert kept.ids() == ["said", "nothing"]
    assert drops.sentence() == "dropped 1 (no text)"


# -- what is dropped


def test_every_reason_is_counted_with_examples(prepare, encoder: LabelEncoder, tmp_path: Path) -> None:
    rows = [
        Row("good", clip(1.0), "my card"),
        Row("gone.wav", tmp_path / "gone.wav", "my card"),
        Row("row-000002", None, "my card"),
        Row("null", clip(1.0), None),
        Row("blank", clip(1.0), " \n"),
        Row("long", clip(2.5), "my card"),
        Row("at the limit", clip(2.0), "my card"),
        Row("above the limit", clip(2.0 + 1 / RATE_HZ), "my card"),
        Row("wordy", clip(1.0), "card " * 30),
    ]
    kept, drops = prepare(rows, max_label_tokens=20)
    assert [utterance.utterance_id for utterance in kept] == ["good", "at the limit"]
    wordy = len(encoder.encode(("card " * 30).strip()).token_ids)
    assert drops.summary() == {
        "undecodable audio": {
            "count": 2,
            "examples": [["gone.wav", "the file does not exist"], ["row-000002", "the row holds no audio"]],
        },
        "no text": {"count": 2, "examples": [["null", "null"], ["blank", "empty"]]},
        "longer than 2 s": {"count": 2, "examples": [["long", "2.500 s"], ["above the limit", "2.000 s"]]},
        "label longer than 20 tokens": {"count": 1, "examples": [["wordy", f"{wordy} tokens"]]},
    }
    assert drops.sentence() == (
        "dropped 2 (undecodable audio), 2 (no text), 2 (longer than 2 s), 1 (label longer than 20 tokens)"
    )


def test_counts_of_two_splits_are_added_and_examples_are_few() -> None:
    drops, other = Drops(), Drops()
    drops.add("no text", 1_500, [(f"a{index}", "null") for index in range(30)])
    other.add("no text", 1, [("b", "empty")])
    other.add("undecodable audio", 1, [("c", "why")])
    other.add("longer than 30 s", 0, [])
    drops.merge(other)
    assert drops.sentence() == "dropped 1,501 (no text), 1 (undecodable audio)"
    assert drops.summary()["no text"]["count"] == 1_501
    assert drops.summary()["no text"]["examples"] == [[f"a{index}", "null"] for index in range(20)]


def test_a_share_of_bad_audio_is_let_pass_and_more_ends_the_run(prepare) -> None:
    rows = [Row(f"r{index}", b"no audio" if index in (3, 7) else clip(0.1), "x") for index in range(10)]
    kept, _ = prepare(rows, max_bad_fraction=0.2)  # exactly so many
    assert len(kept) == 8
    with refused("--data.max_bad_fraction", "2 of 10 recordings", "\n  r3: ", "\n  r7: ", value=0.19, remedy="raise"):
        prepare(rows, max_bad_fraction=0.19)


def test_of_many_bad_recordings_twenty_are_named(prepare) -> None:
    with pytest.raises(UserError) as caught:
        prepare([Row(f"row-{index:06d}", None, "x") for index in range(25)], max_bad_fraction=0.5)
    lines = str(caught.value).splitlines()
    assert (len(lines), lines[-1]) == (1 + 20 + 1, "  and 5 more")


def test_when_nothing_is_left_the_reasons_are_given(prepare) -> None:
    with refused("--data.name_or_path", "no utterance is left after the filters (dropped 1 (no text))"):
        prepare([Row("a", clip(0.1), "")])


def test_a_label_may_fill_the_decoder_and_a_longer_one_is_dropped_or_cut(prepare, encoder: LabelEncoder) -> None:
    row = Row("a", clip(0.1), "my card please")
    length = len(encoder.encode("my card please").token_ids)
    assert len(prepare([row], max_label_tokens=length)[0]) == 1
    with refused("--data.name_or_path", f"label longer than {length - 1} tokens"):
        prepare([row], max_label_tokens=length - 1)
    kept, drops = prepare([row], max_label_tokens=length - 1, long_labels="cut")
    assert [utterance.text for utterance in kept] == ["my card please"]  # the label is cut, not what is scored
    assert drops.sentence() == "dropped none"


# -- languages and tasks of rows


def test_a_language_that_the_model_does_not_know_is_refused_with_a_count(prepare) -> None:
    rows = [
        Row(f"r{index}", clip(0.1), "x", language=language)
        for index, language in enumerate(("en", "German", "klingon", "klingon", None, "de-AT"))
    ]
    remedy = "set data.language_column to null"
    with refused("--data.language_column", "2 of 6 rows", "('klingon')", "it knows: af, ", remedy=remedy):
        prepare(rows)


def test_a_task_that_there_is_not_is_refused_with_a_language_at_once(prepare) -> None:
    rows = [Row("a", clip(0.1), "x", language="xx"), Row("b", clip(0.1), "x", task="sing")]
    with pytest.raises(UserError) as caught:
        prepare(rows)
    assert [error.setting for error in caught.value.errors] == ["--data.language_column", "--data.task_column"]
    assert "1 of 2 rows have a task other than transcribe and translate ('sing')" in str(caught.value)


def test_rows_in_a_language_that_another_stands_in_for_are_kept_under_their_own(
    encoder: LabelEncoder, tmp_path: Path
) -> None:
    rows = [Row("a", clip(0.1), "x", language="ckb-IQ"), Row("b", clip(0.1), "y", language="deu")]
    part = part_of(rows, tmp_path)
    settings = DataConfig(max_bad_fraction=1.0)
    with refused("--data.language_column", "1 of 2 rows", "'ckb-IQ'", "model.language_stand_ins: {ckb: fa}"):
        prepare_utterances(part, settings, encoder=encoder, window_s=2.0)
    standing = LabelEncoder(encoder.tokenizer, stand_ins={"ckb": "fa"})
    kept, _ = prepare_utterances(part, settings, encoder=standing, window_s=2.0)
    assert [utterance.language for utterance in kept] == ["ckb", "de"]  # by which scores are told
    assert standing.prefix("ckb") == encoder.prefix("fa")


def test_language_task_and_prompt_reach_the_utterance_and_a_source_fills_in(prepare, tmp_path: Path) -> None:
    rows = [Row("a", clip(0.1), "x", language="German", task="translate", prompt="before"), Row("b", clip(0.1), "y")]

    def said(utterances: Sequence[Utterance]) -> list[tuple[str | None, ...]]:
        return [(row.utterance_id, row.language, row.task, row.prompt, row.source) for row in utterances]

    assert said(prepare(rows)[0]) == [("a", "de", "translate", "before", None), ("b", None, None, None, None)]
    filled_in = utterances_of(rows, tmp_path, name="calls", language="fr", task="transcribe")
    assert said(filled_in) == [
        ("calls/a", "de", "translate", "before", "calls"),
        ("calls/b", "fr", "transcribe", None, "calls"),
    ]


# -- control tokens and times that stand in texts

WRITTEN = [
    Row("times", clip(1.0), "<|0.00|> five<|0.50|><|0.50|> six<|0.98|>"),
    Row("control", clip(1.0), "five<|endoftext|>"),
    Row("before", clip(1.0), "five", prompt="<|startoftranscript|> four"),
    Row("late", clip(1.0), "<|0.00|> five<|1.50|>"),
    Row("plain", clip(1.0), "five", prompt="<|0.00|> four<|0.50|>"),
]


def test_rows_with_control_tokens_in_their_texts_are_left_out_and_named(prepare) -> None:
    kept, drops = prepare([*WRITTEN[:4], Row("plain", clip(1.0), "five", prompt="four")])
    assert kept.ids() == ["plain"]
    assert drops.examples == {
        CONTROL_TOKENS: [("control", "<|endoftext|>")],
        CONTROL_TOKENS_BEFORE: [("before", "<|startoftranscript|>")],
        TIMES: [("times", "<|0.00|>"), ("late", "<|0.00|>")],
    }
    with refused("--data.name_or_path", "no utterance is left", "data.text.written_times"):
        prepare([WRITTEN[0]])


def test_times_that_are_read_are_no_part_of_the_text(encoder: LabelEncoder, tmp_path: Path) -> None:
    part = part_of(WRITTEN, tmp_path, text=TextProcessing(written_times="read"))
    kept, drops = prepare_utterances(part, DataConfig(max_bad_fraction=1.0), encoder=encoder, window_s=2.0)
    assert [(utterance.utterance_id, utterance.text, utterance.prompt) for utterance in kept] == [
        ("times", "five six", None),
        ("plain", "five", " four"),
    ]
    assert [utterance.timed for utterance in kept] == [
        (TimedWords("five", 0.0, 0.5), TimedWords(" six", 0.5, 0.98)),
        (),
    ]
    assert drops.examples[WRONG_TIMES] == [("late", "<|1.50|> in a recording of 1.00 s")]
    # counted with its times, or a label could be longer than was thought
    label = encoder.encode("", timed=kept[0].timed)
    assert label_lengths(part, encoder)[0] == len(label.token_ids) > len(encoder.encode("five six").token_ids)


# -- what the lengths of labels are kept for


def test_label_lengths_are_counted_once_and_anew_for_another_text_processing(
    encoder: LabelEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = part_of([Row("a", clip(0.1), "my, card"), Row("b", clip(0.1), " ...")], tmp_path)
    plain = label_lengths(part, encoder).tolist()
    assert plain == [len(encoder.encode(text).token_ids) for text in ("my, card", "...")]
    monkeypatch.setattr(encoder, "lengths", lambda texts: pytest.fail("counted again"))
    assert label_lengths(part, encoder).tolist() == plain
    monkeypatch.undo()
    bare = dataclasses.replace(part, text=TextProcessing(remove_punctuation=True))
    assert label_lengths(bare, encoder).tolist() == [len(encoder.encode("my card").token_ids), 0]


@pytest.mark.parametrize("content", [b"", b"junk", b"short", b"zeros", b"one bit"])
def test_kept_label_lengths_that_are_torn_are_counted_again(
    encoder: LabelEncoder, tmp_path: Path, content: bytes
) -> None:
    part = part_of([Row("a", clip(0.1), "my card"), Row("b", clip(0.1), "x")], tmp_path)
    expected = label_lengths(part, encoder).tolist()
    (kept,) = part.index.folder.glob("label-lengths-*")
    whole = kept.read_bytes()
    other = whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:]  # in the last number; then comes the checksum
    changed = {b"short": whole[:-8], b"zeros": bytes(len(whole)), b"one bit": other}
    kept.write_bytes(changed.get(content, content))
    assert label_lengths(part, encoder).tolist() == expected


def test_label_lengths_that_can_not_be_kept_are_explained(
    encoder: LabelEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = part_of([Row("a", clip(0.1), "my card")], tmp_path)

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(np, "save", refuse)
    with refused("--data.cache_dir", "no space is left", remedy="make room"):
        label_lengths(part, encoder)


# -- hours and fingerprint


def numbered(folder: Path, *, count: int = 3, change: dict[str, object] | None = None, **options) -> Utterances:
    """Utterances `u0`, `u1`, ... of a manifest of their own; `change` is what the second one is instead."""
    rows = [Row(f"u{number}", clip(0.1 * (number + 1)), f"text {number}") for number in range(count)]
    rows[1] = dataclasses.replace(rows[1], **change or {})
    return utterances_of(rows, folder, **options)


def test_hours(tmp_path: Path) -> None:
    assert hours(numbered(tmp_path)) == pytest.approx(0.6 / 3600)


OTHER_SOUND = wav_bytes(np.zeros(3200), sampling_rate_hz=RATE_HZ)  # as long as what it replaces
ROW_CHANGES = [
    {"text": "other"},
    {"utterance_id": "x"},
    {"audio": OTHER_SOUND},
    {"language": "de"},
    {"task": "translate"},
    {"prompt": "before"},
]
READING_CHANGES = [
    {"text": TextProcessing(lowercase=True)},
    {"language": "de"},
    {"task": "translate"},
    {"channel": 0},
    {"name": "a"},
]


def test_the_fingerprint_sees_rows_and_how_they_are_read(tmp_path: Path) -> None:
    assert len(OTHER_SOUND) == len(clip(0.2))
    expected = fingerprint(numbered(tmp_path / "plain"))
    assert fingerprint(numbered(tmp_path / "again")) == expected
    changed = [numbered(tmp_path / f"row-{at}", change=change) for at, change in enumerate(ROW_CHANGES)]
    changed += [numbered(tmp_path / f"read-{at}", **change) for at, change in enumerate(READING_CHANGES)]
    assert expected not in [fingerprint(utterances) for utterances in changed]


def test_the_fingerprint_sees_the_size_of_a_file_and_where_it_is_cut(tmp_path: Path) -> None:
    def of_file(duration_s: float, end_s: float) -> int:
        (tmp_path / "a.wav").write_bytes(clip(duration_s))
        row = Row(f"a.wav[0.000-{end_s:.3f}]", tmp_path / "a.wav", "x", 0.0, end_s)
        return fingerprint(utterances_of([row], tmp_path))

    assert len({of_file(0.5, 0.2), of_file(0.6, 0.2), of_file(0.5, 0.3)}) == 3
    assert of_file(0.5, 0.2) == of_file(0.5, 0.2)


def test_the_fingerprint_sees_the_order_and_the_choice(tmp_path: Path) -> None:
    data = numbered(tmp_path)
    chosen = [[0, 1, 2], [2, 1, 0], [0, 1], [0, 1, 1]]
    assert len({fingerprint(data.select(np.array(rows))) for rows in chosen}) == 4
