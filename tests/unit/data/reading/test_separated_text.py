"""Delimited text as other programs write it: no row is swallowed, whatever its quotation marks."""

import csv
import io
from pathlib import Path

import pytest

from tests.unit.data.local_sources import load, refused

EIGHT = [
    ("a.wav", '"open the window'),
    ("b.wav", "she said"),
    ("c.wav", 'and closed it"'),
    ("d.wav", 'the "big" one'),
    ("e.wav", '"Yes."'),
    ("f.wav", '5" wide'),
    ("g.wav", 'end with a mark "'),
    ("h.wav", '""'),
]


def write(path: Path, content: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(content.encode(encoding))
    return path


@pytest.mark.parametrize("header", ["audio\ttext", "path\tsentence", "client_id\tpath\tsentence"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_mark_that_another_row_closes_swallows_nothing(tmp_path: Path, header: str, line_end: str) -> None:
    first = "x\t" * (header.count("\t") - 1)
    lines = [header, *(f"{first}{name}\t{text}" for name, text in EIGHT)]
    source = load(write(tmp_path / "train.tsv", line_end.join(lines) + line_end))
    assert [(row.utterance_id, row.text) for row in source.rows] == EIGHT


@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t"])
@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_what_a_writer_quotes_is_read_back(tmp_path: Path, delimiter: str, suffix: str) -> None:
    texts = ["plain", "a, b; c | d\te", 'say "no"', '"Yes."', "two\nlines", "1,5", "", "æøå"]
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter)
    writer.writerows([("audio", "text"), *((f"{number}.wav", text) for number, text in enumerate(texts))])
    source = load(write(tmp_path / f"a{suffix}", file.getvalue()))
    assert [row.text for row in source.rows] == texts
    assert any("line breaks, in 1 rows (lines 6 to 7)" in notice for notice in source.notices)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("first", ["", "sep=;\r\n"])
def test_what_excel_writes(tmp_path: Path, encoding: str, first: str) -> None:
    content = f'{first}audio;text;start\r\na.wav;"say ""no""; now";1,5\r\nb.wav;zwei;\r\n;;\r\n'
    source = load(write(tmp_path / "a.csv", content, encoding))
    assert [(row.text, row.start_s) for row in source.rows] == [('say "no"; now', 1.5), ("zwei", None)]
    assert any("1 rows without any content skipped (line " in notice for notice in source.notices)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('audio,text\na.wav,"Well, yes"\nb.wav,"open\nc.wav,closing"\nd.wav,x\n', "the one in line 3 swallows line 4"),
        ('id,clip,text\n1,a,"open, it\n2,b,close"\n3,c,z\n', "the one in line 2 swallows line 3"),
        ('audio,text\na.wav,"never closed\n', "the row that begins in line 2 can't be read"),
        ('audio,text\na.wav,"fine, so"\nb.wav,"open, and x\nc.wav,x\n', "the row that begins in line 3 can't be read"),
        (
            "audio,text\na.wav,one,two\nb.wav,x\nc.wav\n",
            "2 rows have not as many fields as the header, 2 (line 2 has 3, l",
        ),
        ("audio,text,text\na.wav,x,y\n", "several columns are called 'text'"),
        ("audio,text\na.wav,x\0y\n", "line 2 holds a zero byte"),
    ],
)
def test_ambiguous_tables_are_refused_with_their_lines(tmp_path: Path, content: str, words: str) -> None:
    refused(write(tmp_path / "a.csv", content), "--data.name_or_path", words)


def test_a_tab_within_a_text_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", 'audio\ttext\na.wav\tone\ttwo\nb.wav\t"x\nc.wav\ty"\n')
    refused(path, "--data.name_or_path", "line 2 has 3")


def test_a_header_that_comes_again_is_no_row(tmp_path: Path) -> None:
    source = load(write(tmp_path / "a.csv", "audio,text\na.wav,x\naudio,text\nb.wav,y\n"))
    assert [row.text for row in source.rows] == ["x", "y"]
    assert "1 repetitions of the header skipped (line 3)" in source.notices


def test_a_missing_header_is_guessed_from_what_stands_there(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "clips/a.wav,hello\nclips/b.wav,you\n")
    refused(path, "--data.audio_column", "the columns are: clips/a.wav, hello", "the first line looks like a row")


def test_blanks_after_commas_and_nameless_columns(tmp_path: Path) -> None:
    source = load(write(tmp_path / "a.csv", 'audio, text,,\na.wav, "x, y",,\n'))
    assert [row.text for row in source.rows] == ["x, y"]
    source = load(write(tmp_path / "b.csv", 'audio, text\na.wav, "x, y"\n'))
    assert [row.text for row in source.rows] == ["x, y"]


def test_marks_that_are_escaped_by_a_backslash(tmp_path: Path) -> None:
    source = load(write(tmp_path / "a.csv", 'Audio,TEXT\na.wav,"say \\"no\\", now"\nb.wav,"yes"\n'))
    assert [row.text for row in source.rows] == ['say "no", now', "yes"]


def test_a_text_of_several_lines_with_commas_is_no_row(tmp_path: Path) -> None:
    source = load(write(tmp_path / "a.csv", 'audio,text\na.wav,"well, yes\nno, never"\nb.wav,x\n'))
    assert [row.text for row in source.rows] == ["well, yes\nno, never", "x"]
    assert any("hold line breaks, in 1 rows (lines 2 to 3)" in notice for notice in source.notices)


def test_a_split_is_the_same_in_capitals_and_rows_of_none_are_counted(tmp_path: Path) -> None:
    rows = ["a,x,Train", "b,y,train", "c,z,", "d,w, TRAIN", "e,v,test"]
    source = load(write(tmp_path / "a.csv", "audio,text,split\n" + "\n".join(rows)))
    assert [row.text for row in source.rows] == ["x", "y", "w"]
    assert "1 of 5 rows are of no split: their column 'split' is empty" in source.notices


def test_every_line_of_a_plain_table_is_a_row(tmp_path: Path) -> None:
    lines = [f"{number}.wav\t{'' if number % 3 else chr(34)}text {number}" for number in range(500)]
    assert len(load(write(tmp_path / "a.tsv", "audio\ttext\n" + "\n".join(lines))).rows) == 500


# -- JSON lines


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r", "\n\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lines_of_json_end_in_any_way(tmp_path: Path, line_end: str, encoding: str) -> None:
    path = write(tmp_path / "a.jsonl", line_end.join(['{"audio": "a", "text": "x"}'] * 3), encoding)
    assert len(load(path).rows) == 3


def test_all_lines_that_are_not_json_are_named_and_a_cut_one_is_said_to_be(tmp_path: Path) -> None:
    good = '{"audio": "a", "text": "x"}\n'
    path = write(tmp_path / "a.jsonl", f'{good}{{"audio"\n{good}{{"audio": "b", "te')
    words = ("line 2 is not JSON", "line 4 is not JSON", "it is the last one, and may be cut", "2 of 4 lines are")
    refused(path, "--data.name_or_path", *words)


def test_an_array_is_read_whatever_the_file_is_called(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '[{"audio": "a",\n "text": "x"}, {"audio": "b", "text": "y"}]')
    assert [row.text for row in load(path).rows] == ["x", "y"]


def test_text_that_is_not_utf_8_is_named_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "audio,text\na.wav,ok\nb.wav,Überweisung\n", "cp1252")
    refused(path, "--data.name_or_path", "line 3 is not UTF-8 text")
