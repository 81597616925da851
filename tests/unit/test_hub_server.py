"""The loopback Hub against the real clients: other tests rely on what they do there.

Each client runs in a child process, because it reads HF_ENDPOINT when it is imported. A child's last line of output is
its answer.
"""

import base64
import json
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
from tests.tiny_models import make_tiny_whisper

starts_clients = pytest.mark.integration  # importing them takes seconds
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


@starts_clients
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


@starts_clients
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


# -- faults on demand

DOWNLOAD = (
    RAISED
    + """
import json
from pathlib import Path
from huggingface_hub import hf_hub_download
paths = []
error = raised(lambda: paths.append(hf_hub_download("openai/whisper-tiny", "tokenizer.json")))
print(json.dumps({"error": error, "bytes": Path(paths[0]).stat().st_size if paths else 0}))
"""
)


@starts_clients
def test_a_download_that_is_cut_starts_again(hub: LoopbackHub, tmp_path: Path, model_folder: Path) -> None:
    hub.cut(match="tokenizer.json", method="GET", after_bytes=20_000)
    size = (model_folder / "tokenizer.json").stat().st_size
    assert run_client(hub, tmp_path, DOWNLOAD) == {"error": "nothing", "bytes": size}
    assert [request.range for request in hub.requested("tokenizer.json", "GET")] == ["", ""]


@starts_clients
def test_a_reset_in_the_body_ends_a_download(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.cut(match="tokenizer.json", method="GET", after_bytes=20_000, reset=True)
    assert run_client(hub, tmp_path, DOWNLOAD) == {"error": "ReadError", "bytes": 0}


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


def test_a_bug_of_the_server_fails_the_test_that_met_it(tmp_path: Path) -> None:
    def meet_it() -> None:
        with LoopbackHub(tmp_path) as hub, pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"{hub.url}/api/repos/create", b"no json", timeout=DEADLINE_S)

    with pytest.raises(AssertionError, match="JSONDecodeError"):
        meet_it()
