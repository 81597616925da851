"""WebDataset shards: names of many, members of one key, damage; indexed or streamed."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile as sf

from accel_asr.audio.decoding import ByteRange
from accel_asr.data.reading import downloads
from accel_asr.data.reading.shard_names import expand_shards, is_shard_pattern
from accel_asr.data.reading.tar_shards import Sample, iterate_tar_shard, read_tar_shards
from accel_asr.errors import UserError
from tests.unit.data.shard_server import ShardServer, add, clip, write_tar

TWO = {"a.wav": clip(0), "a.txt": "one\n", "b.json": {"text": "two", "speaker": "s1"}, "b.flac": clip(1)}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ShardServer]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(downloads, "FIRST_WAIT_S", 0.001)
    with ShardServer() as server:
        yield server


def refusal(function: Any, *arguments: Any, **options: Any) -> str:
    """The message with which a function refuses a source."""
    with pytest.raises(UserError) as caught:
        function(*arguments, **options)
    assert caught.value.setting == "--data.name_or_path"
    return str(caught.value)


def stream_refusal(location: Path | str, **options: Any) -> str:
    return refusal(lambda: list(iterate_tar_shard(str(location), **options)))


# -- names


@pytest.mark.parametrize(
    "name",
    [
        "a.tar",
        "data/shard-{000..012}.tar",
        "{a,b}.tar",
        "{a.tar,b.tar}",
        "shards/*.tar",
        "https://host/shard-{0..9}.tar",
        "http://host/a.tar?signature=x.csv",
    ],
)
def test_names_of_shards(name: str) -> None:
    assert is_shard_pattern(name)


@pytest.mark.parametrize(
    "name", ["org/name", "clips.csv", "folder", "https://host/a.csv?b=c.tar", "mytar", "quickstart"]
)
def test_names_of_other_sources(name: str, tmp_path: Path) -> None:
    assert not is_shard_pattern(name)
    (tmp_path / "a.tar").mkdir()  # a folder may have any name
    assert not is_shard_pattern(str(tmp_path / "a.tar"))


@pytest.mark.parametrize("name", ["pipe:cat a.tar", "s3://bucket/a.tar", "file:///data/a.tar", "gs://b/x-{0..1}.tar"])
def test_pipes_and_other_schemes_are_refused(name: str) -> None:
    assert "give local files or http(s) addresses" in refusal(is_shard_pattern, name)


@pytest.mark.parametrize("name", ["a.tar.gz", "a-{0..1}.tgz", "https://host/a.tar.zst?x=y", "{a.tgz,b.tgz}"])
def test_compressed_tars_are_refused_with_how_to_unpack(name: str) -> None:
    assert "unpack it with `gunzip" in refusal(is_shard_pattern, name)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("s-{8..11}.tar", ["s-8.tar", "s-9.tar", "s-10.tar", "s-11.tar"]),
        ("s-{08..11}.tar", ["s-08.tar", "s-09.tar", "s-10.tar", "s-11.tar"]),
        ("s-{000..001}.tar", ["s-000.tar", "s-001.tar"]),
        ("{b,a}-{0..1}.tar", ["b-0.tar", "b-1.tar", "a-0.tar", "a-1.tar"]),
    ],
)
def test_braces_keep_their_order_and_zeros(pattern: str, names: list[str], tmp_path: Path) -> None:
    assert expand_shards(f"https://host/{pattern}?k=1") == [f"https://host/{name}?k=1" for name in names]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    assert expand_shards(str(tmp_path / pattern)) == [str(tmp_path / name) for name in names]


def test_globs_are_sorted_and_go_with_braces(tmp_path: Path) -> None:
    for name in ("z/2.tar", "z/10.tar", "a/3.tar", "a/3.txt", "odd[1].tar", "odd{.tar"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = expand_shards(str(tmp_path / "{z,a}" / "*.tar"))
    assert found == [str(tmp_path / name) for name in ("z/10.tar", "z/2.tar", "a/3.tar")]
    for name in ("odd[1].tar", "odd{.tar"):
        assert expand_shards(str(tmp_path / name)) == [str(tmp_path / name)]


@pytest.mark.parametrize(
    "inside", ["{000..}", "{..2}", "{2..0}", "{a..c}", "{0..4..2}", "{a}", "{}", "{a,}", "{0..1", "0}", "{a,{b,c}}"]
)
def test_malformed_braces_are_refused(inside: str) -> None:
    assert "malformed braces" in refusal(expand_shards, f"s-{inside}.tar")


def test_more_shards_than_anyone_has_are_refused() -> None:
    assert "of at most 100,000" in refusal(expand_shards, "s-{0..999999999999}.tar")
    assert "names 1,000,000 shards" in refusal(expand_shards, "s-{0..999}-{0..999}.tar")


def test_missing_shards_are_counted_and_the_first_are_named(tmp_path: Path) -> None:
    (tmp_path / "s-3.tar").write_bytes(b"")
    message = refusal(expand_shards, str(tmp_path / "s-{0..9}.tar"))
    assert "9 of the 10 names" in message
    assert "s-0.tar', " in message
    assert "s-3" not in message
    assert "and 4 more" in message
    assert "1 of the 1 names" in refusal(expand_shards, str(tmp_path / "t-*.tar"))
    assert "can't be searched with *" in refusal(expand_shards, "https://host/*.tar")


# -- members


@pytest.mark.parametrize("format_", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_each_key_is_a_row_with_its_audio_where_it_lies(tmp_path: Path, format_: int) -> None:
    folder = "very/long/" * 9
    members = {f"{folder}{name}": content for name, content in TWO.items()} | {"grün/c.WAV": clip(2), "grün/c.txt": "x"}
    shard = write_tar(tmp_path / "s.tar", members, format_=format_)
    table, notices = read_tar_shards([shard])
    assert list(table) == ["key", "audio", "text", "speaker"]
    assert table["key"] == [f"{folder}a", f"{folder}b", "grün/c"]
    assert table["text"] == ["one", "two", "x"]
    assert table["speaker"] == [None, "s1", None]
    assert notices == []
    for number, audio in enumerate(table["audio"]):
        assert isinstance(audio, ByteRange)
        assert audio.read() == clip(number)
        assert sf.info(io.BytesIO(audio.read())).frames == 800
    assert streamed(shard) == list(zip(table["key"], map(clip, range(3)), table["text"], strict=True))


def streamed(location: Path | str, **options: Any) -> list[tuple[str, bytes, Any]]:
    return [(sample.key, sample.audio, sample.fields["text"]) for sample in iterate_tar_shard(str(location), **options)]


def test_the_key_ends_at_the_first_dot_of_the_last_name(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "s.tar", {"v1.0/a.wav": clip(0), "v1.0/a.seg.json": {}, "v1.0/a.txt": "one"})
    table, notices = read_tar_shards([shard])
    assert (table["key"], table["text"]) == (["v1.0/a"], ["one"])
    assert notices == ["other members, ignored: 1 ('v1.0/a.seg.json' in s.tar)"]


def test_what_is_not_used_is_counted_and_named(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        add(tar, "folder", b"", type=tarfile.DIRTYPE)
        for name in (
            "README",
            ".hidden.wav",
            "a.wav",
            "a.mp3",
            "a.txt",
            "a.txt",
            "a.png",
            "b.png",
            "lost.txt",
            "mute.wav",
        ):
            add(tar, name, clip(0) if name.endswith("wav") else "x")
        add(tar, "link.wav", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        add(tar, "hard.wav", b"", type=tarfile.LNKTYPE, linkname="a.wav")
        add(tar, "pipe.wav", b"", type=tarfile.FIFOTYPE)
        add(tar, "gaps.wav", clip(0), type=tarfile.GNUTYPE_SPARSE)
        add(tar, "c.json", {"text": "y", "audio": {"path": "c.wav"}, "key": 7})
        add(tar, "c.wav", clip(1))
        add(tar, "c.txt", "x")
        add(tar, "a.wav", clip(2))
    table, notices = read_tar_shards([tmp_path / "s.tar"])
    assert table["key"] == ["a", "mute", "c", "a#2"]
    assert table["text"] == ["x", None, "x", None]
    assert table["audio"][3].read() == clip(2)
    assert notices == [
        "other members, ignored: 4 ('README' in s.tar, '.hidden.wav' in s.tar, 'a.png' in s.tar, 'b.png' in s.tar)",
        "second audio members of a key, the first was taken: 1 ('a.mp3' in s.tar)",
        "duplicates of a member, the first was taken: 1 ('a.txt' in s.tar)",
        "keys without audio, ignored: 1 ('lost' in s.tar)",
        "links, devices and sparse files, never followed: 4 "
        "('link.wav' in s.tar, 'hard.wav' in s.tar, 'pipe.wav' in s.tar, 'gaps.wav' in s.tar)",
        "keys without text (no .txt, no field 'text' in a .json): 2 ('mute' in s.tar, 'a' in s.tar)",
        "texts that differ between .txt and .json, the .txt was taken: 1 ('c' in s.tar)",
        "fields 'key' of .json members, ignored for the column of that name: 1 ('c' in s.tar)",
        "fields 'audio' of .json members, ignored for the column of that name: 1 ('c' in s.tar)",
        "keys that come again, apart from their first members; sort the tar: 1 ('a' in s.tar)",
    ]


def test_keys_of_several_shards_are_named_with_their_shard(tmp_path: Path) -> None:
    shards = [tmp_path / name for name in ("one.tar", "two.tar", "sub/two.tar")]
    shards[2].parent.mkdir()
    for number, shard in enumerate(shards):
        write_tar(shard, {"a.wav": clip(number), f"only-{number}.wav": clip(3)})
    table, notices = read_tar_shards(shards)
    assert table["key"] == ["one/a", "only-0", "two/a", "only-1", "two/a#2", "only-2"]
    assert [audio.read() for audio in table["audio"][::2]] == [clip(0), clip(1), clip(2)]
    assert "keys of several shards, named with their shard: 3 ('a' in one.tar, " in notices[-1]


# -- damage


def test_malformed_members_are_told_together(tmp_path: Path) -> None:
    bad = {"a.wav": b"", "a.json": "{", "b.wav": b"", "b.txt": b"\xff", "c.wav": b"", "c.json": "[1]", "d.wav": b""}
    shards = [write_tar(tmp_path / "s.tar", bad | {"d.json": "[" * 100_000}), tmp_path / "absent.tar"]
    message = refusal(read_tar_shards, shards)
    assert "5 shards or members can't be read: s.tar: 'a.json': " in message
    assert "s.tar: 'b.txt': 'utf-8' codec can't decode" in message
    assert "s.tar: 'c.json': it is JSON, but not an object" in message
    assert "s.tar: 'd.json': " in message
    assert "No such file" in message
    assert f"{shards[0]}: 'a.json': " in stream_refusal(shards[0])


def test_json_of_what_is_no_recording_is_not_judged(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "s.tar", {"info.json": "[1]", **TWO})
    assert read_tar_shards([shard])[0]["key"] == ["a", "b"]


def test_names_that_are_not_utf_8_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "s.tar", "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as tar:
        add(tar, "grün.wav", clip(0))
    assert r"'gr\udcfcn.wav': its name is not UTF-8" in refusal(read_tar_shards, [tmp_path / "s.tar"])
    assert r"'gr\udcfcn.wav': its name is not UTF-8" in stream_refusal(tmp_path / "s.tar")


def cut_points() -> list[tuple[str, int, bool]]:
    """Where `TWO` may be cut: what for, how many bytes are left, and whether that is well."""
    offsets = {}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in TWO.items():
            offsets[name] = tar.offset
            add(tar, name, content)
        end = tar.offset
    last = offsets["b.flac"]
    return [
        ("nothing", len(buffer.getvalue()), True),
        ("one end block", end + 512, True),
        ("half an end block", end + 100, True),
        ("both end blocks", end, True),
        ("padding", end - 1, False),
        ("audio", last + 512 + 700, False),
        ("all of the audio", last + 512, False),
        ("half a header", last + 100, False),
        ("text", offsets["a.txt"] + 514, False),
        ("half of the first header", 100, False),
        ("all", 0, False),
    ]


@pytest.mark.parametrize(("what", "left", "is_well"), cut_points(), ids=[what for what, _, _ in cut_points()])
def test_a_cut_tar_is_refused_unless_it_lacks_only_its_end(
    tmp_path: Path, server: ShardServer, what: str, left: int, is_well: bool
) -> None:
    shard = write_tar(tmp_path / "s.tar", TWO, format_=tarfile.USTAR_FORMAT)
    shard.write_bytes(shard.read_bytes()[:left])
    server.files["s.tar"] = shard.read_bytes()
    if is_well:
        assert read_tar_shards([shard])[0]["key"] == ["a", "b"]
        assert [key for key, _, _ in streamed(shard)] == ["a", "b"]
        assert [key for key, _, _ in streamed(server.url("s.tar"))] == ["a", "b"]
        return
    messages = [refusal(read_tar_shards, [shard]), stream_refusal(shard)]
    if left:
        messages.append(stream_refusal(server.url("s.tar")))
    for message in messages:
        assert "s.tar" in message
        assert ("byte " in message and "cut" in message) if left > 512 else "not an uncompressed tar" in message


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "s.tar", TWO, format_=tarfile.USTAR_FORMAT)
    content = bytearray(shard.read_bytes())
    at_byte = content.index(b"a.txt\0")
    content[at_byte] = ord("A")  # the checksum no longer fits
    shard.write_bytes(content)
    words = f"cut or damaged at byte {at_byte:,}, after 'a.wav', whose header is at byte 0: no header is there"
    assert words in refusal(read_tar_shards, [shard])
    assert words in stream_refusal(shard)


def test_a_header_that_leads_backwards_ends_the_reading(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "s.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        add(tar, "a.wav", clip(0))
        member = tarfile.TarInfo("b.wav")
        member.size = -4096
        tar.fileobj.write(member.tobuf(tarfile.GNU_FORMAT))
        tar.fileobj.write(bytes(1024))
    message = refusal(read_tar_shards, [tmp_path / "s.tar"])
    assert "'b.wav' has a negative size" in message or "cut or damaged at byte 2,560, after 'a.wav'" in message  # 3.14


def test_tars_that_were_joined_are_told(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "s.tar", TWO)
    shard.write_bytes(shard.read_bytes() * 2)
    table, notices = read_tar_shards([shard])
    assert table["key"] == ["a", "b"]
    assert notices[0].startswith("data after the end of the archive, not read")


def test_other_files_and_tars_without_audio_are_refused(tmp_path: Path) -> None:
    (tmp_path / "s.tar").write_bytes(b"\x1f\x8b" * 2000)
    assert "not an uncompressed tar" in refusal(read_tar_shards, [tmp_path / "s.tar"])
    write_tar(tmp_path / "t.tar", {"a.v2.wav": clip(0)})
    message = refusal(read_tar_shards, [tmp_path / "t.tar"])
    assert "no audio in " in message
    assert "other members, ignored: 1 ('a.v2.wav' in t.tar)" in message


# -- streams


def sample_shard(tmp_path: Path) -> tuple[Path, list[Sample]]:
    members: dict[str, Any] = {}
    for number in range(6):
        members |= {f"{'long/' * 30}{number}.wav": clip(number), f"{'long/' * 30}{number}.txt": str(number)}
    shard = write_tar(tmp_path / "s.tar", members, format_=tarfile.PAX_FORMAT)
    return shard, list(iterate_tar_shard(str(shard)))


def test_a_stream_goes_on_from_any_sample(tmp_path: Path, server: ShardServer) -> None:
    shard, samples = sample_shard(tmp_path)
    assert len(samples) == 6
    server.files["s.tar"] = shard.read_bytes()
    for location in (str(shard), server.url("s.tar")):
        for number, sample in enumerate(samples, start=1):
            assert list(iterate_tar_shard(location, offset=sample.next_offset)) == samples[number:]
    assert server.asked() == [f"bytes={sample.next_offset}-" for sample in samples]


def test_a_stream_goes_on_from_the_last_sample_of_a_tar_without_end(tmp_path: Path, server: ShardServer) -> None:
    shard, samples = sample_shard(tmp_path)
    with tarfile.open(shard) as tar:
        tar.getmembers()
        assert samples[-1].next_offset == tar.offset
    server.files["s.tar"] = shard.read_bytes()[: samples[-1].next_offset]
    shard.write_bytes(server.files["s.tar"])
    for location in (str(shard), server.url("s.tar")):
        assert list(iterate_tar_shard(location)) == samples
        assert list(iterate_tar_shard(location, offset=samples[-1].next_offset)) == []


def test_an_offset_where_nothing_starts_is_refused(tmp_path: Path, server: ShardServer) -> None:
    shard, samples = sample_shard(tmp_path)
    server.files["s.tar"] = shard.read_bytes()
    for location in (str(shard), server.url("s.tar")):
        assert "no member starts at byte" in stream_refusal(location, offset=samples[0].next_offset + 700)
        assert "no" in stream_refusal(location, offset=10**7)
    assert "has no byte 10,000,000" in stream_refusal(shard, offset=10**7)
    for server.knows_ranges in (True, False):
        assert "has no byte 10,000,000" in stream_refusal(server.url("s.tar"), offset=10**7)


def test_a_server_without_ranges_is_read_from_the_start(tmp_path: Path, server: ShardServer) -> None:
    shard, samples = sample_shard(tmp_path)
    server.files["s.tar"], server.knows_ranges = shard.read_bytes(), False
    offset = samples[2].next_offset
    server.cuts = [offset - 1000, offset + 5000]
    assert list(iterate_tar_shard(server.url("s.tar"), offset=offset)) == samples[3:]
    assert server.asked() == [f"bytes={offset}-", f"bytes={offset}-", f"bytes={offset + 5000}-"]


def test_a_cut_stream_is_taken_up_and_given_up(tmp_path: Path, server: ShardServer) -> None:
    shard, samples = sample_shard(tmp_path)
    server.files["s.tar"] = shard.read_bytes()
    server.cuts = [5000, 700, 0, 1, 3000]
    assert list(iterate_tar_shard(server.url("s.tar"))) == samples
    assert server.asked() == ["", "bytes=5000-", "bytes=5700-", "bytes=5700-", "bytes=5701-", "bytes=8701-"]
    server.cuts = [100] * 6
    message = stream_refusal(server.url("s.tar") + "?key=secret")
    assert f"{server.url('s.tar')!r}: can't be read: the connection was cut, after 5 further tries" in message
    assert "secret" not in message


def test_a_stream_that_is_not_there_is_refused(tmp_path: Path, server: ShardServer) -> None:
    assert "404 Not Found; check the address" in stream_refusal(server.url("b.tar"))
    assert "No such file" in stream_refusal(tmp_path / "b.tar")


def test_samples_come_while_the_shard_is_read(tmp_path: Path) -> None:
    shard, samples = sample_shard(tmp_path)
    shard.write_bytes(shard.read_bytes()[: samples[3].next_offset + 600])
    stream = iterate_tar_shard(str(shard))
    assert [next(stream) for _ in range(3)] == samples[:3]
    assert "cut or damaged" in refusal(list, stream)
