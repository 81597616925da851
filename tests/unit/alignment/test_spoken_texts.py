"""What to align: texts beside recordings, tables, one text; what is refused, and what fails alone."""

import json
from pathlib import Path

import pytest

from accel_asr.alignment.spoken_texts import SpokenText, find_spoken_texts
from tests.refusals import refused


@pytest.fixture
def talks(tmp_path: Path) -> Path:
    """`a.mp3` and `b.wav` with texts, `sub/c.flac` with one called `c.flac.txt`; they are not decoded."""
    folder = tmp_path / "talks"
    for name, text in (("a.mp3", "First line.\nSecond line."), ("b.wav", "Hello there."), ("sub/c.flac", None)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
        if text is not None:
            (folder / name).with_suffix(".txt").write_text(text)
    (folder / "sub" / "c.flac.txt").write_text("\ufeffThird.", encoding="utf-8")
    return folder


def found(
    *arguments: object,
    text_file: Path | None = None,
    allow_outside: bool = False,
    own: Path = Path("out/metadata.jsonl"),
) -> tuple[list[SpokenText], list[str]]:
    return find_spoken_texts(
        [str(argument) for argument in arguments], text_file=text_file, own_manifest=own, allow_outside=allow_outside
    )


def test_each_recording_of_a_folder_has_the_text_beside_it(talks: Path) -> None:
    spoken, notes = found(talks)
    assert [(one.path.name, one.text) for one in spoken] == [
        ("a.mp3", "First line.\nSecond line."),
        ("b.wav", "Hello there."),
        ("c.flac", "Third."),
    ]
    assert notes == []
    assert [one.problem for one in spoken] == [None] * 3


def test_a_glob_of_a_shell_names_texts_too(talks: Path) -> None:
    spoken, _ = found(*sorted(talks.glob("*.*")), talks / "a.mp3")
    assert [one.path.name for one in spoken] == ["a.mp3", "b.wav"]


def test_recordings_without_text_are_named_where_others_have_one(talks: Path) -> None:
    (talks / "b.txt").unlink()
    spoken, notes = found(talks)
    assert [one.path.name for one in spoken] == ["a.mp3", "c.flac"]
    assert len(notes) == 1
    assert "1 of 3" in notes[0]
    assert "b.wav" in notes[0]


def test_a_recording_without_any_text_is_refused(talks: Path) -> None:
    (talks / "b.txt").unlink()
    with refused("FILE", "no text beside it", value=str(talks / "b.wav"), remedy="--text"):
        found(talks / "b.wav", talks / "a.mp3")


@pytest.mark.parametrize(
    ("content", "words"), [(b"\xff\xfeh\x00", "UTF-8"), (b" \n ", "is empty")], ids=["utf-16", "empty"]
)
def test_a_text_that_can_not_be_read_fails_alone(talks: Path, content: bytes, words: str) -> None:
    (talks / "b.txt").write_bytes(content)
    spoken, _ = found(talks)
    assert [one.path.name for one in spoken if one.problem] == ["b.wav"]
    assert "b.txt" in str(spoken[1].problem)
    assert words in str(spoken[1].problem)


def test_a_text_alone_is_no_recording(talks: Path) -> None:
    with refused("FILE", "no recording", remedy="--text"):
        found(talks / "a.txt")


def test_one_text_is_of_one_recording(talks: Path) -> None:
    text = talks / "a.txt"
    spoken, _ = found(talks / "b.wav", text_file=text)
    assert [(one.path.name, one.text) for one in spoken] == [("b.wav", "First line.\nSecond line.")]
    with refused("--text", "2", value=text, remedy="beside it"):
        found(talks / "b.wav", talks / "a.mp3", text_file=text)
    with refused("--text", "can't be read", value=talks / "gone.txt"):
        found(talks / "b.wav", text_file=talks / "gone.txt")


def test_what_is_not_there_is_refused_all_at_once(talks: Path) -> None:
    with refused("FILE", "does not exist", value="gone.mp3") as refusal:
        found("gone.mp3", talks, "also-gone.mp3")
    assert [error.value for error in refusal.value.errors] == ["gone.mp3", "also-gone.mp3"]


# -- tables


def write_table(folder: Path, rows: list[dict[str, object]], name: str = "list.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_table_has_texts_languages_and_parts_of_recordings(talks: Path) -> None:
    table = write_table(
        talks,
        [
            {"audio": "a.mp3", "text": "Eins.", "language": "de", "start": 0, "end": 60.5, "split": "train"},
            {"audio": "a.mp3", "text": "Two.", "language": "en", "start": 60.5, "end": None, "split": "test"},
            {"audio": "b.wav", "text": " ", "language": None, "start": None, "end": None, "split": "test"},
        ],
    )
    spoken, notes = found(table)
    assert [(one.path.name, one.text, one.language, one.start_s, one.end_s) for one in spoken] == [
        ("a.mp3", "Eins.", "de", 0.0, 60.5),
        ("a.mp3", "Two.", "en", 60.5, None),
        ("b.wav", " ", None, None, None),
    ]
    assert [one.problem for one in spoken] == [None, None, "it has no text"]
    assert len({one.name for one in spoken}) == 3
    assert any("segments" in note for note in notes)


def test_a_table_may_name_files_of_text(talks: Path) -> None:
    rows: list[dict[str, object]] = [
        {"file": "a.mp3", "text_file": "a.txt", "segments": [{"start": 0.0, "end": 1.0, "text": "not this"}]},
        {"file": "b.wav", "text_file": "gone.txt"},
    ]
    write_table(talks, rows, name="manifest.jsonl")
    spoken, _ = found(talks)
    assert [(one.path.name, one.text) for one in spoken] == [("a.mp3", "First line.\nSecond line."), ("b.wav", "")]
    assert spoken[0].problem is None
    assert "gone.txt can't be read" in str(spoken[1].problem)


def test_files_outside_of_a_table_s_folder_are_read_only_if_allowed(talks: Path, tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    table = write_table(tmp_path / "lists", [{"audio": str(talks / "a.mp3"), "text": "One."}])
    with refused("FILE", "outside", value=table, remedy="--allow_outside_paths"):
        found(table)
    spoken, _ = found(table, allow_outside=True)
    assert [one.path for one in spoken] == [talks / "a.mp3"]


def test_a_table_without_a_column_is_refused_by_its_name(talks: Path) -> None:
    table = write_table(talks, [{"audio": "a.mp3", "label": 3}])
    with refused("FILE", "label", value=table, remedy="audio and text"):
        found(table)


def test_the_manifest_that_align_wrote_is_no_input(talks: Path) -> None:
    own = write_table(talks, [{"audio": "a.mp3", "text": "First", "start": 0, "end": 1}], name="metadata.jsonl")
    spoken, _ = found(talks, own=own)
    assert [one.path.name for one in spoken] == ["a.mp3", "b.wav", "c.flac"]
    assert spoken[0].text == "First line.\nSecond line."
