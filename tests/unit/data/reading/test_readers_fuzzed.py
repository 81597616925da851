"""Broken manifests and recordings, thousands of them: an answer or a refusal, never another error or a crash.

The cases are the same in every run. ACCEL_ASR_FUZZ_SEED draws others, ACCEL_ASR_FUZZ_TIMES as many times more.
"""

import io
import json
import os
import resource
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from accel_asr.audio.decoding import AudioError, decode, decode_native, probe
from accel_asr.audio.soundfile_decoding import MAX_LEVEL
from accel_asr.data.reading.sources import SourceName, read_source
from accel_asr.errors import UserError

RATE_HZ = 16_000
CASES = {"separated": 350, "json": 350, "parquet": 200, "bytes": 150, "soundfile": 900, "pyav": 250}
SEED = os.environ.get("ACCEL_ASR_FUZZ_SEED")
TIMES = int(os.environ.get("ACCEL_ASR_FUZZ_TIMES", "1"))
MAX_GROWTH_BYTES = 400 << 20
LONGEST_S = 3600  # of what is made from a file of a few kilobytes


def run_cases(name: str, check: Callable[..., None], *strategies: st.SearchStrategy) -> None:
    ran = 0

    @settings(
        max_examples=CASES[name] * TIMES,
        derandomize=SEED is None,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(st.tuples(*strategies))
    def cases(drawn: tuple[Any, ...]) -> None:
        nonlocal ran
        ran += 1
        check(*drawn)

    (cases if SEED is None else seed(int(SEED))(cases))()
    print(f"{name}: {ran:,} cases")
    assert ran >= CASES[name] * TIMES


def check_reason(error: Exception) -> None:
    assert 0 < len(str(error)) < 10_000


def test_there_are_two_thousand_cases() -> None:
    assert sum(CASES.values()) >= 2_000


# -- mutated bytes

SIZES = [0, 1, 8, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFE, 0x00FFFFFF, 0x7FFF]


@st.composite
def damaged(draw: st.DrawFn, originals: st.SearchStrategy[bytes], *, header_bytes: int = 120) -> bytes:
    """An original with up to four kinds of damage, half of it in its header, but seldom in its first word."""
    content = bytearray(draw(originals))
    for _ in range(draw(st.integers(0, 4))):
        last = max(len(content) - 1, 4)
        place = draw(st.integers(4, min(last, header_bytes)) | st.integers(0, last))
        damage = draw(st.sampled_from(["flip"] * 6 + ["size", "size", "cut", "splice", "remove", "append"]))
        if damage == "flip":
            content[place : place + 1] = bytes([draw(st.integers(0, 255))])
        elif damage == "size":
            order = draw(st.sampled_from(["little", "big"]))
            content[place : place + 4] = draw(st.sampled_from(SIZES)).to_bytes(4, order)
        elif damage == "cut":
            del content[place:]
        elif damage == "splice":
            other = draw(originals)
            begin = draw(st.integers(0, len(other)))
            content[place:place] = other[begin : begin + draw(st.integers(0, 3000))]
        elif damage == "remove":
            del content[place : place + draw(st.integers(1, 2000))]
        else:
            content += draw(st.binary(max_size=64))
    return bytes(content)


# -- manifests

NAMES = ["audio", "text", "file_name", "path", "sentence", "audio_filepath", "split", "start", "end", "offset",
         "duration", "speaker", "", "\ufeffaudio", "AUDIO"]  # fmt: skip
names = st.lists(st.sampled_from(NAMES) | st.text(max_size=5), min_size=1, max_size=5)
names = names.map(lambda more: [*dict.fromkeys(more), *["text"] * ("text" not in more)])
texts = st.text(max_size=12) | st.sampled_from(
    ["", " ", '"', 'a"b', "a.wav", "\0", "train", "1e999", "nan", "-1", "../x"]
)
numbers = st.integers() | st.floats() | st.sampled_from([10**30, 10**400, 1e308, -0.0, 2**63])
flat = st.none() | st.booleans() | numbers | texts
nested = st.recursive(flat, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))
audio_cells = flat | nested | st.fixed_dictionaries({}, optional={"path": flat | nested, "bytes": flat | nested})


def check_manifest(content: bytes, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"clips{suffix}"
        path.write_bytes(content)
        try:
            source = read_source(SourceName(str(path)))
        except UserError as error:
            check_reason(error)
            return
    assert source.rows
    for row in source.rows:
        assert row.text is None or row.text.encode() is not None
        assert row.utterance_id.encode()
        assert row.start_s is None or 0 <= row.start_s < 1e9
        assert row.end_s is None or (row.start_s or 0) < row.end_s < 2e9


@st.composite
def separated(draw: st.DrawFn) -> tuple[bytes, str]:
    suffix = draw(st.sampled_from([".csv", ".tsv"]))
    between = "," if suffix == ".csv" else "\t"
    header = draw(names)
    header = ["audio", *header] if draw(st.booleans()) and (draw(st.booleans()) or "audio" not in header) else header
    rows = [header]
    for _ in range(draw(st.integers(0, 4))):
        width = draw(st.sampled_from([len(header)] * 4 + [0, 1, len(header) + 1]))
        rows.append([draw(texts | numbers.map(lambda number: str(number)[:300])) for _ in range(width)])
    quoted = draw(st.booleans())
    cells = [['"' + cell.replace('"', '""') + '"' if quoted else cell for cell in row] for row in rows]
    text = draw(st.sampled_from(["\n", "\r\n", "\r", "\n\n"])).join(between.join(row) for row in cells)
    encoding = draw(
        st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1", "cp500"])
    )
    return text.encode(encoding, errors="replace"), suffix


@st.composite
def json_manifest(draw: st.DrawFn) -> tuple[bytes, str]:
    suffix = draw(st.sampled_from([".json", ".jsonl"]))
    records = []
    for _ in range(draw(st.integers(1, 3))):
        record = {"audio": draw(audio_cells), "text": draw(texts)} if draw(st.integers(0, 5)) else {}
        record |= {name: draw(flat | nested) for name in draw(st.just([]) | names)}
        line = json.dumps(record, ensure_ascii=draw(st.booleans()))
        trick = draw(st.sampled_from(["", "", "", "", "", "twice", "half", "deep", "long"]))
        if trick == "twice":
            line = line[:-1] + ', "text": "again"}'
        elif trick == "half":
            column = draw(st.sampled_from(["a", "path", "audio"]))
            line = r'{"audio": "a.wav", "text": "\ud83d", "other": "\udc80"}'.replace("other", column)
        elif trick == "deep":
            depth = draw(st.sampled_from([60, 70, 400, 900, 1100, 100_000]))
            column = draw(st.sampled_from(["audio", "text", "start", "split", "other"]))
            line = '{"audio": "a.wav", "text": "a", "' + column + '": ' + "[" * depth + "]" * depth + "}"
        elif trick == "long":
            digits = draw(st.sampled_from([300, 4000, 5000]))
            line = '{"audio": "a.wav", "text": "a", "start": ' + "9" * digits + "}"
        records.append(line)
    text = (
        "[" + ",".join(records) + "]"
        if draw(st.booleans())
        else draw(st.sampled_from(["\n", "\r\n", "\n\n"])).join(records)
    )
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1"]))
    return text.encode(
        encoding, errors=draw(st.sampled_from(["replace", "surrogatepass"])) if "utf" in encoding else "replace"
    ), suffix


PARQUET_COLUMNS = [
    {"audio": ["a.wav", "b.wav", None], "text": ["one", None, ""]},
    {"audio": [{"bytes": b"RIFF", "path": "a.wav"}, {"bytes": None, "path": "b"}], "text": ["one", "two"]},
    {"audio": [b"RIFF", None], "text": [1.5, float("nan")], "start": [0.5, float("nan")]},
    {"audio": ["a", "b"], "text": [["x"], None], "split": ["train", "test"]},
    {"file_name": ["a", "b"], "text": ["x", "y"], "end": [1, 2**60], "when": pa.array([0, 2**61], pa.timestamp("us"))},
    {"audio": ["a" * 300, "b"] * 200, "text": ["lang" * 9, "x"] * 200}
]  # fmt: skip


@cache
def parquet(number: int) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(PARQUET_COLUMNS[number]), file, compression=("snappy", "none", "zstd")[number % 3])
    return file.getvalue()


def test_tables_of_text() -> None:
    run_cases("separated", lambda made: check_manifest(*made), separated())


def test_json() -> None:
    run_cases("json", lambda made: check_manifest(*made), json_manifest())


def test_damaged_parquet() -> None:
    originals = st.sampled_from(range(len(PARQUET_COLUMNS))).map(parquet)
    run_cases("parquet", lambda content: check_manifest(content, ".parquet"), damaged(originals, header_bytes=1000))


def test_any_bytes() -> None:
    beginnings = [b"", b"audio,text\n", b"audio\ttext\n", b'{"audio": "a.wav", "text": "b"}\n', b'[{"audio":', b"PAR1"]
    contents = st.builds(lambda begin, more: begin + more, st.sampled_from(beginnings), st.binary(max_size=60))
    run_cases("bytes", check_manifest, contents, st.sampled_from([".csv", ".tsv", ".json", ".jsonl", ".parquet"]))


# -- recordings

SOUNDFILE_KINDS = [
    ("WAV", "PCM_16", 1), ("WAV", "PCM_24", 2), ("WAV", "PCM_U8", 1), ("WAV", "FLOAT", 2), ("WAV", "DOUBLE", 1),
    ("WAV", "ULAW", 1), ("WAV", "IMA_ADPCM", 1), ("WAV", "MS_ADPCM", 1), ("WAV", "GSM610", 1), ("WAVEX", "PCM_16", 2),
    ("RF64", "PCM_16", 1), ("W64", "PCM_16", 1), ("AIFF", "PCM_16", 1), ("AU", "PCM_16", 1), ("CAF", "PCM_16", 1),
    ("CAF", "ALAC_16", 1), ("NIST", "PCM_16", 1), ("FLAC", "PCM_16", 1), ("FLAC", "PCM_24", 2), ("OGG", "VORBIS", 1),
    ("OGG", "OPUS", 1), ("MP3", "MPEG_LAYER_III", 1), ("VOC", "PCM_16", 1), ("MAT5", "PCM_16", 1)
]  # fmt: skip
PYAV_KINDS = {"m4a": ("ipod", "aac"), "webm": ("webm", "libopus"), "aac": ("adts", "aac")}


def sound(channels: int) -> np.ndarray:
    time_s = np.arange(round(0.4 * RATE_HZ)) / RATE_HZ
    return np.stack([0.3 * np.sin(2 * np.pi * 300 * (channel + 1) * time_s) for channel in range(channels)], axis=1)


@cache
def with_soundfile(file_format: str, subtype: str, channels: int) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip"
        soundfile.write(path, sound(channels), RATE_HZ, format=file_format, subtype=subtype)
        return path.read_bytes()


@cache
def with_pyav(kind: str) -> bytes:
    av = pytest.importorskip("av")
    container_format, codec = PYAV_KINDS[kind]
    file = io.BytesIO()
    with av.open(file, "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=RATE_HZ, layout="mono")
        frame = av.AudioFrame.from_ndarray(sound(1).T.astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate = RATE_HZ
        resampler = av.AudioResampler(format=stream.codec_context.format, rate=stream.codec_context.sample_rate)
        for converted in (*resampler.resample(frame), *resampler.resample(None)):
            for packet in stream.encode(converted):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return file.getvalue()


parts = st.sampled_from(
    [{}, {}, {}, {"start_s": 0.1}, {"start_s": 0.1, "end_s": 0.2}, {"end_s": 1e308}, {"channel": 1}]
)


def check_recording(content: bytes, options: dict[str, float], *, as_path: bool, folder: Path) -> None:
    source: bytes | Path = content
    if as_path:
        source = folder / "clip"
        source.write_bytes(content)
    try:
        info = probe(source, **options)
    except AudioError as error:
        info = None
        check_reason(error)
    try:
        samples, rate_hz = decode_native(source, **options)
    except AudioError as error:
        check_reason(error)
        return
    assert info is not None, "probe refused what can be decoded"
    assert info.sampling_rate_hz == rate_hz
    assert abs(info.duration_s - len(samples) / rate_hz) < 0.6
    assert 0 < len(samples) < LONGEST_S * rate_hz
    for made in (samples, decode(source, sampling_rate_hz=RATE_HZ, **options)):
        assert made.dtype == np.float32
        assert made.ndim == 1
        assert np.isfinite(made).all()
        assert np.abs(made).max() <= 2 * MAX_LEVEL  # a resampler overshoots


@pytest.mark.parametrize(
    ("name", "originals"),
    [
        ("soundfile", st.sampled_from(SOUNDFILE_KINDS).map(lambda kind: with_soundfile(*kind))),
        ("pyav", st.sampled_from(sorted(PYAV_KINDS)).map(with_pyav)),
    ],
)
def test_damaged_recordings(tmp_path: Path, name: str, originals: st.SearchStrategy[bytes]) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def check(content: bytes, options: dict[str, float], as_path: bool) -> None:
        check_recording(content, options, as_path=as_path, folder=tmp_path)

    run_cases(name, check, damaged(originals), parts, st.booleans())
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < MAX_GROWTH_BYTES, f"{grown:,} bytes more memory than before"
