"""Columns of times under the names that people give them: a row is cut there, or refused."""

import datetime
import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from accel_asr.data.indexing.index import Index
from accel_asr.data.indexing.index_building import open_index
from accel_asr.data.reading.sources import SourceName
from accel_asr.data.reading.time_cells import length_fault, seconds
from accel_asr.data.reading.time_columns import TimeSettings, time_column
from accel_asr.data.streaming.shards import TarShards
from accel_asr.files.cache_folder import default_cache_dir
from tests.tiny_datasets import wav_bytes
from tests.unit.data.local_sources import load, refused
from tests.unit.data.shard_server import write_tar

RATE_HZ = 16_000
TIMES = "--data.start_column, --data.end_column, --data.duration_column"


@pytest.fixture
def rows(tmp_path: Path):
    """Write rows as JSON lines, each of talk.wav and with a text unless it says otherwise; return their path."""

    def write(*records: dict[str, Any], audio: str | None = "audio") -> Path:
        path = tmp_path / "clips.jsonl"
        usual = {"text": "one", **({audio: "talk.wav"} if audio else {})}
        path.write_text("".join(json.dumps(usual | record) + "\n" for record in records), encoding="utf-8")
        return path

    return write


def spans(path: Path, **options: Any) -> list[tuple[float | None, float | None]]:
    return [(row.start_s, row.end_s) for row in load(path, **options).rows]


# -- names and units


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({"start": 1.5, "end": 2.5}, (1.5, 2.5)),
        ({"start_time": 1.5, "end_time": 2.5}, (1.5, 2.5)),
        ({"begin_time": 1.5, "end_time": 2.5}, (1.5, 2.5)),
        ({"begin": 1.5, "end": 2.5}, (1.5, 2.5)),
        ({"start_s": 1.5, "end_s": 2.5}, (1.5, 2.5)),
        ({"segment_start": 1.5, "segment_end": 2.5}, (1.5, 2.5)),
        ({"startTime": 1.5, "endTime": 2.5}, (1.5, 2.5)),
        ({"Start": 1.5, "Stop": 2.5}, (1.5, 2.5)),
        ({"Start (s)": 1.5, "End (s)": 2.5}, (1.5, 2.5)),
        ({"starttime": "1.5", "endtime": "2.5"}, (1.5, 2.5)),
        ({"t_start": 1.5, "t_end": 2.5}, (1.5, 2.5)),
        ({"start_offset": 1.5, "end_offset": 2.5}, (1.5, 2.5)),
        ({"onset": 1.5, "offset": 2.5}, (1.5, 2.5)),
        ({"xmin": 1.5, "xmax": 2.5}, (1.5, 2.5)),
        ({"from": 1.5, "to": 2.5}, (1.5, 2.5)),
        ({"offset": 1.5, "duration": 1.0}, (1.5, 2.5)),
        ({"start": 1.5, "duration": 1.0}, (1.5, 2.5)),
        ({"start": 1.5, "dur": 1.0}, (1.5, 2.5)),
        ({"start_time": 1.5, "duration_s": 1.0}, (1.5, 2.5)),
        ({"end": 2.5, "duration": 1.0}, (1.5, 2.5)),
        ({"start": 1.5, "end": 2.5, "duration": 1.0}, (1.5, 2.5)),
        ({"start": 1.5, "end": 2.5, "duration": 60.0}, (1.5, 2.5)),
        ({"start_ms": 1500, "end_ms": 2500}, (1.5, 2.5)),
        ({"startMs": 1500, "durationMs": 1000}, (1.5, 2.5)),
        ({"start": 1.5, "end": 2.5, "start_ms": 1500, "end_ms": 2500}, (1.5, 2.5)),
        ({"begin_time": "00:00:01.5", "end_time": "00:00:02.500"}, (1.5, 2.5)),
        ({"begin": "0:01,5", "end": "00:02,5"}, (1.5, 2.5)),
        ({"start": "1,5", "end": "2,5"}, (1.5, 2.5)),
        ({"start_sample": 24_000, "end_sample": 40_000, "sampling_rate": 16_000}, (1.5, 2.5)),
        ({"timestamp": [1.5, 2.5]}, (1.5, 2.5)),
        ({"segment": "1.5-2.5"}, (1.5, 2.5)),
        ({"time": "00:00:01.500 --> 00:00:02.500"}, (1.5, 2.5)),
        ({"segment": {"start": 1.5, "end": 2.5}}, (1.5, 2.5)),
        ({"audio": {"path": "talk.wav", "start_time": 1.5, "end_time": 2.5}}, (1.5, 2.5)),
        ({"audio": {"path": "talk.wav", "offset": 1.5, "duration": 1.0}}, (1.5, 2.5)),
        ({"audio": {"path": "talk.wav", "start_ms": 1500}, "end": 5}, None),
        ({"sample_start": 24_000, "sample_end": 40_000, "sr": 16_000}, (1.5, 2.5)),
        ({"ts": 1.5, "te": 2.5}, (1.5, 2.5)),
        ({"von": "1,5", "bis": "2,5"}, (1.5, 2.5)),
        ({"start_end": [1.5, 2.5]}, (1.5, 2.5)),
        ({"supervision": {"start": 1.5, "duration": 1.0}}, (1.5, 2.5)),
        ({"audio": {"path": "talk.wav", "segment": {"from": 1.5, "to": 2.5}}}, (1.5, 2.5)),
        ({"audio": {"path": "talk.wav", "segment": [1.5, 2.5]}}, (1.5, 2.5)),
        ({"start": 1.5, "end": -1}, (1.5, None)),
        ({"start": 1.5}, (1.5, None)),
        ({"end": 2.5}, (None, 2.5)),
    ],
)
def test_times_are_found_by_their_usual_names(rows, times: dict[str, Any], expected: Any) -> None:
    path = rows(times)
    if expected is None:
        refused(path, TIMES, "are not in one unit")
        return
    assert spans(path) == [pytest.approx(expected)]
    assert "segments of the recordings, in 1 of 1 rows" in load(path).notices[-1]


@pytest.mark.parametrize("audio", ["audio_filepath", "file", "path", "file_name"])
def test_it_does_not_matter_what_the_audio_is_called(rows, audio: str) -> None:
    assert spans(rows({"offset": 1.5, "duration": 1.0, "sentence": "one"}, audio=audio)) == [(1.5, 2.5)]


@pytest.mark.parametrize(
    "name",
    ["age_start", "start_date", "end_punctuation", "start_char", "token_end", "text_length", "length", "speaker",
     "send", "weekend", "num_frames", "timestamp", "segment", "index"]
)  # fmt: skip
def test_other_columns_are_left_alone(rows, name: str) -> None:
    assert spans(rows({name: 7})) == [(None, None)]


def test_of_a_recording_is_not_of_its_segment() -> None:
    long = time_column("audio_duration")
    assert long is not None
    assert long.of_recording
    assert time_column("segment_duration_ms") == time_column("segment_duration_ms")
    assert time_column("segment_duration_ms").unit == "ms"  # type: ignore[union-attr]


def test_a_structure_in_parquet_selects_its_segment(tmp_path: Path) -> None:
    audio = [{"path": "talk.wav", "bytes": None, "start_time": 0.5, "end_time": 1.25}, None]
    pq.write_table(pa.table({"audio": audio, "text": ["one", "two"]}), tmp_path / "a.parquet")
    assert spans(tmp_path / "a.parquet") == [(0.5, 1.25), (None, None)]
    audio = [{"bytes": b"RIFF", "start_time": float("nan"), "end_time": datetime.timedelta(seconds=1.25)}]
    pq.write_table(pa.table({"audio": audio, "text": ["one"]}), tmp_path / "b.parquet")
    assert spans(tmp_path / "b.parquet") == [(None, 1.25)]


# -- settings


def test_any_column_can_be_named(rows) -> None:
    path = rows({"von": 1.5, "bis": 2.5, "start": 9})
    assert spans(path, times=TimeSettings("von", "bis")) == [(1.5, 2.5)]
    assert spans(rows({"von": 1.5, "dauer": 1}), times=TimeSettings("von", duration="dauer")) == [(1.5, 2.5)]
    assert spans(rows({"audio": {"path": "a.wav", "von": 1}}), times=TimeSettings("audio.von")) == [(1, None)]
    refused(path, "--data.start_column", "'vom'", "the columns are: ", times=TimeSettings("vom", "bis"))


def test_null_looks_for_none(rows) -> None:
    path = rows({"start": "a", "end": "b", "duration": "c"})
    assert spans(path, times=TimeSettings(None, None, None)) == [(None, None)]
    refused(path, TIMES, "null")


# -- refused, not ignored


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ({"start": 1.5, "segment_start": 2.5}, "--data.start_column: 'start' and 'segment_start' both look like it"),
        ({"start": 1.5, "length": 20}, "--data.duration_column: 'length' beside 'start' may be"),
        ({"start": 1.5, "audio_duration": 20}, "--data.duration_column: 'audio_duration' beside 'start' may be"),
        ({"start_sample": 5, "end_sample": 9}, "count samples, and no column gives the sampling rate"),
        ({"start_frame": 5, "end_frame": 9}, "count frames"),
        ({"start": 5, "end_ms": 9000}, "'start' and 'end_ms' are not in one unit"),
        ({"start": 1.5, "end": 2.5, "duration": 0.2}, "line 1: start 1.5, end 2.5, duration 0.2"),
        ({"start_time": "2021-03-01T10:00:00"}, "line 1: start_time '2021-03-01T10:00:00'"),
        ({"start": 2, "end": 1}, "line 1: start 2, end 1"),
        ({"start": 1, "duration": 0}, "line 1: start 1, duration 0"),
        ({"start": "1,500", "end": 2}, "line 1: start '1,500'"),
        ({"timestamp": [2, 1]}, "line 1: timestamp.start 2, timestamp.end 1"),
        ({"duration": "short"}, "line 1: duration 'short'"),
        ({"audio": {"path": "a.wav", "start_time": -1}}, "line 1: audio.start_time -1"),
        ({"start_ms": 1.5, "end_ms": 2.5}, "line 1: start_ms 1.5, end_ms 2.5"),  # seconds, whatever the name says
        ({"start": 1.5, "end": 1.501}, "shorter than 0.02 s"),
    ],
)
def test_times_that_can_not_be_used_are_refused(rows, times: dict[str, Any], words: str) -> None:
    refused(rows(times), "", words)


@pytest.mark.parametrize(
    ("times", "remedy"),
    [
        ({"p": (0.5, 1.5), "q": (1.0, 2.25)}, "--data.start_column p --data.end_column q"),
        ({"word_group_begin": (0, 1), "word_group_end": (1, 2)}, None),  # of words
        ({"part_begin": (0, 1), "part_end": (1, 2)}, "--data.start_column part_begin --data.end_column part_end"),
        ({"start": (0.5, 1.5), "slut": (1.0, 2.25)}, "--data.end_column slut, or null"),
        ({"alku": (0.5, 1.5), "end": (1.0, 2.25)}, "--data.start_column alku, or null"),
        ({"start": (0.5, 1.5), "speaker": (7, 8)}, None),
        ({"p": (0.5, 3.5), "q": (1.0, 2.25)}, None),
        ({"p": (1, 2), "q": (7, 8)}, None),
        ({"snr": (0.5, 1.5), "mos": (1.0, 2.25)}, None),
    ],
)
def test_numbers_that_may_be_times_by_another_name_are_refused(rows, times: dict[str, Any], remedy: str | None) -> None:
    path = rows(*({name: cells[number] for name, cells in times.items()} for number in range(2)))
    if remedy is None:
        assert len(load(path).rows) == 2
        return
    refused(path, "", remedy)
    # the remedy works, and so does null
    named = dict(zip(("start", "end"), times, strict=True))
    assert spans(path, times=TimeSettings(**named)) == list(zip(*times.values(), strict=True))
    assert len(spans(path, times=TimeSettings(**dict.fromkeys(named)))) == 2


def test_decimal_commas_are_known_by_the_whole_table(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("audio;start;end;text\na.wav;0,000;1,183;x\na.wav;1,183;12;y\n", encoding="utf-8")
    assert spans(path) == [(0, 1.183), (1.183, 12)]
    path.write_text("audio;von;slut;text\na.wav;0,000;1,183;x\na.wav;1,183;2,5;y\n", encoding="utf-8")
    refused(path, "", "--data.start_column von --data.end_column slut")  # also for times by other names
    path.write_text("audio;start;end;text\na.wav;1,183;2,500;x\n", encoding="utf-8")
    refused(path, TIMES, "start '1,183'", "with a point before the decimals")  # a thousand, or one and a bit


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ({"start": 0.5, "end": 1.5}, (0.5, 1.5)),
        ({"timing": {"begin": 0.5, "end": 1.5}}, (0.5, 1.5)),
        ({"offset": 0.5, "duration": 1}, (0.5, 1.5)),
        ({"start": [0.5, 1], "end": [1, 1.5]}, (None, None)),  # of words
        ({"start": "noun", "end": "verb"}, (None, None)),
        ({"end": 1.5, "id": 7}, (None, None)),
    ],
)
def test_times_in_a_structure_under_any_name(rows, inside: dict[str, Any], expected: Any) -> None:
    assert spans(rows({"meta": inside})) == [expected]


def test_rows_are_named_by_their_lines_in_the_file_also_of_a_split(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("audio,text,split,start\na.wav,x,test,1\nb.wav,x,train,1\n\nc.wav,x,train,soon\n")
    refused(tmp_path / "a.csv", TIMES, "1 of 2 rows have an impossible segment (line 5: start 'soon')")


@pytest.mark.parametrize(
    ("cell", "expected"),
    [("62.5", 62.5), ("1:02.5", 62.5), ("00:01:02.5", 62.5), ("0 days 00:01:02.5", 62.5), ("62.5 s", 62.5), (" ", None),
     (float("nan"), None), (datetime.time(0, 1, 2, 500_000), 62.5), (0, 0.0)]
)  # fmt: skip
def test_seconds_as_they_are_written(cell: Any, expected: float | None) -> None:
    assert seconds(cell) == expected


# -- against the recordings


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """Ten seconds in which each second has a level of its own."""
    levels = np.repeat(np.arange(10) / 20 + 0.1, RATE_HZ).astype(np.float32)
    soundfile.write(tmp_path / "talk.wav", levels, RATE_HZ)
    return tmp_path


def indexed(path: Path, **options: Any) -> Index:
    return open_index(SourceName(str(path), **options), cache_dir=default_cache_dir(), sampling_rate_hz=RATE_HZ)[0]


def problems(index: Index) -> list[str | None]:
    return [problem for texts in index.texts("problem") for problem in texts]


def test_a_start_with_a_duration_ends_where_it_says(rows, talk: Path) -> None:
    assert indexed(rows({"start": 3, "duration": 2})).durations_s.tolist() == [2.0]
    nested = {"audio": {"path": "talk.wav", "start_time": 4, "end_time": 5.5}}
    assert indexed(rows(nested, {})).durations_s.tolist() == [1.5, 10.0]
    path = rows(nested, {"start": 3, "duration": 2})
    refused(path, "--data.start_column", "'start' and 'audio.start_time' both look like it")


def test_a_duration_alone_is_that_of_the_recording_or_the_row_is_refused(rows, talk: Path) -> None:
    cells = (10.0, 9.95, 10_000, 160_000, None, 2.0)  # seconds, rounded, milliseconds, samples, none; a part of it
    index = indexed(rows(*({"duration": cell} for cell in cells)))
    assert index.durations_s.tolist()[:5] == [10.0] * 5
    assert [problem is None for problem in problems(index)] == [True] * 5 + [False]
    assert "its duration should be 2.00 s, but the recording has 10.00 s" in str(problems(index)[5])
    ignored = indexed(rows({"duration": 2.0}), times=TimeSettings(duration=None))
    assert ignored.durations_s.tolist() == [10.0]


def test_a_segment_beyond_its_file_is_refused_by_row(rows, talk: Path) -> None:
    index = indexed(rows({"start": 8, "end": 12}, {"start": 11, "end": 12}, {"start": 1, "end": 2}))
    assert [problem is None for problem in problems(index)] == [False, False, True]
    assert str(problems(index)[0]).endswith("the segment ends at 12.00 s, but the recording at 10.00 s")
    assert "milliseconds" in str(problems(indexed(rows({"start": 1500, "end": 2500})))[0])


def test_recordings_that_were_cut_already_are_used_whole(rows, talk: Path) -> None:
    path = rows({"begin_time": 100, "end_time": 110}, {"begin_time": 0, "end_time": 10})
    index = indexed(path)
    assert index.durations_s.tolist() == [10.0, 10.0]
    assert not index.has_any("start_s")
    assert any("they were cut already" in notice for notice in index.facts["notices"])
    odd = [{"begin_time": 500.0, "end_time": 503.5}]
    index = indexed(rows(*[{"begin_time": 100, "end_time": 110}] * 60, *odd))  # among many, a few may be odd
    assert index.durations_s.tolist()[:60] == [10.0] * 60
    assert problems(index)[60] == "its segment has 3.50 s, and the recording 10.00 s"
    index = indexed(rows({"begin_time": 100, "end_time": 110}, {"begin_time": 0, "end_time": 2}))
    assert [problem is None for problem in problems(index)] == [False, True]


def test_a_stated_length_is_compared_in_the_units_that_tables_use() -> None:
    assert length_fault(None, 3.0, sampling_rate_hz=RATE_HZ) is None
    assert length_fault(2.95, 3.0, sampling_rate_hz=RATE_HZ) is None
    assert length_fault(3, 3.4, sampling_rate_hz=RATE_HZ) is None  # whole seconds
    assert length_fault(3.5, 3.0, sampling_rate_hz=RATE_HZ) is not None
    assert length_fault(48_000, 3.0, sampling_rate_hz=RATE_HZ) is None
    assert length_fault(48_000, 3.0, sampling_rate_hz=None) is not None


# -- other sources


def test_a_saved_dataset_is_cut_by_its_columns_and_by_its_structure(tmp_path: Path) -> None:
    def saved(name: str, **columns: Any) -> Path:
        datasets.Dataset.from_dict({"text": ["one", "two"]} | columns).save_to_disk(str(tmp_path / name))
        return tmp_path / name

    assert spans(saved("a", audio=["a.wav", "b.wav"], begin_time=[1.5, None], end_time=[2.5, 3.0])) == [
        (1.5, 2.5),
        (None, 3.0),
    ]
    inside = [
        {"bytes": b"RIFF", "start_time": 1.5, "end_time": 2.5},
        {"bytes": b"RIFF", "start_time": 0.0, "end_time": 1.0},
    ]
    assert spans(saved("b", audio=inside)) == [(1.5, 2.5), (0, 1)]
    paths = [{"path": "a.wav", "offset": 1.5, "duration": 1.0}] * 2
    assert spans(saved("c", audio=paths)) == [(1.5, 2.5)] * 2
    refused(saved("d", audio=["a"] * 2, start=["x"] * 2), TIMES, "2 of 2 rows have an impossible segment")


def test_the_json_of_tar_shards_cuts_its_member(tmp_path: Path) -> None:
    wav = wav_bytes(np.arange(RATE_HZ, dtype=np.float32) / RATE_HZ, sampling_rate_hz=RATE_HZ)
    fields = [{"start": 0.25, "duration": 0.5}, {"duration": 1.0}, {"duration": 0.3}, {}]
    members: dict[str, Any] = {}
    write_tar(tmp_path / "b.tar", {"0.wav": wav, "0.json": {"transcription": "y"}})
    other = load(tmp_path / "b.tar")  # its column of texts is there, and empty
    assert [row.text for row in other.rows] == ["y"]
    assert "the column 'text' is empty; took 'transcription'" in other.notices
    for number, more in enumerate(fields):
        members |= {f"{number}.wav": wav, f"{number}.json": {"text": "x", **more}}
    write_tar(tmp_path / "a.tar", members)
    index = indexed(tmp_path / "a.tar")
    assert index.durations_s.tolist()[:2] == [0.5, 1.0]
    assert "its duration should be 0.30 s, but the recording has 1.00 s" in str(problems(index)[2])
    rows = [row for row, _ in TarShards(SourceName(str(tmp_path / "a.tar"))).rows(0)]
    assert [(row.start_s, row.end_s, row.stated_s) for row in rows] == [
        (0.25, 0.75, None), (None, None, 1.0), (None, None, 0.3), (None, None, None)
    ]  # fmt: skip
