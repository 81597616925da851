"""Copies of http(s) files, from a server on the loopback interface that fails on request."""

import errno
import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from accel_asr.data.reading import downloads
from accel_asr.data.reading.downloads import MAX_RESUMES, ResumingStream, download, without_secrets
from tests.refusals import ANY, refused
from tests.unit.data.shard_server import ShardServer

CONTENT = bytes(range(256)) * 20_000  # five chunks


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ShardServer]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(downloads, "FIRST_WAIT_S", 0.001)
    with ShardServer() as server:
        server.files["a.tar"] = CONTENT
        yield server


@contextmanager
def nothing_kept(folder: Path, *words: str, value: object = ANY, remedy: str = "") -> Iterator[None]:
    """Expect a refusal with these words, without secrets, that leaves nothing behind."""
    with refused("--data.name_or_path", *words, value=value, remedy=remedy):
        yield
    assert not folder.exists() or list(folder.iterdir()) == []


def test_a_file_is_fetched_whole_under_a_name_of_its_address(server: ShardServer, tmp_path: Path) -> None:
    path = download(server.url("a.tar"), tmp_path / "new")
    assert path.read_bytes() == CONTENT
    assert path.name == f"{hashlib.sha256(server.url('a.tar').encode()).hexdigest()[:16]}-a.tar"
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name, f"{path.name}.json"]


def test_what_is_there_is_not_fetched_again(server: ShardServer, tmp_path: Path) -> None:
    path = download(server.url("a.tar"), tmp_path)
    assert download(server.url("a.tar"), tmp_path) == path
    assert [method for method, _, _ in server.requests] == ["GET", "HEAD"]


def test_another_etag_or_size_is_fetched_again(server: ShardServer, tmp_path: Path) -> None:
    path = download(server.url("a.tar"), tmp_path)
    server.files["a.tar"], server.version = CONTENT[::-1], "2"
    assert download(server.url("a.tar"), tmp_path).read_bytes() == CONTENT[::-1]
    path.write_bytes(b"cut")
    assert download(server.url("a.tar"), tmp_path).read_bytes() == CONTENT[::-1]
    server.files["a.tar"] = CONTENT[:1000]  # the same ETag, by a careless server
    assert download(server.url("a.tar"), tmp_path).read_bytes() == CONTENT[:1000]


@pytest.mark.parametrize("status", [403, 405, 501])
def test_a_server_that_answers_no_head_is_asked_by_get(server: ShardServer, tmp_path: Path, status: int) -> None:
    path = download(server.url("a.tar"), tmp_path)
    server.head_status = status
    written = path.stat().st_mtime_ns
    assert download(server.url("a.tar"), tmp_path) == path
    assert path.stat().st_mtime_ns == written
    assert [method for method, _, _ in server.requests] == ["GET", "HEAD", "GET"]


def test_a_cut_connection_is_taken_up_where_it_broke_off(server: ShardServer, tmp_path: Path) -> None:
    server.cuts = [1_500_000, 100]
    assert download(server.url("a.tar"), tmp_path).read_bytes() == CONTENT
    assert server.asked() == ["", "bytes=1500000-", "bytes=1500100-"]


def test_a_cut_is_survived_by_servers_without_ranges_too(server: ShardServer, tmp_path: Path) -> None:
    server.knows_ranges, server.cuts = False, [1_500_000, 700_000]
    assert download(server.url("a.tar"), tmp_path).read_bytes() == CONTENT


def test_a_reset_connection_is_taken_up_too(server: ShardServer, tmp_path: Path) -> None:
    server.cuts, server.resets = [1_500_000], True
    assert download(server.url("a.tar"), tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_cut_for_ever_is_one_message_with_the_address(server: ShardServer, tmp_path: Path) -> None:
    server.cuts = [1000] * 20
    words = (f"the connection was cut, after {MAX_RESUMES} further tries", "at byte 6,000")
    with nothing_kept(tmp_path / "new", *words, value=server.url("a.tar")):
        download(server.url("a.tar?signature=secret"), tmp_path / "new")
    assert len(server.requests) == 1 + MAX_RESUMES


def test_cuts_far_apart_are_not_added_up(server: ShardServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "PROGRESS_BYTES", 1000)
    server.cuts = [1000] * 20
    assert download(server.url("a.tar"), tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == 21
    server.cuts = [1500] + [100] * 20
    with nothing_kept(tmp_path / "new", "after 5 further tries, at byte 2,000"):
        download(server.url("a.tar?b"), tmp_path / "new")


def test_a_file_that_changes_while_it_is_read_is_refused(server: ShardServer, tmp_path: Path) -> None:
    with ResumingStream(server.url("a.tar")) as stream:
        server.version = "2"
        stream._response.close()
        with refused("--data.name_or_path", "has changed"):
            stream.read(10)


def test_a_busy_server_is_waited_for_but_not_for_ever(
    server: ShardServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(downloads.time, "sleep", waits.append)
    server.statuses = [503, 429]
    assert download(server.url("a.tar"), tmp_path / "good").read_bytes() == CONTENT
    assert waits == [0.001, 0.002]
    server.statuses = [503] * 20
    with nothing_kept(tmp_path / "bad", "answers 503 Service Unavailable, after 5 further tries"):
        download(server.url("a.tar?b"), tmp_path / "bad")


@pytest.mark.parametrize(
    ("status", "remedy"), [(404, "check the address"), (403, "no token is ever sent"), (418, "by other means")]
)
def test_refusals_say_what_to_do(server: ShardServer, tmp_path: Path, status: int, remedy: str) -> None:
    server.statuses = [status]
    with nothing_kept(tmp_path, f"the server answers {status}", value=server.url("a.tar"), remedy=remedy):
        download(server.url("a.tar?key=secret"), tmp_path)
    assert len(server.requests) == 1


def test_a_connection_that_fails_and_one_that_is_silent(
    server: ShardServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never answers
        port = silent.getsockname()[1]
        with nothing_kept(tmp_path, "no answer within 0.05 s", remedy="check the address"):
            download(f"http://127.0.0.1:{port}/a.tar", tmp_path)
    with nothing_kept(tmp_path, "Connection refused", remedy="check the address"):
        download(f"http://127.0.0.1:{port}/a.tar", tmp_path)


def test_redirects_stay_with_http_and_keep_the_range(server: ShardServer, tmp_path: Path) -> None:
    server.redirects["moved.tar"] = server.url("a.tar")
    with ResumingStream(server.url("moved.tar"), offset=len(CONTENT) - 3) as stream:
        assert stream.read() == CONTENT[-3:]
    path = download(server.url("moved.tar"), tmp_path)
    assert download(server.url("moved.tar"), tmp_path) == path
    assert [method for method, _, _ in server.requests] == ["GET"] * 4 + ["HEAD"] * 2


@pytest.mark.parametrize("target", ["file://{secret}", "ftp://127.0.0.1/a.tar", "{loop}"])
def test_redirects_elsewhere_are_refused(server: ShardServer, tmp_path: Path, target: str) -> None:
    (tmp_path / "secret").write_text("mine")
    server.redirects["a.tar"] = target.format(secret=tmp_path / "secret", loop=server.url("a.tar"))
    with nothing_kept(tmp_path / "new", "302 Found: a redirect in a circle, or to an address that is not http(s)"):
        download(server.url("a.tar"), tmp_path / "new")


def test_no_password_is_sent_or_shown(server: ShardServer, tmp_path: Path) -> None:
    with nothing_kept(tmp_path, "user name or password, and none is ever sent", value=server.url("a.tar")):
        download(server.url("a.tar").replace("//", "//me:secret@"), tmp_path)
    assert server.requests == []
    assert without_secrets("https://me:se?cret@host:1/a.tar?key=b#c") == "https://host:1/a.tar"
    download(server.url("a.tar"), tmp_path)
    assert set(server.headers[0]) == {"accept-encoding", "host", "user-agent", "connection"}


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/a.tar", "http://", "http://127.0.0.1:x/a.tar", "http://[a.tar"])
def test_addresses_that_are_none(tmp_path: Path, url: str) -> None:
    with nothing_kept(tmp_path, "not a valid http(s) address"):
        download(url, tmp_path)


def test_letters_that_addresses_can_not_hold_are_quoted(server: ShardServer, tmp_path: Path) -> None:
    server.files["gr%C3%BCn%20b.tar"] = b"green"
    path = download(server.url("grün b.tar"), tmp_path)
    assert path.read_bytes() == b"green"
    assert path.name.endswith("-gr_n_b.tar")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_nothing(
    server: ShardServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def full(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", full)
    with refused("--data.cache_dir", "no space is left", value=tmp_path):
        download(server.url("a.tar"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_none(server: ShardServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with refused("--data.cache_dir", "File exists", remedy="give another folder"):
        download(server.url("a.tar"), tmp_path / "file")
