"""Pipes among the data: refused by name, and nobody waits for their other end."""

import os
from pathlib import Path

import pytest

from accel_asr.audio.decoding import AudioError, decode, probe
from accel_asr.data.reading.dataset_cards import configs_of_card
from accel_asr.data.reading.sources import SourceName, read_source
from accel_asr.data.reading.tar_shards import iterate_tar_shard
from accel_asr.errors import UserError
from accel_asr.files.regular_files import open_regular, read_regular_text


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def read(path: Path, tmp_path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_source(SourceName(str(path), split="train"), cache_dir=tmp_path / "cache")
    return str(caught.value)


def test_a_regular_file_is_read_with_the_ends_of_lines_of_any_system(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeffone\r\ntwo\n".encode())
    assert read_regular_text(tmp_path / "a.txt") == "one\ntwo\n"
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "b.txt")


def test_a_pipe_and_a_device_are_not_opened_to_wait(pipe: Path) -> None:
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(OSError, match="no regular file"):
            open_regular(path)


def test_a_pipe_as_a_recording_is_named_for_what_it_is(pipe: Path) -> None:
    for look in (probe, lambda path: decode(path, sampling_rate_hz=None)):
        with pytest.raises(AudioError, match="pipe"):
            look(pipe)


def test_a_pipe_as_a_source(pipe: Path, tmp_path: Path) -> None:
    assert "a pipe, a socket or a device" in read(pipe, tmp_path)


def test_pipes_in_a_folder_of_recordings(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "a.wav").write_bytes(b"RIFF")
    os.mkfifo(folder / "a.txt")
    os.mkfifo(folder / "README.md")
    assert configs_of_card(folder) == {}
    assert "a.txt" in read(folder, tmp_path)


def test_a_pipe_as_a_shard(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "0.tar")
    assert "match no file" in read(tmp_path / "*.tar", tmp_path)
    with pytest.raises(UserError, match="no regular file"):
        list(iterate_tar_shard(str(tmp_path / "0.tar"), offset=0))
