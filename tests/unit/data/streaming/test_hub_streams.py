"""Streams of Hub datasets, by the real clients in a process of their own, from a Hub on loopback."""

import itertools
import json
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.hub_server import LoopbackHub
from tests.tiny_datasets import make_minds14_like, make_scripted_minds14
from tests.unit.data.shard_server import clip

REPOSITORY = Path(__file__).parents[4]

CLIENT = """
import json, sys, time, zlib
time.sleep = lambda seconds: None  # the clients wait between their tries
from accel_asr.data.reading.rows import RowColumns
from accel_asr.data.streaming.shards import open_shards
from accel_asr.data.reading.sources import SourceName, read_source
from accel_asr.errors import UserError
for line in sys.stdin:
    asked = json.loads(line)
    name = SourceName(**{**asked["name"], "columns": RowColumns(**asked["name"].get("columns", {}))})
    try:
        if asked["downloads"]:
            source = read_source(name)
            audios = [source.dataset_audio.get(row.audio.row) for row in source.rows]
            rows = [[[row.utterance_id, zlib.crc32(audio), row.text, 0] for row, audio in zip(source.rows, audios)]]
            answer = {"rows": rows, "notices": source.notices}
        else:
            shards = open_shards(name)
            rows = [
                [[row.utterance_id, zlib.crc32(row.audio), row.text, place] for row, place in shards.rows(shard, place)]
                for shard in range(len(shards)) for place in [asked["place"]]
            ]
            answer = {"rows": rows, "notices": shards.notices, "checksum": shards.checksum}
    except UserError as error:
        answer = {"error": str(error), "settings": [single.setting for single in error.errors]}
    print(json.dumps(answer), flush=True)
"""


class Client:
    """A process that streams and downloads on request."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def __call__(self, name: str, *, downloads: bool = False, place: int = 0, **more: Any) -> dict[str, Any]:
        """`rows` by shard, each (id, checksum of its audio, text, place after it), and `notices`; or `error`."""
        source = {"name_or_path": name, "text_column": "transcription", **more}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"name": source, "downloads": downloads, "place": place}) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackHub]:
    """`lab/speech` has three Parquet files, of 4, 5 and 1 rows; the others are told apart by their traps."""
    folder = tmp_path_factory.mktemp("hub")
    speech = make_minds14_like(folder / "speech", rows=10)
    whole = pq.read_table(speech / "en-US" / "train-00000-of-00001.parquet")
    (speech / "en-US" / "train-00000-of-00001.parquet").unlink()
    for number, (first, stop) in enumerate([(0, 4), (4, 9), (9, 10)]):
        pq.write_table(whole.slice(first, stop - first), speech / "en-US" / f"train-{number:05d}-of-00003.parquet")
    with LoopbackHub(folder / "published") as hub:
        hub.add_repository("dataset", "lab/speech", speech)
        renamed = whole.slice(0, 4).select(["audio", "transcription"]).rename_columns(["Audio", "sentence"])
        (folder / "renamed").mkdir()
        pq.write_table(renamed.replace_schema_metadata(None), folder / "renamed" / "train.parquet")
        hub.add_repository("dataset", "lab/renamed", folder / "renamed")
        hub.add_repository("dataset", "lab/private", speech, private=True)
        for status in (401, 404, 500):
            hub.add_repository("dataset", f"lab/fresh-{status}", speech)
        hub.add_repository(
            "dataset", "PolyAI/minds14", make_scripted_minds14(folder / "scripted", rows=3, other_rows=2)
        )
        hub.add_repository(
            "dataset", "lab/named", parquet_of(folder / "named", ["hf://datasets/lab/files@main/one.wav"])
        )
        (folder / "files").mkdir()
        (folder / "files" / "one.wav").write_bytes(clip(1))
        hub.add_repository("dataset", "lab/files", folder / "files")
        secret = folder / "secret.wav"
        secret.write_bytes(clip(2))
        for number, path in enumerate(
            [str(secret), f"file://{secret}", f"file://{secret}::hf://x", f"{hub.url}/x.wav"]
        ):
            hub.add_repository("dataset", f"lab/elsewhere-{number}", parquet_of(folder / f"{number}", [path]))
        texts = pa.table({"audio": ["clips/1.wav"], "transcription": ["one"]})
        (folder / "paths").mkdir()
        pq.write_table(texts, folder / "paths" / "train.parquet")
        hub.add_repository("dataset", "lab/paths", folder / "paths")
        (folder / "folder" / "train").mkdir(parents=True)
        (folder / "folder" / "train" / "1.wav").write_bytes(clip(1))
        (folder / "folder" / "train" / "metadata.csv").write_text("file_name,transcription\n1.wav,one\n")
        hub.add_repository("dataset", "lab/folder", folder / "folder")
        yield hub


def parquet_of(folder: Path, paths: list[str]) -> Path:
    """A repository whose rows name their audio and do not hold it."""
    table = pq.read_table(
        make_minds14_like(folder / "whole", rows=len(paths)) / "en-US" / "train-00000-of-00001.parquet"
    )
    audio = pa.array([{"bytes": None, "path": path} for path in paths], table.schema.field("audio").type)
    (folder / "repository").mkdir()
    number = table.schema.get_field_index("audio")
    pq.write_table(table.set_column(number, table.schema.field(number), audio), folder / "repository" / "train.parquet")
    return folder / "repository"


@pytest.fixture(scope="module")
def client(hub: LoopbackHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    home = tmp_path_factory.mktemp("home")
    env = {**hub.env(home, logged_in=False), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", CLIENT]
    with (home / "stderr").open("w") as errors:
        process = subprocess.Popen(
            command, env=env, cwd=home, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        try:
            yield Client(process)
        finally:
            process.kill()
            process.communicate()


@pytest.fixture(autouse=True)
def healed(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "hub" in request.fixturenames:
        request.getfixturevalue("hub").heal()


def without_places(rows: list[list[Any]]) -> list[list[Any]]:
    return [[checksum, text] for _, checksum, text, _ in rows]


def test_streamed_rows_are_those_downloaded_with_their_audio_as_it_is_stored(client: Client) -> None:
    streamed = client("lab/speech", subset="en-US")
    assert [len(rows) for rows in streamed["rows"]] == [4, 5, 1]  # each Parquet file is a shard
    together = list(itertools.chain(*streamed["rows"]))
    downloaded = client("lab/speech", subset="en-US", downloads=True)
    assert without_places(together) == without_places(downloaded["rows"][0])
    ids = [name for name, *_ in together]
    assert ids[3:5] == ["train-00000-0000003", "train-00001-0000000"]
    assert len(set(ids)) == 10
    assert [place for *_, place in streamed["rows"][1]] == [1, 2, 3, 4, 5]


def test_a_shard_is_gone_on_with_from_a_rows_number(client: Client) -> None:
    whole = client("lab/speech", subset="en-US")["rows"]
    for place in (1, 3, 4):
        assert client("lab/speech", subset="en-US", place=place)["rows"] == [rows[place:] for rows in whole]


def test_nothing_is_kept_of_what_is_streamed(hub: LoopbackHub, client: Client) -> None:
    client("lab/speech", subset="en-US")
    before = len(hub.requested("train-00001", method="GET"))
    client("lab/speech", subset="en-US")
    assert len(hub.requested("train-00001", method="GET")) > before


def test_a_loading_script_is_streamed_from_its_parquet_copy_by_subset(client: Client) -> None:
    german = client("PolyAI/minds14", subset="de-DE")
    assert [len(rows) for rows in german["rows"]] == [2]
    assert "holds a loading script, which is not run" in german["notices"][0]
    assert [len(rows) for rows in client("PolyAI/minds14", subset="en-US")["rows"]] == [3]
    assert client("PolyAI/minds14")["settings"] == ["--data.subset"]


def test_audio_that_a_row_names_is_read_from_the_hub_and_from_nowhere_else(hub: LoopbackHub, client: Client) -> None:
    assert [checksum for _, checksum, *_ in client("lab/named")["rows"][0]] == [zlib.crc32(clip(1))]
    for number in range(4):
        answer = client(f"lab/elsewhere-{number}")
        assert answer["settings"] == ["--data.audio_column"]
        assert "row train-00000-0000000 holds" in answer["error"]
    assert not hub.requested("x.wav")
    assert "holds 'clips/1.wav'" in client("lab/paths")["error"]


def test_bare_audio_files_are_answered_with_how_to_get_them(client: Client) -> None:
    answer = client("lab/folder")
    assert answer["settings"] == ["--data.name_or_path"]
    assert "hf download lab/folder --repo-type dataset --local-dir <folder>" in answer["error"]


HUB_SETTINGS = "--data.subset, --data.train_split, --data.eval_split"


@pytest.mark.parametrize(
    ("options", "setting", "words"),
    [
        ({"text_column": "sentence"}, "--data.text_column", "the columns are: path, audio, tran"),
        ({"audio_column": "clip"}, "--data.audio_column", "the columns are: path, audio, tran"),
        ({"columns": {"task": "kind"}}, "--data.task_column", "'kind'"),
        ({"columns": {"prompt": "before"}}, "--data.prompt_column", "'before'"),
        ({"columns": {"language": "lang"}}, "--data.language_column", "'lang'"),
        ({"subset": "en-XX"}, HUB_SETTINGS, "BuilderConfig 'en-XX'"),
        ({"split": "test"}, HUB_SETTINGS, "Bad split: test"),
        ({"revision": "v9"}, "--data.name_or_path", "'lab/speech'"),
    ],
)
def test_missing_parts_of_a_dataset_are_refused(
    client: Client, options: dict[str, Any], setting: str, words: str
) -> None:
    answer = client("lab/speech", **{"subset": "en-US", **options})
    assert answer["settings"] == [setting]
    assert words in answer["error"]


def test_columns_are_found_under_the_names_that_indexed_sources_know(client: Client) -> None:
    named = client("lab/speech", subset="en-US")
    usual = client("lab/renamed", text_column="text")  # its columns are Audio and sentence
    downloaded = client("lab/renamed", text_column="text", downloads=True)
    assert without_places(list(itertools.chain(*usual["rows"]))) == without_places(downloaded["rows"][0])
    assert without_places(usual["rows"][0]) == without_places(named["rows"][0])
    assert any("took 'sentence'" in notice for notice in usual["notices"])


def test_the_usual_language_column_need_not_be_there(client: Client) -> None:
    assert client("lab/speech", subset="en-US", columns={"language": "language"})["rows"]


@pytest.mark.parametrize("status", [401, 404, 500])
@pytest.mark.parametrize(("name", "match"), [("lab/speech", "train-00001"), ("lab/fresh-{}", "datasets/lab/fresh-{}")])
def test_a_hub_that_refuses_or_fails_is_one_message(
    hub: LoopbackHub, client: Client, status: int, name: str, match: str
) -> None:
    # in the midst of it, and before the clients have learnt which files there are
    hub.fail(next=10_000, status=status, match=match.format(status))
    answer = client(name.format(status), subset="en-US")
    assert answer["settings"] == ["--data.name_or_path"]
    assert name.format(status) in answer["error"]
    assert "\n" not in answer["error"]


@pytest.mark.parametrize("name", ["lab/private", "lab/none"])
def test_a_dataset_that_the_hub_does_not_show_is_named_with_the_log_in(client: Client, name: str) -> None:
    assert "log in with `hf auth login`" in client(name, subset="en-US")["error"]


def test_subset_commit_and_columns_are_part_of_the_checksum(client: Client) -> None:
    def checksum(name: str = "lab/speech", **more: str) -> int:
        return client(name, **{"subset": "en-US", **more})["checksum"]

    asked = [{}, {"subset": "de-DE"}, {"text_column": "english_transcription"}]
    assert len({checksum(**more) for more in asked}) == 3
    assert checksum(revision="main") == checksum()  # the same commit by another name
