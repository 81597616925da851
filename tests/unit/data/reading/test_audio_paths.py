"""File names as other machines and programs write them: found if only one file can be meant, else reported."""

import json
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile

from accel_asr.data.indexing.index_building import open_index
from accel_asr.data.reading.sources import SourceName
from accel_asr.files.cache_folder import default_cache_dir
from tests.unit.data.local_sources import load, refused

RATE_HZ = 16_000
NFC, NFD = (unicodedata.normalize(form, "Größe.wav") for form in ("NFC", "NFD"))


@pytest.fixture
def named_files(tmp_path: Path):
    """Write files that are called so, and a manifest that names others; return the manifest's path."""

    def write(files: list[str], names: list[str]) -> Path:
        for file in files:
            path = tmp_path / "data" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(os.fsencode(path), np.full(RATE_HZ, 0.1, dtype=np.float32), RATE_HZ, format="WAV")
        (tmp_path / "data").mkdir(exist_ok=True)
        manifest = tmp_path / "data" / "list.jsonl"
        manifest.write_text("".join(json.dumps({"audio": name, "text": "x"}) + "\n" for name in names))
        return manifest

    return write


@pytest.mark.parametrize(
    ("file", "name"),
    [
        (NFC, NFD),
        (NFD, NFC),
        ("a.wav", "A.WAV"),
        ("Sub/a.wav", "sub/a.wav"),
        ("sub/a.wav", "sub\\a.wav"),
        ("sub/a.wav", ".\\sub\\a.wav"),
        ("my clip.wav", "my%20clip.wav"),
        ("a.wav", " a.wav "),
        (os.fsdecode("Größe.wav".encode("latin-1")), "Größe.wav"),
    ],
)
def test_a_file_is_found_where_only_one_can_be_meant(named_files, file: str, name: str) -> None:
    manifest = named_files([file], [name])
    source = load(manifest)
    assert source.rows[0].audio == manifest.parent / file
    assert source.rows[0].problem is None
    assert "1 files have other names than the manifest gives" in source.notices[-1]


def test_what_is_there_as_it_is_written_needs_no_search(named_files) -> None:
    manifest = named_files(["a.wav", "A.wav", "a%20b.wav"], ["a.wav", "A.wav", "a%20b.wav"])
    source = load(manifest)
    assert [row.audio for row in source.rows] == [manifest.parent / name for name in ("a.wav", "A.wav", "a%20b.wav")]
    assert source.notices == []


def test_no_guess_between_several_nor_at_another_rows_file(named_files) -> None:
    rows = load(named_files(["a.wav", "A.wav", "b.wav"], ["a.WAV", "B.wav", "b.wav", "c.wav"])).rows
    assert "several have similar names" in str(rows[0].problem)
    assert "'b.wav' has a similar name, and is another row's" in str(rows[1].problem)
    assert [row.problem for row in rows[2:]] == [None, None]


def test_a_spelling_never_leads_outside(named_files, tmp_path: Path) -> None:
    (tmp_path / "secret.wav").write_bytes(b"")
    manifest = named_files([], ["..\\SECRET.wav"])
    assert load(manifest).rows[0].audio == manifest.parent / "..\\SECRET.wav"
    refused(named_files([], ["../secret.wav"]), "--data.allow_outside_paths")
    refused(named_files([], ["%2e%2e/secret.wav", "../x.wav"]), "--data.allow_outside_paths")


def test_a_name_that_is_no_utf_8_is_one_row_like_any_other(named_files, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.wav")
    manifest = named_files([name, "b.wav"], [name, "b.wav"])  # JSON writes it as an escape
    (manifest.parent / "b.txt").write_text("two")
    (manifest.parent / os.fsdecode(b"caf\xe9.txt")).write_text("one")
    for source in (manifest, manifest.parent):
        index, _ = open_index(SourceName(str(source)), cache_dir=default_cache_dir(), sampling_rate_hz=RATE_HZ)
        rows = {index[row].utterance_id: index[row].audio for row in range(2)}
        assert rows == {"caf\\xe9.wav": manifest.parent / name, "b.wav": manifest.parent / "b.wav"}
        assert index.durations_s.tolist() == [1.0, 1.0]
        manifest.unlink(missing_ok=True)


# -- another machine's paths


FOREIGN = ["/nowhere/corpus/spk1/a.wav", "/nowhere/corpus/spk2/a.wav", "C:\\corpus\\spk3\\a.wav"]


def test_paths_of_another_machine_are_refused_in_one_message_with_the_way_on(named_files) -> None:
    manifest = named_files(["spk1/a.wav"], FOREIGN[:2] * 200)
    for allowed in (False, True):
        message = refused(manifest, "--data.audio_root", "400 absolute paths", FOREIGN[0], allow_outside_paths=allowed)
        assert message.endswith(f"--data.audio_root {manifest.parent}")  # the files are there
        assert "\n" not in message


def test_audio_root_stands_in_for_the_folders_of_the_other_machine(named_files, tmp_path: Path) -> None:
    manifest = named_files([f"audio/spk{number}/a.wav" for number in (1, 2, 3)], FOREIGN)
    root = tmp_path / "data" / "audio"
    source = load(manifest, audio_root=str(root))
    assert [row.audio for row in source.rows] == [root / f"spk{number}" / "a.wav" for number in (1, 2, 3)]
    manifest = named_files([], [*FOREIGN, "/nowhere/else/b.wav"])
    refused(manifest, "--data.audio_root", "1 absolute path ('/nowhere/else/b.wav')", str(root), audio_root=str(root))


def test_a_kaldi_folder_of_another_machine_is_refused_in_one_message_and_found_in_audio_root(
    named_files, tmp_path: Path
) -> None:
    named_files(["wavs/u1.wav", "wavs/u2.wav"], [])
    folder = tmp_path / "kaldi"
    folder.mkdir()
    (folder / "wav.scp").write_text("u1 /nowhere/an4/wavs/u1.wav\nu2 /nowhere/an4/wavs/u2.wav\n")
    (folder / "text").write_text("u1 one\nu2 two\n")
    assert "\n" not in refused(folder, "--data.audio_root", "2 absolute paths ('/nowhere/an4/wavs/u1.wav', ")
    rows = load(folder, audio_root=str(tmp_path / "data")).rows
    assert [row.audio for row in rows] == [tmp_path / "data" / "wavs" / f"u{number}.wav" for number in (1, 2)]


def test_audio_root_is_where_relative_paths_start_and_what_is_inside_is_allowed(named_files, tmp_path: Path) -> None:
    root = tmp_path / "elsewhere"
    root.mkdir()
    (root / "a.wav").write_bytes(b"")
    (tmp_path / "secret.wav").write_bytes(b"")
    manifest = named_files(["b.wav"], ["a.wav", "b.wav"])
    assert [row.audio for row in load(manifest, audio_root=str(root)).rows] == [
        root / "a.wav",
        tmp_path / "data" / "b.wav",
    ]
    for name in ("../secret.wav", str(tmp_path / "secret.wav")):
        refused(named_files([], [name]), "--data.allow_outside_paths", audio_root=str(root))
    refused(manifest, "--data.audio_root", "'no/folder'", audio_root="no/folder")


def test_two_paths_never_become_one_file(named_files, tmp_path: Path) -> None:
    manifest = named_files(["audio/a.wav"], FOREIGN[:2])
    rows = load(manifest, audio_root=str(tmp_path / "data" / "audio")).rows
    assert ["another row's" in str(row.problem) for row in rows] == [True, True]
