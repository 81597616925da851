"""`data.join_segments`: neighbours become rows of their own index, with times, that everything takes as any rows."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from accel_asr.config.command_line import parse_config
from accel_asr.config.settings import DataConfig
from accel_asr.data.joined_segments import joined_segments
from accel_asr.data.labels import LabelEncoder
from accel_asr.data.reading.rows import Row
from accel_asr.data.selection.preparation import fingerprint
from accel_asr.data.splits import load_train_and_validation
from accel_asr.data.text_processing import TextProcessing
from accel_asr.model.written_tokens import TimedWords
from tests.refusals import refused
from tests.unit.data.local_sources import RATE_HZ, utterances_of

SPANS_S = [(0.1, 0.6), (0.7, 1.3), (1.5, 2.4), (2.5, 3.0), (9.0, 9.5)]
TEXTS = ["Pay my bill.", "Now!", "Where is it?", "Ask.", "Far away."]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "talk.wav"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 10 * RATE_HZ), RATE_HZ, subtype="PCM_16")
    return path


def rows_of(recording: Path, **more) -> list[Row]:
    return [
        Row(f"talk.wav[{start_s:.3f}-{end_s:.3f}]", recording, text, start_s, end_s, **more)
        for (start_s, end_s), text in zip(SPANS_S, TEXTS, strict=True)
    ]


def test_neighbours_are_one_row_with_their_times_and_one_stretch_of_sound(recording: Path, encoder, tmp_path) -> None:
    # a replacement that would take a time apart, had it been written before
    text = TextProcessing(lowercase=True, replacements={".": ""})
    utterances = utterances_of(rows_of(recording), tmp_path, text=text)
    joined, notice = joined_segments(utterances, encoder=encoder, window_s=2.0, longest_pause_s=1.0)
    assert [utterance.text for utterance in joined] == ["pay my bill now!", "where is it? ask", "far away"]
    assert joined[0].timed == (TimedWords("pay my bill", 0.0, 0.5), TimedWords(" now!", 0.6, 1.2))
    assert joined[2].timed == ()
    whole, _ = soundfile.read(recording, dtype="int16")
    assert np.array_equal(joined[1].samples(), whole[round(1.5 * RATE_HZ) : round(3.0 * RATE_HZ)])
    assert np.array_equal(joined[2].samples(), utterances[4].samples())
    assert joined.durations_s().tolist() == pytest.approx([1.2, 1.5, 0.5])
    assert joined.ids() == [
        "talk.wav[0.100-0.600] and 1 more",
        "talk.wav[1.500-2.400] and 1 more",
        "talk.wav[9.000-9.500]",
    ]
    assert "5 rows to 3" in notice


def test_joined_rows_are_the_same_each_time_and_others_with_other_limits(recording, encoder, tmp_path) -> None:
    utterances = utterances_of(rows_of(recording), tmp_path)
    limits = [(2.0, 1.0), (2.0, 1.0), (1.0, 1.0), (2.0, 0.1)]
    joined = [joined_segments(utterances, encoder=encoder, window_s=w, longest_pause_s=p)[0] for w, p in limits]
    assert joined[0].parts[0].index.folder == joined[1].parts[0].index.folder
    assert len({fingerprint(each) for each in joined}) == 3
    damaged = joined[0].parts[0].index.folder / "rows.arrow"
    damaged.write_bytes(damaged.read_bytes()[:-9] + b"somewhere")
    again, _ = joined_segments(utterances, encoder=encoder, window_s=2.0, longest_pause_s=1.0)
    assert fingerprint(again) == fingerprint(joined[1])
    assert again[0].text == "Pay my bill. Now!"


def test_times_in_the_texts_move_to_their_place(recording: Path, encoder, tmp_path: Path) -> None:
    rows = rows_of(recording)[:2]
    rows[1] = replace(rows[1], text="<|0.10|>Now<|0.20|><|0.30|> then!<|0.50|>")
    utterances = utterances_of(rows, tmp_path, text=TextProcessing(written_times="read"))
    [joined], _ = joined_segments(utterances, encoder=encoder, window_s=2.0, longest_pause_s=1.0)
    assert [(round(part.start_s, 3), round(part.end_s, 3)) for part in joined.timed] == [
        (0, 0.5),
        (0.7, 0.8),
        (0.9, 1.1),
    ]
    assert joined.text == "Pay my bill. Now then!"


def test_a_label_has_room_for_what_is_joined(recording: Path, encoder: LabelEncoder, tmp_path: Path) -> None:
    utterances = utterances_of(rows_of(recording), tmp_path)
    small = LabelEncoder(encoder.tokenizer, max_label_tokens=24)
    joined, _ = joined_segments(utterances, encoder=small, window_s=30.0, longest_pause_s=30.0)
    assert 2 <= len(joined) < len(TEXTS)
    assert all(len(small.encode(each.text, timed=each.timed).token_ids) <= 24 for each in joined)
    assert " ".join(each.text for each in joined) == " ".join(TEXTS)


@pytest.mark.parametrize("different", [{"group": "Anna"}, {"language": "de"}, {"task": "translate"}])
def test_what_a_row_has_once_is_equal_in_all_that_it_joins(recording, encoder, tmp_path, different) -> None:
    rows = rows_of(recording)
    rows[1] = replace(rows[1], **different)
    joined, _ = joined_segments(utterances_of(rows, tmp_path), encoder=encoder, window_s=2.0, longest_pause_s=1.0)
    assert [utterance.text for utterance in joined][:2] == ["Pay my bill.", "Now!"]


def test_both_sides_of_a_run_are_joined_and_drops_are_counted_before(recording, encoder, tmp_path) -> None:
    cells = [
        {"audio": "talk.wav", "start": start_s, "end": end_s, "text": text}
        for (start_s, end_s), text in zip(SPANS_S, [*TEXTS[:2], "", *TEXTS[3:]], strict=True)
    ]
    manifest = tmp_path / "rows.jsonl"
    manifest.write_text("".join(json.dumps(cell) + "\n" for cell in cells))
    data = DataConfig(name_or_path=str(manifest), eval_rows=1, join_segments=True)
    loaded = load_train_and_validation(data, encoder=encoder, sampling_rate_hz=RATE_HZ, window_s=2.0, seed=0)
    texts = sorted(utterance.text for utterance in [*loaded.train, *loaded.validation])
    assert texts == ["Ask.", "Far away.", "Pay my bill. Now!"]  # nothing is joined across the row without a text
    assert loaded.summary["dropped"]["no text"]["count"] == 1


@pytest.mark.parametrize(
    ("settings", "setting", "word"),
    [
        (["--training.pack", "recordings"], "--training.pack", "once for all epochs"),
        (["--data.reference_columns", "[other]"], "--data.reference_columns", "--data.join_segments"),
    ],
)
def test_what_does_not_go_together_is_refused(settings, setting: str, word: str) -> None:
    with refused(setting, word):
        parse_config(["--data.name_or_path", "x", "--data.eval_rows", "1", "--data.join_segments", "true", *settings])
