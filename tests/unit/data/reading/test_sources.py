"""Folders, manifests and the quickstart as rows; faults of a manifest are reported by file, line or column."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from accel_asr.data.reading.rows import RowColumns
from accel_asr.data.reading.sources import Row
from tests.unit.data.local_sources import load, refused


@pytest.fixture
def manifest(tmp_path: Path):
    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


TWO_ROWS = {
    ".csv": 'audio,text,speaker\na.wav,"hello, you",1\nsub/b.wav,æøå,2\n',
    ".tsv": "audio\ttext\tspeaker\na.wav\thello, you\t1\nsub/b.wav\tæøå\t2\n",
    ".jsonl": '{"audio": "a.wav", "text": "hello, you"}\n\n{"audio": "sub/b.wav", "text": "æøå", "speaker": 2}\n',
}


@pytest.mark.parametrize("suffix", sorted(TWO_ROWS))
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "byte order mark"])
def test_a_manifest_gives_its_rows_in_order_with_paths_relative_to_itself(manifest, suffix: str, mark: str) -> None:
    path = manifest(f"lists/clips{suffix}", mark + TWO_ROWS[suffix])
    assert load(path).rows == [
        Row("a.wav", path.parent / "a.wav", "hello, you", speaker=None if suffix == ".jsonl" else "1"),
        Row("sub/b.wav", path.parent / "sub" / "b.wav", "æøå", speaker="2"),
    ]


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.tsv", "metadata.jsonl", "manifest.csv"])
def test_a_folder_is_read_by_its_metadata_with_file_name_as_the_audio(manifest, tmp_path: Path, name: str) -> None:
    suffix = Path(name).suffix
    manifest(f"clips/{name}", TWO_ROWS[suffix].replace("audio", "file_name"))
    folder = tmp_path / "clips"
    assert [row.audio for row in load(folder).rows] == [folder / "a.wav", folder / "sub" / "b.wav"]


def test_a_parquet_file_holds_paths_bytes_or_both(tmp_path: Path) -> None:
    audio = [
        {"bytes": b"RIFF1", "path": "a.wav"},
        {"bytes": None, "path": "b.wav"},
        {"bytes": b"RIFF3", "path": None},
        {"bytes": None, "path": None},
    ]
    pq.write_table(pa.table({"audio": audio, "text": ["one", "two", "three", None]}), tmp_path / "clips.parquet")
    rows = load(tmp_path / "clips.parquet").rows
    assert [row.audio for row in rows] == [b"RIFF1", tmp_path / "b.wav", b"RIFF3", None]
    assert [row.text for row in rows] == ["one", "two", "three", None]
    assert [row.utterance_id for row in rows] == ["a.wav", "b.wav", "row-000002", "row-000003"]


def test_windows_line_ends_and_absolute_paths(manifest, tmp_path: Path) -> None:
    path = manifest("clips.csv", f"audio,text\r\n{tmp_path}/elsewhere/a.wav,hello\r\n")
    assert load(path).rows == [Row(f"{tmp_path}/elsewhere/a.wav", tmp_path / "elsewhere" / "a.wav", "hello")]


def test_the_split_column_selects_and_an_unknown_split_lists_those_there_are(manifest) -> None:
    path = manifest("clips.csv", "audio,text,split\na.wav,one,train\nb.wav,two,test\nc.wav,three,train\n")
    assert [row.text for row in load(path).rows] == ["one", "three"]
    assert [row.text for row in load(path, split="test").rows] == ["two"]
    refused(path, "--data.train_split or --data.eval_split", "'holdout'", "test, train", split="holdout")


def test_without_a_split_column_all_rows_belong_to_every_split(manifest) -> None:
    path = manifest("clips.csv", "audio,text\na.wav,one\nb.wav,two\n")
    assert load(path, split="train").rows == load(path, split="validation").rows


def test_a_missing_column_is_answered_with_those_there_are(manifest) -> None:
    path = manifest("clips.csv", "where,what\na.wav,one\n")
    refused(path, "--data.audio_column", "'audio'", "the columns are: where, what")
    refused(path, "--data.text_column", "'text'", "the columns are: where, what", audio_column="where")
    assert load(path, audio_column="where", text_column="what").rows[0].text == "one"


def test_usual_names_of_columns_are_taken_where_only_one_is_there(manifest) -> None:
    source = load(manifest("a.csv", "Audio File,transcription,translation\na.wav,one,eins\n"))
    assert [(Path(str(row.audio)).name, row.text) for row in source.rows] == [("a.wav", "one")]
    assert source.notices == [
        "there is no column 'audio'; took 'Audio File'",
        "there is no column 'text'; took 'transcription'",
    ]
    path = manifest("b.csv", "wav,transcription,transcript\na.wav,one,One.\n")
    refused(path, "--data.text_column", "'text'", "transcription, transcript")  # either may be meant


@pytest.mark.parametrize(
    ("table", "place"),
    [
        ("audio,text,Split\na.wav,one,train\nb.wav,two,test\n", "column 'Split'"),
        ("audio,text,set\na.wav,one,train\nb.wav,two,test\n", "column 'set'"),
        ("file_name,text\ntrain/x/a.wav,one\ntest/x/b.wav,two\n", "folders in 'file_name'"),
    ],
)
def test_rows_name_their_split(manifest, table: str, place: str) -> None:
    path = manifest("metadata.csv", table)
    assert [row.text for row in load(path).rows] == ["one"]
    assert [row.text for row in load(path, split="test").rows] == ["two"]
    assert f"train: 1 of 2 rows, by the {place}" in load(path).notices


@pytest.mark.parametrize(
    "table",
    [
        "audio,text,set\na.wav,one,train\nb.wav,two,garden\n",
        "audio,text,set\na.wav,one,train\nb.wav,two,train\n",
        "file_name,text\ntrain/a.wav,one\nb.wav,two\n",
    ],
)
def test_columns_that_do_not_name_splits_leave_all_rows(manifest, table: str) -> None:
    assert [row.text for row in load(manifest("metadata.csv", table)).rows] == ["one", "two"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.parquet", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ("a.csv", b"PAR1\x15\x04\x90", "ends with .parquet"),
        ("a.tsv", b"audio\ttext\na.wav\n", "add the fields that are missing"),
        ("b.tsv", b"audio\ttext\na.wav\tone\ttwo\n", "quote fields that hold a tab"),
    ],
)
def test_files_that_are_something_else_are_answered_with_what_to_do(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, "--data.name_or_path", words)


def test_texts_written_as_bytes_are_texts(tmp_path: Path) -> None:
    pq.write_table(pa.table({"audio": ["a.wav"], "text": pa.array(["één".encode()])}), tmp_path / "a.parquet")
    assert [row.text for row in load(tmp_path / "a.parquet").rows] == ["één"]


def test_a_file_listed_several_times_gets_ids_of_its_own(manifest) -> None:
    path = manifest("clips.csv", "audio,text\na.wav,one\nb.wav,two\na.wav,three\na.wav#2,four\n")
    rows = load(path).rows
    assert len({row.utterance_id for row in rows}) == 4
    assert [row.audio.name for row in rows if isinstance(row.audio, Path)] == ["a.wav", "b.wav", "a.wav", "a.wav#2"]


def test_a_null_text_stays_none_and_a_number_becomes_text(manifest) -> None:
    path = manifest(
        "clips.jsonl", '{"audio": "a.wav", "text": null}\n{"audio": "b.wav"}\n{"audio": "c.wav", "text": 7}\n'
    )
    assert [row.text for row in load(path).rows] == [None, None, "7"]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\u0085", "\v", "\f"])
def test_only_a_newline_ends_a_line_of_jsonl(manifest, separator: str) -> None:
    text = f"one{separator}two"
    line = json.dumps({"audio": "a.wav", "text": text}, ensure_ascii=False)
    assert load(manifest("clips.jsonl", line + "\n")).rows[0].text == text


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_line_that_is_not_json_is_named_by_its_number(manifest, line_end: str) -> None:
    good = '{"audio": "a.wav", "text": "one"}'
    path = manifest("clips.jsonl", line_end.join([good, "", good, '{"audio": "b.wav"', good]))
    refused(path, "--data.name_or_path", "line 4 is not JSON", str(path))
    refused(manifest("list.jsonl", f"{good}\n[1, 2]\n"), "--data.name_or_path", "line 2 is not a JSON object")


@pytest.mark.parametrize("line", ["a.wav,hello, you", "a.wav"], ids=["too many", "too few"])
def test_a_row_of_another_length_than_the_header_is_named(manifest, line: str) -> None:
    path = manifest("clips.csv", f"audio,text\nz.wav,fine\n{line}\n")
    refused(path, "--data.name_or_path", "1 row has not as many fields as the header, 2 (line 3 has ")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("quote.csv", b'audio,text\na.wav,"never closed\n'),
        ("text.parquet", b"audio,text\na.wav,one\n"),
        ("latin.jsonl", '{"audio": "a.wav", "text": "Überweisung"}'.encode("latin-1")),
    ],
)
def test_an_unreadable_manifest_is_named(manifest, name: str, content: bytes) -> None:
    path = manifest(name, content)
    refused(path, "--data.name_or_path", repr(str(path)), "can't be read")


@pytest.mark.parametrize("content", ["", "audio,text\n"], ids=["empty", "header only"])
@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_a_manifest_without_rows_is_said_to_have_none(manifest, content: str, suffix: str) -> None:
    path = manifest(f"clips{suffix}", content.replace(",", "\t") if suffix == ".tsv" else content)
    assert "has no rows" in refused(path)


def test_other_files_and_folders_without_metadata_are_told_what_is_needed(manifest, tmp_path: Path) -> None:
    refused(manifest("a.txt", "hello"), "--data.name_or_path", ".csv .tsv .jsonl .parquet .json, or a folder")
    (tmp_path / "bare").mkdir()
    refused(tmp_path / "bare", "--data.name_or_path", "it holds no files")


@pytest.mark.parametrize("name", ["missing.csv", "./clips", "/nowhere/clips", "a/b/c", "~/clips"])
def test_a_path_that_does_not_exist_never_goes_to_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(name, "--data.name_or_path", repr(name), "does not exist")


def test_the_quickstart_has_563_clips_each_with_its_text() -> None:
    rows = load("quickstart", text_column="english_transcription").rows
    assert len(rows) == len({row.utterance_id for row in rows}) == 563
    assert all(isinstance(row.audio, bytes) and row.audio for row in rows)
    assert all(row.text and row.text.strip() for row in rows)


@pytest.mark.parametrize("column", ["Language", "lang", "locale"])
def test_languages_of_rows_are_found_under_other_names(manifest, column: str) -> None:
    source = load(
        manifest("a.csv", f"audio,text,{column}\na.wav,one,de\nb.wav,two,ckb-IQ\nc.wav,three,\n"),
        columns=RowColumns(language="language"),
    )
    assert [row.language for row in source.rows] == ["de", "ckb-IQ", None]
    assert source.notices == [f"the language of each row is read from the column {column!r}"]


def test_a_column_of_places_is_none_of_languages(manifest) -> None:
    source = load(
        manifest("b.csv", "audio,text,locale\na.wav,one,de\nb.wav,two,kitchen\n"),
        columns=RowColumns(language="language"),
    )
    assert [row.language for row in source.rows] == [None, None]
