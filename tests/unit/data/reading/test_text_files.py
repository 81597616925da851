"""A folder with a .txt beside each recording: nothing is lost silently."""

from pathlib import Path

import pytest

from accel_asr.data.reading.sources import Row
from tests.unit.data.local_sources import load, refused


def test_each_recording_has_the_text_beside_it_in_order_of_the_names(folder) -> None:
    clips = folder(
        {
            "b.FLAC": "",
            "b.txt": "two\n",
            "a.wav": "",
            "a.txt": "\ufeffone",
            "sub/c.m4a": "",
            "sub/c.TXT": "æ\r\n\n ø\n",
            "sub/a.wav": "",
            "sub/a.txt": "one more",
        }
    )
    source = load(clips)
    assert source.rows == [
        Row("a.wav", clips / "a.wav", "one"),
        Row("b.FLAC", clips / "b.FLAC", "two"),
        Row("sub/a.wav", clips / "sub" / "a.wav", "one more"),
        Row("sub/c.m4a", clips / "sub" / "c.m4a", "æ ø"),
    ]
    assert source.notices == []


def test_what_has_no_partner_is_counted_and_named(folder) -> None:
    files = {f"{name}.wav": "" for name in "abcdefgh"} | {"a.txt": "one", "README.txt": "about", "lost.txt": "x"}
    source = load(folder(files))
    assert [row.text for row in source.rows] == ["one"] + [None] * 7  # the filters count them as without text
    assert source.notices == [
        "7 of 8 audio files have no .txt: b.wav, c.wav, d.wav, e.wav, f.wav and 2 more",
        "2 of 3 .txt files have no audio file: README.txt, lost.txt",
    ]


def test_hidden_files_are_nobodys(folder) -> None:
    files = {"a.wav": "", "a.txt": "one", "._a.wav": "junk", ".cache/b.wav": "", ".notes.txt": ""}
    source = load(folder(files))
    assert ([row.utterance_id for row in source.rows], source.notices) == (["a.wav"], [])


def test_a_folder_named_after_the_split_holds_it(folder) -> None:
    clips = folder(
        {f"{split}/{name}": "one" for split in ("train", "test") for name in ("a.wav", "a.txt")} | {"z.wav": ""}
    )
    source = load(clips, split="test")
    assert [row.utterance_id for row in source.rows] == ["test/a.wav"]
    assert source.notices == ["test: 1 of the folder's 3 audio files, those in test/"]
    assert [row.utterance_id for row in load(clips).rows] == ["train/a.wav"]
    refused(clips, "--data.train_split or --data.eval_split", "'holdout'", "test, train", split="holdout")


def test_metadata_goes_before_texts(folder) -> None:
    clips = folder({"a.wav": "", "a.txt": "beside", "metadata.csv": "file_name,text\na.wav,listed\n"})
    assert [row.text for row in load(clips).rows] == ["listed"]


def test_metadata_that_forgets_a_recording_is_said_to(folder) -> None:
    files = {"a.wav": "", "sub/b.wav": "", "c.wav": "", "metadata.csv": "file_name,text\n./a.wav,x\n"}
    assert load(folder(files)).notices == [
        "2 of 3 audio files in the folder are not listed in metadata.csv: c.wav, sub/b.wav"
    ]


@pytest.mark.parametrize("files", [{"a.wav": ""}, {"a.wav": "", "b.txt": "b"}, {"a.txt": "a"}, {"a.bin": ""}])
def test_a_folder_without_a_pair_is_told_both_ways(folder, files: dict[str, str]) -> None:
    contents = [f"1 {Path(name).suffix}" for name in files]
    refused(folder(files), "--data.name_or_path", *contents, "metadata.csv", "a .txt beside each audio file")


def test_texts_that_are_not_utf_8_are_all_named(folder) -> None:
    files: dict[str, str | bytes] = {f"{name}.wav": "" for name in "abc"} | {"b.txt": "fine"}
    files |= {f"{name}.txt": "Überweisung".encode("latin-1") for name in "ac"}
    refused(folder(files), "--data.name_or_path", "2 of its texts can't be read", "a.txt (", "c.txt (", "UTF-8")


@pytest.mark.parametrize("name", ["a.wav", "a.txt"])
def test_a_link_out_of_the_folder_is_not_followed_unasked(folder, tmp_path: Path, name: str) -> None:
    clips = folder({"a.wav": "", "a.txt": "one"})
    (tmp_path / "secret").write_bytes("not UTF-8: ß".encode("latin-1"))  # or it would have been read
    (clips / name).unlink()
    (clips / name).symlink_to(tmp_path / "secret")
    refused(clips, "--data.allow_outside_paths", f"1 file ({name!r})")
    (tmp_path / "secret").write_bytes(b"one")
    assert len(load(clips, allow_outside_paths=True).rows) == 1


def test_links_to_folders_are_named(folder, tmp_path: Path) -> None:
    clips = folder({"a.wav": "", "a.txt": "one"})
    (clips / "loop").symlink_to(clips)
    source = load(clips)
    assert len(source.rows) == 1
    assert source.notices == ["links to folders are not followed: loop"]
