"""The loopback Hub against the real clients: what they do there is what our own tests will rely on.

Each client runs in a child process, because it reads HF_ENDPOINT when it is imported. A child's last line of output is
its answer.
"""

import base64
import json
import secrets
import subprocess
import sys
import textwrap
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.hub_server import LoopbackHub
from tests.tiny_datasets import make_minds14_like, make_scripted_minds14
from tests.tiny_models import make_tiny_whisper

pytestmark = pytest.mark.integration  # starts a process for each client
DEADLINE_S = 180  # against a hang: a client imports for ten seconds, several times that on a busy machine


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_whisper(tmp_path_factory.mktemp("model"), max_source_positions=100)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> Iterator[LoopbackHub]:
    folder = tmp_path_factory.mktemp("hub")
    with LoopbackHub(folder / "root") as hub:
        hub.add_repository("model", "openai/whisper-tiny", model_folder)
        hub.add_repository("model", "lab/gated", model_folder, gated=True)
        hub.add_repository("model", "lab/private", model_folder, private=True)
        hub.add_repository("dataset", "PolyAI/minds14", make_minds14_like(folder / "minds14"))
        hub.add_repository("dataset", "scripted/minds14", make_scripted_minds14(folder / "scripted"))
        yield hub


@pytest.fixture
def hub(served: LoopbackHub) -> Iterator[LoopbackHub]:
    served.requests.clear()
    yield served
    served.heal()


def run_client(hub: LoopbackHub, home: Path, program: str, *, logged_in: bool = True) -> Any:
    """Run the program in a fresh process and home, and return the JSON on its last line of output."""
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        check=False,
        env=hub.env(home, logged_in=logged_in),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout.splitlines()[-1])


# raised(action) -> the name of what it raised
RAISED = """
def raised(action):
    try:
        action()
    except Exception as error:
        return type(error).__name__
    return "nothing"
"""


# -- huggingface_hub


def test_snapshot_download_brings_every_file_as_it_is(hub: LoopbackHub, tmp_path: Path, model_folder: Path) -> None:
    answer = run_client(
        hub,
        tmp_path,
        """
        import json
        from huggingface_hub import snapshot_download
        print(json.dumps(snapshot_download("openai/whisper-tiny")))
        """,
    )
    snapshot = Path(answer)
    assert snapshot.name == hub.repository("model", "openai/whisper-tiny").commits[0].sha
    names = sorted(path.name for path in model_folder.iterdir())
    assert sorted(path.name for path in snapshot.iterdir()) == names
    assert all((snapshot / name).read_bytes() == (model_folder / name).read_bytes() for name in names)


PUBLISH = """
    import json, os, sys
    from pathlib import Path
    from huggingface_hub import HfApi

    api = HfApi()
    folder = Path(os.environ["HF_HOME"], "upload")
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("---\\nlicense: mit\\n---\\n# mine\\n")
    (folder / "model.safetensors").write_bytes(b"weights" * 10)
    name = f"{api.whoami()['name']}/mine"
    api.create_repo(name, private=True)
    api.create_repo(name, exist_ok=True)
    first = api.upload_folder(repo_id=name, folder_path=folder, commit_message="first").oid
    unchanged = api.upload_folder(repo_id=name, folder_path=folder, commit_message="nothing new").oid
    (folder / "README.md").write_text("# changed\\n")
    second = api.upload_folder(repo_id=name, folder_path=folder, commit_message="second").oid
    api.create_branch(name, branch="try/1")
    api.upload_file(repo_id=name, path_or_fileobj=b"log", path_in_repo="logs/a.txt", revision="try/1")
    api.delete_file("README.md", repo_id=name, revision="try/1")
    at_first = api.hf_hub_download(name, "README.md", revision=first)
    print(json.dumps({
        "commits": [first, unchanged, second],
        "read_back": Path(at_first).read_text(),
        "files": api.list_repo_files(name),
        "branch": sorted(entry.path for entry in api.list_repo_tree(name, recursive=True, revision="try/1")),
    }))
"""


@pytest.mark.parametrize("lfs_suffixes", [(), (".safetensors",)], ids=["regular", "lfs"])
def test_a_published_folder_lands_on_disk_and_is_served_again(tmp_path: Path, lfs_suffixes: tuple[str, ...]) -> None:
    with LoopbackHub(tmp_path / "root", lfs_suffixes=lfs_suffixes) as hub:
        answer = run_client(hub, tmp_path / "home", PUBLISH)

        mine = hub.repository("model", "tester/mine")
        first, unchanged, second = answer["commits"]
        assert mine.private
        assert unchanged == first
        assert second == mine.revisions["main"].sha
        assert [commit.summary for commit in mine.commits[:3]] == ["initial commit", "first", "second"]
        assert (mine.folder() / "model.safetensors").read_bytes() == b"weights" * 10
        assert (mine.folder() / "README.md").read_text() == "# changed\n"
        assert answer["read_back"] == "---\nlicense: mit\n---\n# mine\n"
        assert answer["files"] == [".gitattributes", "README.md", "model.safetensors"]
        assert answer["branch"] == [".gitattributes", "logs", "logs/a.txt", "model.safetensors"]
        assert len(hub.requested("/lfs/", "PUT")) == len(lfs_suffixes)


def test_a_file_of_tens_of_megabytes_fits_into_a_commit(hub: LoopbackHub, tmp_path: Path) -> None:
    run_client(
        hub,
        tmp_path,
        """
        import os
        from huggingface_hub import HfApi
        api = HfApi()
        api.create_repo("tester/large")
        api.upload_file(repo_id="tester/large", path_or_fileobj=os.urandom(30_000_000), path_in_repo="weights.bin")
        print("null")
        """,
    )
    assert (hub.repository("model", "tester/large").folder() / "weights.bin").stat().st_size == 30_000_000


def test_a_refusal_is_the_exception_that_the_real_hub_causes(hub: LoopbackHub, tmp_path: Path) -> None:
    program = (
        RAISED
        + """
import json
from huggingface_hub import HfApi
api = HfApi()
upload = {"path_or_fileobj": b"x", "path_in_repo": "x"}
print(json.dumps({
    "no repository": raised(lambda: api.model_info("lab/none")),
    "no revision": raised(lambda: api.model_info("openai/whisper-tiny", revision="none")),
    "no file": raised(lambda: api.hf_hub_download("openai/whisper-tiny", "none.txt")),
    "gated": raised(lambda: api.hf_hub_download("lab/gated", "config.json")),
    "private": raised(lambda: api.hf_hub_download("lab/private", "config.json")),
    "not mine": raised(lambda: api.upload_file(repo_id="openai/whisper-tiny", **upload)),
    "who": raised(lambda: api.whoami()),
    "wrong token": raised(lambda: api.whoami(token="hf_wrong")),
    "exists": raised(lambda: api.create_repo("lab/private")),
}))
"""
    )
    common = {
        "no repository": "RepositoryNotFoundError",
        "no revision": "RevisionNotFoundError",
        "no file": "RemoteEntryNotFoundError",
        "gated": "GatedRepoError",
        "not mine": "HfHubHTTPError",
        "wrong token": "HfHubHTTPError",
        "exists": "HfHubHTTPError",
    }
    assert run_client(hub, tmp_path / "in", program) == {**common, "private": "nothing", "who": "nothing"}
    assert run_client(hub, tmp_path / "out", program, logged_in=False) == {
        **common,
        "private": "RepositoryNotFoundError",
        "who": "LocalTokenNotFoundError",
    }


# -- faults to order

DOWNLOAD = (
    RAISED
    + """
import json
from pathlib import Path
from huggingface_hub import hf_hub_download
found = []
error = raised(lambda: found.append(hf_hub_download("openai/whisper-tiny", "tokenizer.json")))
print(json.dumps({"error": error, "bytes": Path(found[0]).stat().st_size if found else 0}))
"""
)

COMMIT = (
    RAISED
    + """
import json
from huggingface_hub import HfApi
api = HfApi()
api.create_repo("lab/results", exist_ok=True)
upload = {"repo_id": "lab/results", "path_or_fileobj": b"x" * 100, "path_in_repo": "x.txt"}
print(json.dumps([raised(lambda: api.upload_file(**upload)), raised(lambda: api.upload_file(**upload))]))
"""
)


def test_a_download_survives_one_error_on_its_head(hub: LoopbackHub, tmp_path: Path, model_folder: Path) -> None:
    hub.fail(next=1, status=500, match="tokenizer.json", method="HEAD")
    size = (model_folder / "tokenizer.json").stat().st_size
    assert run_client(hub, tmp_path, DOWNLOAD) == {"error": "nothing", "bytes": size}
    assert len(hub.requested("tokenizer.json", "HEAD")) == 2


def test_a_download_that_is_cut_starts_again(hub: LoopbackHub, tmp_path: Path, model_folder: Path) -> None:
    hub.cut(match="tokenizer.json", method="GET", after_bytes=20_000)
    size = (model_folder / "tokenizer.json").stat().st_size
    assert run_client(hub, tmp_path, DOWNLOAD) == {"error": "nothing", "bytes": size}
    assert [request.range for request in hub.requested("tokenizer.json", "GET")] == ["", ""]


def test_a_long_download_that_is_cut_goes_on_at_its_last_whole_block(hub: LoopbackHub, tmp_path: Path) -> None:
    block = 10 * 2**20  # what the client reads at once; less than that it forgets
    content = secrets.token_bytes(block + 5000)
    folder = tmp_path / "long"
    folder.mkdir()
    (folder / "tokenizer.json").write_bytes(content)
    hub.add_repository("model", "lab/long", folder)
    hub.cut(match="tokenizer.json", method="GET", after_bytes=block + 3000)
    answer = run_client(hub, tmp_path / "home", DOWNLOAD.replace("openai/whisper-tiny", "lab/long"))
    assert answer == {"error": "nothing", "bytes": len(content)}
    assert [request.range for request in hub.requested("tokenizer.json", "GET")] == ["", f"bytes={block}-"]
    assert next((tmp_path / "home").rglob("tokenizer.json")).read_bytes() == content


def test_a_reset_in_the_body_ends_a_download(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.cut(match="tokenizer.json", method="GET", after_bytes=20_000, reset=True)
    assert run_client(hub, tmp_path, DOWNLOAD) == {"error": "ReadError", "bytes": 0}


def test_a_refused_commit_does_not_land(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.fail(status=429, match="/commit/")
    assert run_client(hub, tmp_path, COMMIT) == ["HfHubHTTPError", "nothing"]
    assert len(hub.repository("model", "lab/results").commits) == 2  # its first, and the second try


def test_a_commit_whose_reply_is_lost_did_land(tmp_path: Path) -> None:
    with LoopbackHub(tmp_path / "root") as hub:
        hub.cut(match="/commit/", after_bytes=None)
        assert run_client(hub, tmp_path / "home", COMMIT) == ["RemoteProtocolError", "nothing"]
        results = hub.repository("model", "lab/results")
        assert (results.folder() / "x.txt").read_bytes() == b"x" * 100
        # the second try found the file unchanged and sent nothing
        assert len(results.commits) == 2
        assert len(hub.requested("/commit/")) == 1


# -- datasets


def test_load_dataset_reads_one_language_and_streams_it(hub: LoopbackHub, tmp_path: Path) -> None:
    answer = run_client(
        hub,
        tmp_path,
        """
        import io, json, os
        import soundfile
        from datasets import Audio, load_dataset

        name = "PolyAI/minds14"
        rows = load_dataset(name, "en-US", split="train").cast_column("audio", Audio(decode=False))
        samples, rate = soundfile.read(io.BytesIO(rows[0]["audio"]["bytes"]))
        german = load_dataset(name, "de-DE", split="train").remove_columns("audio")
        stream = load_dataset(name, "en-US", split="train", streaming=True).cast_column("audio", Audio(decode=False))
        print(json.dumps({
            "columns": rows.column_names,
            "audio": str(type(rows.features["audio"]).__name__),
            "languages": [rows.features["lang_id"].int2str(i) for i in sorted({*rows["lang_id"], *german["lang_id"]})],
            "rows": [len(rows), len(german)],
            "first": [rate, len(samples) > 0, rows[0]["english_transcription"], rows[0]["transcription"]],
            "streamed": [row["english_transcription"] for row in stream] == rows["english_transcription"][:],
        }), flush=True)
        os._exit(0)  # a process that streamed Parquet now and then aborts at its end (datasets issue 7566)
        """,
    )
    assert " ".join(answer["columns"]) == "path audio transcription english_transcription intent_class lang_id"
    assert answer["audio"] == "Audio"
    assert answer["languages"] == ["de-DE", "en-US"]
    assert answer["rows"] == [24, 6]
    assert answer["first"][:2] == [8000, True]
    assert answer["first"][2] == answer["first"][3] != ""
    assert answer["streamed"]


def test_a_dataset_with_a_script_has_its_languages_apart_in_the_parquet_copy(hub: LoopbackHub, tmp_path: Path) -> None:
    answer = run_client(
        hub,
        tmp_path,
        """
        import json
        from datasets import load_dataset

        def attempt(*arguments, **options):
            try:
                rows = load_dataset("scripted/minds14", *arguments, split="train", **options)
            except Exception as error:
                return [type(error).__name__, str(error)]
            languages = rows.features["lang_id"].names
            return {languages[i]: rows["lang_id"][:].count(i) for i in set(rows["lang_id"])}

        copy = "refs/convert/parquet"
        print(json.dumps({
            "main": attempt("en-US"),
            "named": attempt("en-US", revision=copy),
            "unnamed": attempt(revision=copy),
            "data_dir": attempt(revision=copy, data_dir="en-US"),
        }))
        """,
    )
    assert answer["main"] == ["RuntimeError", "Dataset scripts are no longer supported, but found minds14.py"]
    assert answer["named"][0] == "ValueError"
    assert "BuilderConfig 'en-US' not found" in answer["named"][1]
    assert answer["unnamed"] == {"en-US": 24, "de-DE": 6}  # all languages mixed, without a word
    assert answer["data_dir"] == {"en-US": 24}


# -- transformers


def test_transformers_loads_whisper_and_finds_its_task(hub: LoopbackHub, tmp_path: Path) -> None:
    answer = run_client(
        hub,
        tmp_path,
        """
        import json
        import numpy
        from transformers import WhisperForConditionalGeneration, WhisperProcessor, pipeline

        model = WhisperForConditionalGeneration.from_pretrained("openai/whisper-tiny")
        processor = WhisperProcessor.from_pretrained("openai/whisper-tiny", language="german", task="transcribe")
        recognise = pipeline(model="openai/whisper-tiny")
        ids = processor.tokenizer("pay my card").input_ids
        clip = numpy.sin(numpy.arange(16_000) / 5).astype("float32")
        print(json.dumps({
            "width": model.config.d_model,
            "ids": processor.tokenizer.convert_ids_to_tokens(ids)[:4],
            "text": processor.tokenizer.decode(ids, skip_special_tokens=True),
            "frames": processor(clip, sampling_rate=16_000).input_features.shape,
            "task": recognise.task,
            "heard": recognise(clip, generate_kwargs={"max_new_tokens": 5, "language": "en"})["text"],
        }))
        """,
    )
    assert answer["width"] == 16
    assert answer["ids"] == ["<|startoftranscript|>", "<|de|>", "<|transcribe|>", "<|notimestamps|>"]
    assert answer["text"] == "pay my card"
    assert answer["frames"] == [1, 80, 200]
    assert answer["task"] == "automatic-speech-recognition"
    assert answer["heard"].strip()


# -- the server itself


def test_a_child_starts_without_the_offline_switches(
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE", "HF_TOKEN_PATH"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("KEPT", "yes")
    environment = hub.env(tmp_path, logged_in=False)
    assert not [name for name in environment if "OFFLINE" in name or name.startswith("HF_TOKEN")]
    assert environment["KEPT"] == "yes"
    assert environment["HF_HOME"] == str(tmp_path)


def test_the_log_holds_no_token(hub: LoopbackHub) -> None:
    request = urllib.request.Request(f"{hub.url}/api/whoami-v2?token={hub.token}")
    request.add_header("Authorization", f"Bearer {hub.token}")
    with urllib.request.urlopen(request, timeout=DEADLINE_S) as reply:
        assert json.load(reply)["name"] == "tester"
    assert hub.requests == [("GET", "/api/whoami-v2", "")]


@pytest.mark.parametrize(
    ("asked", "start", "stop"), [("bytes=10-19", 10, 20), ("bytes=100-", 100, None), ("bytes=-8", -8, None)]
)
def test_a_part_of_a_file(hub: LoopbackHub, model_folder: Path, asked: str, start: int, stop: int | None) -> None:
    # a client that gets the whole file instead starts again and hides it
    whole = (model_folder / "config.json").read_bytes()
    url = f"{hub.url}/openai/whisper-tiny/resolve/main/config.json"
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Range": asked}), timeout=DEADLINE_S) as reply:
        assert reply.status == 206
        assert reply.read() == whole[start:stop]
        first = start % len(whole)
        assert reply.headers["Content-Range"] == f"bytes {first}-{(stop or len(whole)) - 1}/{len(whole)}"


def test_commits_that_arrive_together_all_land(hub: LoopbackHub) -> None:
    def post(path: str, body: bytes) -> None:
        headers = {"Authorization": f"Bearer {hub.token}"}
        with urllib.request.urlopen(urllib.request.Request(hub.url + path, body, headers), timeout=DEADLINE_S):
            pass

    def commit(index: int) -> None:
        content = base64.b64encode(str(index).encode()).decode()
        lines = [
            {"key": "header", "value": {"summary": f"file {index}"}},
            {"key": "file", "value": {"path": f"{index}.txt", "content": content, "encoding": "base64"}},
        ]
        post("/api/models/lab/crowd/commit/main", "\n".join(json.dumps(line) for line in lines).encode())

    post("/api/repos/create", json.dumps({"name": "crowd", "organization": "lab"}).encode())
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(commit, range(16)))
    assert len(list(hub.repository("model", "lab/crowd").folder().glob("*.txt"))) == 16


def test_a_mistake_of_the_server_fails_the_test_that_met_it(tmp_path: Path) -> None:
    def meet_it() -> None:
        with LoopbackHub(tmp_path) as hub, pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"{hub.url}/api/repos/create", b"no json", timeout=DEADLINE_S)

    with pytest.raises(AssertionError, match="JSONDecodeError"):
        meet_it()
