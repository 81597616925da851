"""Recordings joined from clips: of what, how long, and with which pauses."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from accel_asr.audio.decoding import to_float32
from accel_asr.data.selection import long_recordings
from accel_asr.data.selection.long_recordings import LongRecording, _rows_of_recordings, joined_recordings

RATE_HZ = 16_000


def rows(blocks: list[list[int]], lengths_s: Any, longer_than_s: float = 30.0) -> list[list[int]]:
    return [*_rows_of_recordings(blocks, np.asarray(lengths_s, dtype=float), longer_than_s=longer_than_s)]


def test_a_recording_ends_with_its_block() -> None:
    assert rows([[0, 2, 4], [1, 3]], [70.0] * 5) == [[0, 2, 4], [1, 3]]


def test_short_blocks_share_a_recording() -> None:
    assert rows([[0], [1], [2], [3], [4]], [50.0] * 5) == [[0, 1, 2], [3, 4]]


def test_a_long_block_is_cut_and_its_rest_comes_last() -> None:
    blocks = [[0, 1, 2, 3, 4, 5], [6, 7]]
    assert rows(blocks, [100.0] * 8) == [[0, 1, 2], [6, 7], [3, 4, 5]]


@pytest.mark.parametrize(("window_s", "count"), [(30.0, 1), (60.0, 0)])
def test_a_rest_is_kept_if_it_is_longer_than_the_window(window_s: float, count: int) -> None:
    assert len(rows([[0], [1]], [20.0, 25.0], window_s)) == count


def test_clips_lie_where_the_recording_says(utterances) -> None:
    (recording,) = joined_recordings(utterances, most=3, longer_than_s=2.0)
    samples = recording.samples()
    assert samples.dtype == np.float32
    assert len(samples) == pytest.approx(recording.duration_s * RATE_HZ, abs=2)
    assert recording.text == " ".join(utterance.text for utterance in utterances)
    assert [part.text for part in recording.timed] == [utterance.text for utterance in utterances]
    for part, utterance in zip(recording.timed, utterances, strict=True):
        clip = to_float32(utterance.samples())
        first = round(part.start_s * RATE_HZ)
        assert np.array_equal(samples[first : first + len(clip)], clip)
        assert part.end_s - part.start_s == pytest.approx(utterance.duration_s)
        assert not samples[first + len(clip) : first + len(clip) + int(0.29 * RATE_HZ)].any()


def test_pauses_are_of_the_data_alone(utterances) -> None:
    recordings = [joined_recordings(utterances, most=1, longer_than_s=2.0)[0] for _ in range(2)]
    assert recordings[0].starts_s == recordings[1].starts_s
    ends_s = [part.end_s for part in recordings[0].timed]
    pauses_s = [start_s - end_s for start_s, end_s in zip(recordings[0].starts_s[1:], ends_s, strict=False)]
    assert 0.3 <= min(pauses_s) < max(pauses_s) <= 1.0


def test_languages_are_not_mixed(utterances, monkeypatch) -> None:
    monkeypatch.setattr(long_recordings, "SHORTEST_S", 3.0)

    class TwoLanguages(type(utterances)):  # type: ignore[misc]
        def __iter__(self):
            for row, utterance in enumerate(super().__iter__()):
                yield type(utterance)(
                    utterance.utterance_id, utterance.text, utterance.duration_s, utterance.recording,
                    language="da" if row % 2 else "en",
                )  # fmt: skip

        def __getitem__(self, index):
            part = super().__getitem__(index)
            return TwoLanguages(part.parts, part.part_of, part.row_of) if isinstance(index, slice) else part

    mixed = TwoLanguages(utterances.parts, utterances.part_of, utterances.row_of)
    of_all = set(utterances.ids()[::2]), set(utterances.ids()[1::2])
    recordings = joined_recordings(mixed, most=99, longer_than_s=2.0)
    assert len(recordings) > 1
    assert all(any({*recording.utterances.ids()} <= ids for ids in of_all) for recording in recordings)
    assert set(Counter(name for recording in recordings for name in recording.utterances.ids()).values()) == {1}


def test_at_most_so_many(utterances, monkeypatch) -> None:
    monkeypatch.setattr(long_recordings, "SHORTEST_S", 3.0)
    assert len(joined_recordings(utterances, most=99, longer_than_s=2.0)) > 2
    assert len(joined_recordings(utterances, most=2, longer_than_s=2.0)) == 2


def test_a_whole_recording_is_one_utterance_without_known_times(utterances) -> None:
    recordings = LongRecording.whole(utterances)
    assert [recording.recording_id for recording in recordings] == utterances.ids()
    first = recordings[0]
    assert (first.text, first.timed, first.duration_s) == (utterances[0].text, [], utterances[0].duration_s)
    assert np.array_equal(first.samples(), to_float32(utterances[0].samples()))
