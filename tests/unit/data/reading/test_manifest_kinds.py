"""Manifests of other programs: NeMo's and Common Voice's names, segments, paths that lead elsewhere."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from accel_asr.audio.decoding import decode
from accel_asr.config.command_line import parse_config
from accel_asr.data.reading.sources import Row, Source, read_source
from accel_asr.data.selection.run_sources import resolved_sources, source_name
from tests.unit.data.local_sources import load, refused


@pytest.fixture
def lines(tmp_path: Path):
    """Write JSON lines, and return their path."""

    def write(*records: dict[str, Any], name: str = "clips.jsonl") -> Path:
        path = tmp_path / "lists" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
        return path

    return write


TIMES = "--data.start_column, --data.end_column, --data.duration_column"


def spans(source: Source) -> list[tuple[float | None, float | None]]:
    return [(row.start_s, row.end_s) for row in source.rows]


# -- names that others use


@pytest.mark.parametrize("name", ["train_manifest.json", "train.jsonl"])
def test_a_nemo_manifest_needs_no_settings(lines, name: str) -> None:
    path = lines({"audio_filepath": "a.wav", "text": "one", "duration": 1.2}, name=name)
    source = load(path)
    assert source.rows == [Row("a.wav", path.parent / "a.wav", "one", stated_s=1.2)]
    assert source.notices == ["there is no column 'audio'; took 'audio_filepath', as in a NeMo manifest"]


def test_json_may_also_be_one_array(tmp_path: Path) -> None:
    (tmp_path / "clips.json").write_text('\n [{"audio": "a.wav", "text": "one"}]')
    assert [row.text for row in load(tmp_path / "clips.json").rows] == ["one"]
    (tmp_path / "clips.json").write_text("[" * 100_000)
    refused(tmp_path / "clips.json", "--data.name_or_path", "can't be read")


COMMON_VOICE = (
    "client_id\tpath\tsentence_id\tsentence\tup_votes\n"
    'f00\tcommon_voice_1.mp3\ts1\t"Hello," he said.\t2\n'
    'f00\tcommon_voice_2.mp3\ts2\tShe said "no\t3\n'
)


def test_common_voice_as_it_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text(COMMON_VOICE)
    (tmp_path / "clips").mkdir()
    source = load(tmp_path / "train.tsv")
    assert source.rows == [
        Row("common_voice_1.mp3", tmp_path / "clips" / "common_voice_1.mp3", '"Hello," he said.', speaker="f00"),
        Row("common_voice_2.mp3", tmp_path / "clips" / "common_voice_2.mp3", 'She said "no', speaker="f00"),
    ]
    assert source.notices == ["there is no column 'audio' or 'text'; took 'path' and 'sentence', as in Common Voice"]


def test_one_name_may_be_configured_and_the_other_usual(lines) -> None:
    source = load(lines({"audio": "a.wav", "path": "b.wav", "sentence": "one"}))
    assert [(row.utterance_id, row.text) for row in source.rows] == [("a.wav", "one")]
    assert source.notices == ["there is no column 'text'; took 'sentence', as in Common Voice"]


def test_common_voice_with_its_clips_beside_the_table(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text(COMMON_VOICE)
    (tmp_path / "clips").mkdir()
    (tmp_path / "common_voice_1.mp3").write_bytes(b"")
    assert load(tmp_path / "train.tsv").rows[0].audio == tmp_path / "common_voice_1.mp3"


def test_other_tables_with_tabs_may_quote(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text('path\tsentence\na.mp3\t"say ""no""\tnow"\n')
    assert load(tmp_path / "train.tsv").rows[0].text == 'say "no"\tnow'


def test_a_configured_column_goes_before_any_guess(lines) -> None:
    path = lines({"audio": "a.wav", "text": "one", "audio_filepath": "b.wav", "path": "c.wav", "sentence": "two"})
    source = load(path)
    assert [(row.audio, row.text) for row in source.rows] == [(path.parent / "a.wav", "one")]
    assert source.notices == []
    source = load(path, audio_column="path", text_column="sentence")
    assert [(row.utterance_id, row.text) for row in source.rows] == [("c.wav", "two")]
    assert source.notices == []


def test_a_column_that_was_asked_for_is_not_replaced(lines) -> None:
    path = lines({"path": "a.wav", "sentence": "one"})
    refused(path, "--data.text_column", "'sentense'", "the columns are: path, sentence", text_column="sentense")
    refused(path, "--data.text_column", "'sentense'", audio_column="path", text_column="sentense")
    refused(path, "--data.audio_column", "'pth'", audio_column="pth")
    refused(lines({"file_name": "a.wav", "text": "one"}), "--data.audio_column", "'pth'", audio_column="pth")


# -- segments


def test_segments_have_times_and_names_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "talk.csv").write_text(
        "audio,text,start,end\nt.wav,a,0,1.5\nt.wav,b,1.5,2.25\nt.wav,c,2.25,\nu.wav,d,,\n"
    )
    source = load(tmp_path / "talk.csv")
    assert spans(source) == [(0, 1.5), (1.5, 2.25), (2.25, None), (None, None)]
    assert [row.utterance_id for row in source.rows] == [
        "t.wav[0.000-1.500]",
        "t.wav[1.500-2.250]",
        "t.wav[2.250-]",
        "u.wav",
    ]
    assert source.notices == ["start and end select segments of the recordings, in 3 of 4 rows"]


def test_nemos_offset_and_duration_are_a_segment_and_duration_alone_is_not(lines) -> None:
    rows = [
        {"audio_filepath": "t.wav", "text": "a", "offset": 1.5, "duration": 2.0},
        {"audio_filepath": "t.wav", "text": "b", "offset": 4, "duration": None},
        {"audio_filepath": "u.wav", "text": "c", "duration": 2.0},
    ]
    assert spans(load(lines(*rows))) == [(1.5, 3.5), (4, None), (None, None)]
    assert spans(load(lines(rows[2]))) == [(None, None)]
    assert spans(load(lines(*rows), audio_column="audio_filepath")) == [(1.5, 3.5), (4, None), (None, None)]


def test_one_of_start_and_end_is_enough(lines) -> None:
    assert spans(load(lines({"audio": "t.wav", "text": "a", "end": 2}))) == [(None, 2)]
    assert spans(load(lines({"audio": "t.wav", "text": "a", "start": "1.25"}))) == [(1.25, None)]


@pytest.mark.parametrize(
    ("start", "end"),
    [("0:xx", 2), (-1, 2), (2, 2), (3, 2), ("nan", 2), (0, "inf"), (True, 2), ([1], 2), (None, 0), ({}, None), (0, -2)],
)
def test_an_impossible_time_is_reported_with_its_row(lines, start: Any, end: Any) -> None:
    good = {"audio": "t.wav", "text": "a", "start": 0, "end": 1}
    path = lines(good, {"audio": "t.wav", "text": "a", "start": start, "end": end})
    refused(path, TIMES, f"1 of 2 rows have an impossible segment (line 2: start {start!r}, end {end!r})")


def test_segments_belong_to_the_rows_of_their_split(lines) -> None:
    rows = [{"audio": "t.wav", "text": "a", "start": at, "end": at + 1, "split": split} for at, split in
            ((0, "test"), (1, "train"), (2, "test"), (3, "train"))]  # fmt: skip
    assert spans(load(lines(*rows))) == [(1, 2), (3, 4)]


# -- what can't be meant


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "audio,text,text\na.wav,one,two\n"),
        ("a.tsv", "audio\ttext\ttext\na.wav\tone\ttwo\n"),
        ("a.jsonl", '{"audio": "a.wav", "text": "one", "text": "two"}\n'),
        ("a.json", '[{"audio": "a.wav", "text": "one", "text": "two"}]'),
    ],
)
def test_several_columns_of_one_name_are_refused(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    refused(tmp_path / name, "--data.name_or_path", "several columns are called 'text'")
    pq.write_table(pa.table([["a.wav"], ["one"], ["two"]], names=["audio", "text", "text"]), tmp_path / "a.parquet")
    refused(tmp_path / "a.parquet", "--data.name_or_path", "several columns are called 'text'")


def test_nan_is_an_empty_cell(lines, tmp_path: Path) -> None:
    nan = float("nan")
    source = load(lines({"audio": "a.wav", "text": nan, "start": nan, "end": 2}))
    assert [(row.text, row.start_s, row.end_s) for row in source.rows] == [(None, None, 2)]
    pq.write_table(pa.table({"audio": ["a", "b"], "text": [nan, 1.5], "end": [nan, 2]}), tmp_path / "a.parquet")
    assert [(row.text, row.end_s) for row in load(tmp_path / "a.parquet").rows] == [(None, None), ("1.5", 2)]
    refused(lines({"audio": "a.wav", "text": "a", "start": None, "end": 1e999}), TIMES, "line 1: end inf")
    refused(lines({"audio": "a.wav", "text": "a", "start": 10**400 - 1}), TIMES, "line 1: start 999999")
    refused(lines({"audio": "a.wav", "text": "a", "end": 1e308}), TIMES)


@pytest.mark.parametrize("text", [["one"], {"de": "eins"}, [], [[["one"]]]])
def test_a_nested_text_is_not_trained_on_as_python_writes_it(lines, text: Any) -> None:
    path = lines({"audio": "a.wav", "text": "one"}, {"audio": "b.wav", "text": text})
    refused(path, "--data.text_column", f"1 of 2 cells are not text (line 2: {text!r})")


def test_half_of_a_character_is_named_with_its_row(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(r'{"audio": "a\ud8e9.wav", "text": "\ud83d"}' "\n")
    for setting, cell in (("--data.audio_column", r"'a\ud8e9.wav'"), ("--data.text_column", r"'\ud83d'")):
        refused(tmp_path / "a.jsonl", setting, "1 of 1 cells hold half of a character", f"(line 1: {cell})")
    (tmp_path / "a.jsonl").write_text(r'{"audio": "a.wav", "text": "\ud83d\ude00 \u00e9"}' "\n")
    assert load(tmp_path / "a.jsonl").rows[0].text == "\U0001f600 é"


@pytest.mark.parametrize("depth", [65, 300, 900, 5_000, 200_000])
@pytest.mark.parametrize("column", ["audio", "start", "split", "other"])
def test_deep_nesting_is_refused_before_anything_looks_into_it(tmp_path: Path, depth: int, column: str) -> None:
    cell = "[" * depth + "]" * depth
    (tmp_path / "a.jsonl").write_text('{"audio": "a", "text": "a", "' + column + '": ' + cell + "}\n")
    refused(tmp_path / "a.jsonl", "--data.name_or_path", "line 1 is not JSON (")
    (tmp_path / "a.jsonl").write_text('{"audio": "a", "text": "a", "other": [' + "[]," * 500 + "[]]}\n")
    assert len(load(tmp_path / "a.jsonl").rows) == 1


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_utf_16_without_its_mark_is_known_by_its_zeros(tmp_path: Path, suffix: str) -> None:
    text = "audio,text\na.wav,one\n".replace(",", "," if suffix == ".csv" else "\t")
    (tmp_path / f"a{suffix}").write_bytes(text.encode("utf-16-le"))
    refused(tmp_path / f"a{suffix}", "--data.name_or_path", "line 1 holds a zero byte", "UTF-8")


def test_the_folders_of_a_parquet_file_add_no_columns(tmp_path: Path) -> None:
    (tmp_path / "split=test").mkdir()
    path = tmp_path / "split=test" / "clips.parquet"
    pq.write_table(pa.table({"audio": ["a.wav"], "text": ["one"]}), path)
    assert [row.text for row in load(path).rows] == ["one"]


@pytest.mark.parametrize("place", [4, 100, -200, -20, -8])
def test_a_damaged_parquet_file_is_named(tmp_path: Path, place: int) -> None:
    path = tmp_path / "clips.parquet"
    pq.write_table(pa.table({"audio": ["a.wav"] * 50, "text": ["one"] * 50}), path)
    content = bytearray(path.read_bytes())
    content[place : place + 8 or None] = b"\xff" * 8
    path.write_bytes(content)
    refused(path, "--data.name_or_path", repr(str(path)), "can't be read")


# -- groups


def test_a_row_carries_its_group(lines) -> None:
    rows = [{"audio": f"{who}.wav", "text": "a", "speaker": who} for who in ("ada", 7, None, " ")]
    assert [row.group for row in load(lines(*rows), group_column="speaker").rows] == ["ada", "7", None, None]
    assert [row.group for row in load(lines(*rows)).rows] == [None] * 4
    refused(lines(*rows), "--data.group_column", "'voice'", group_column="voice")


# -- paths


def outside(folder: Path) -> dict[str, str]:
    """Ways out of the folder of a manifest, by what they are called."""
    (folder / "lists").mkdir(exist_ok=True)
    (folder / "secret.wav").write_bytes(b"")
    (folder / "lists-too").mkdir()
    (folder / "lists" / "link.wav").symlink_to(folder / "secret.wav")
    (folder / "lists" / "linked").symlink_to(folder)
    return {
        "parent": "../secret.wav",
        "deep parent": "sub/../../secret.wav",
        "absolute": str(folder / "secret.wav"),
        "a name that begins alike": "../lists-too/a.wav",
        "link": "link.wav",
        "below a link": "linked/secret.wav",
        "parent of a link": "linked/../x.wav",
        "the folder above": "..",
    }


@pytest.mark.parametrize(
    "way",
    ["parent", "deep parent", "absolute", "a name that begins alike", "link", "below a link", "parent of a link",
     "the folder above"]
)  # fmt: skip
def test_a_path_out_of_the_folder_is_refused_unless_allowed(lines, tmp_path: Path, way: str) -> None:
    name = outside(tmp_path)[way]
    path = lines({"audio": "a.wav", "text": "a"}, {"audio": name, "text": "a"})
    words = (f"1 file ({name!r}) outside of {str(path.parent)!r}", "--data.allow_outside_paths true")
    refused(path, "--data.allow_outside_paths", *words)
    assert load(path, allow_outside_paths=True).rows[1].audio == path.parent / name


@pytest.mark.parametrize("name", ["a.wav", "sub/../a.wav", "./a.wav", "..a.wav", "...", "inside.wav", "a\0.wav"])
def test_a_path_within_the_folder_is_not(lines, tmp_path: Path, name: str) -> None:
    path = lines({"audio": name, "text": "a"}, {"audio": str(tmp_path / "lists" / "a.wav"), "text": "a"})
    (tmp_path / "lists" / "inside.wav").symlink_to("a.wav")
    assert len(load(path).rows) == 2


def test_the_folder_itself_may_be_reached_by_a_link(lines, tmp_path: Path) -> None:
    lines({"audio": "a.wav", "text": "a"}, name="metadata.jsonl")
    (tmp_path / "linked").symlink_to(tmp_path / "lists")
    assert len(load(tmp_path / "linked").rows) == 1


def test_of_many_paths_outside_the_first_are_named(lines) -> None:
    path = lines(*({"audio": f"../{number}.wav", "text": "a"} for number in range(1_500)))
    files = "1,500 files ('../0.wav', '../1.wav', '../2.wav', '../3.wav', '../4.wav' and 1,495 more)"
    refused(path, "--data.allow_outside_paths", files)


@pytest.mark.parametrize("url", ["https://example.org/a.wav", "s3://bucket/a.wav", "file:///etc/passwd"])
@pytest.mark.parametrize("allowed", [False, True])
def test_nothing_is_fetched_from_an_address(lines, url: str, allowed: bool) -> None:
    path = lines({"audio": url, "text": "a"})
    refused(path, "--data.name_or_path", f"1 URL ({url!r})", "download", allow_outside_paths=allowed)


def test_the_paths_in_parquet_are_checked_and_those_of_embedded_audio_do_not_matter(tmp_path: Path) -> None:
    audio = [{"bytes": b"RIFF", "path": "/elsewhere/a.wav"}]
    pq.write_table(pa.table({"audio": audio, "text": ["one"]}), tmp_path / "clips.parquet")
    assert load(tmp_path / "clips.parquet").rows[0].audio == b"RIFF"
    pq.write_table(
        pa.table({"audio": [{"bytes": None, "path": "/elsewhere/a.wav"}], "text": ["one"]}), tmp_path / "b.parquet"
    )
    refused(tmp_path / "b.parquet", "--data.audio_root", "1 absolute path ('/elsewhere/a.wav')")


# -- real recordings


@pytest.mark.realdata
def test_every_manifest_of_real_recordings_is_read_without_an_edit(realdata: Path) -> None:
    manifests = sorted(realdata.glob("*/manifest.jsonl"))
    # long recordings have their texts in files of their own
    manifests = [path for path in manifests if '"text_file"' not in path.read_text("utf-8")]
    assert len(manifests) >= 9
    for manifest in manifests:
        count = len(manifest.read_text(encoding="utf-8").splitlines())
        split = "train" if '"split"' in manifest.read_text("utf-8") else "any"
        source = load(manifest, split=split, allow_outside_paths=False)
        assert len(source.rows) == count or split != "any"
        assert all(isinstance(row.audio, Path) and row.audio.is_file() for row in source.rows)
        assert "took 'file', as in a list of files" in source.notices[0]


@pytest.mark.realdata
def test_a_real_talk_is_cut_by_its_manifest(realdata: Path, tmp_path: Path) -> None:
    talk = realdata / "picovoice-leopard" / "test.wav"
    words = [("Mr. Quilter", 0.54, 1.18), ("middle classes", 2.34, 3.17), ("his gospel", 4.67, 5.34)]
    with (tmp_path / "talk.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("audio", "text", "start", "end"))
        writer.writerows((talk, *word) for word in words)
    source = load(tmp_path / "talk.csv", allow_outside_paths=True)
    whole = decode(talk, sampling_rate_hz=16_000)
    for row, (_, start_s, end_s) in zip(source.rows, words, strict=True):
        assert row.audio is not None
        cut = decode(row.audio, sampling_rate_hz=16_000, start_s=row.start_s, end_s=row.end_s)
        np.testing.assert_array_equal(cut, whole[round(start_s * 16_000) : round(end_s * 16_000)])


def test_a_nemo_manifest_needs_no_settings_on_the_command_line_either(lines) -> None:
    path = lines({"audio_filepath": "a.wav", "text": "one", "offset": 0.5, "duration": 1.2}, name="train.json")
    data = parse_config(["--data.name_or_path", str(path), "--data.eval_fraction", "0.1"]).data
    (source,) = resolved_sources(data)
    rows = read_source(source_name(data, source, data.train_split)).rows
    assert [(row.text, row.start_s, row.end_s) for row in rows] == [("one", 0.5, 1.7)]
    arguments = ["--data.name_or_path", str(path), "--data.eval_fraction", "0.1", "--data.audio_root", str(path.parent)]
    for role in ("start", "end", "duration"):
        arguments += [f"--data.{role}_column", "null"]
    config = parse_config(arguments)
    name = source_name(config.data, source, "train")
    assert [(row.start_s, row.stated_s) for row in read_source(name).rows] == [(None, None)]
    assert name.audio_root == str(path.parent)
