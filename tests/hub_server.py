"""A Hugging Face Hub on the loopback interface for the real clients: download, stream, publish, and faults on demand.

    with LoopbackHub(tmp_path / "hub") as hub:
        hub.add_repository("dataset", "PolyAI/minds14", folder)
        subprocess.run([sys.executable, "-c", PROGRAM], env=hub.env(tmp_path / "home"), check=True)
    hub.repository("model", "tester/my-model").folder()  # what the program published

The clients read HF_ENDPOINT when they are imported, so they belong in a child process. Requests and answers are those
observed with huggingface_hub 2.4, datasets 5.2 and transformers 5.23.
"""

import base64
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import struct
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self
from urllib.parse import parse_qs, unquote, urlsplit

Kind = Literal["model", "dataset"]

# a child starts without these, and so without whatever the machine's owner or the test run has set
CLIENT_VARIABLES = ("HF_", "HUGGING_FACE_", "HUGGINGFACE_", "TRANSFORMERS_", "DATASETS_")


class Request(NamedTuple):
    """One line of the log. The path is as sent, quoted, without the query. Tokens are not kept."""

    method: str
    path: str
    range: str = ""  # "bytes=1000-" where a part was asked for


@dataclass(frozen=True)
class Commit:
    """A state of a repository: never changed once it is served."""

    sha: str
    folder: Path
    summary: str

    def files(self) -> dict[str, Path]:
        """Path in the repository -> file, sorted."""
        paths = sorted(path for path in self.folder.rglob("*") if path.is_file())
        return {path.relative_to(self.folder).as_posix(): path for path in paths}


@dataclass
class Repository:
    kind: Kind
    name: str
    private: bool = False  # only for those with the token
    gated: bool = False  # described to everyone, files for nobody
    revisions: dict[str, Commit] = field(default_factory=dict)  # name of the branch -> its newest commit
    commits: list[Commit] = field(default_factory=list)  # in order of arrival, over all branches

    def folder(self, revision: str = "main") -> Path:
        """The files of a branch's newest commit, to read."""
        return self.revisions[revision].folder


@dataclass
class _Fault:
    left: int
    match: str
    method: str | None
    status: int | None = None  # None: the request is carried out, then the connection is cut
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = "a fault on demand"
    body: Mapping[str, Any] = field(default_factory=dict)
    after_bytes: int | None = None
    within_request: int | None = None
    reset: bool = False


@dataclass
class _Reply:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class _HubError(Exception):
    """An answer with an error. `code` is the Hub's X-Error-Code, from which the clients choose their exception."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str = "",
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        answer_headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {}), **(headers or {})}
        self.reply = _Reply(status, json.dumps({"error": message, **(body or {})}).encode(), answer_headers)


@dataclass(frozen=True)
class _Call:
    """A parsed request. Each route reads what it needs."""

    parts: dict[str, str]  # of the path, unquoted: kind, name, revision, path ...
    query: dict[str, list[str]]
    headers: Message  # names in any case: the clients send them in lower case
    body: bytes
    logged_in: bool

    def json(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.body)
        return content


class LoopbackHub:
    """A Hub that lives as long as the `with` block. Everything on it may be used from any thread.

    `root` takes the published commits. Files whose name ends in one of `lfs_suffixes` are uploaded through git-lfs, as
    on the real Hub; without it everything comes inside the commit request.
    """

    def __init__(self, root: Path, *, lfs_suffixes: tuple[str, ...] = ()) -> None:
        self.root = root
        self.lfs_suffixes = lfs_suffixes
        self.user = "tester"
        self.organizations = ["lab"]
        self.token = "hf_" + secrets.token_hex(17)
        self.requests: list[Request] = []
        self._repositories: dict[tuple[str, str], Repository] = {}
        self._faults: list[_Fault] = []
        self._bugs: list[str] = []
        self._lock = threading.RLock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.hub = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        # or a bug in here would pass for a fault of the client
        if self._bugs and error is None:
            raise AssertionError("the loopback hub failed:\n" + "\n".join(self._bugs))

    # -- what a test prepares and reads

    def env(self, home: Path, *, logged_in: bool = True) -> dict[str, str]:
        """The WHOLE environment of a child process: give it as `env=`, or add to it: `env={**hub.env(home), "X": "1"}`.

        Do not merge it into `os.environ`: it is a copy of that without the Hub clients' variables, among them
        HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE and HF_DATASETS_OFFLINE, which a merge would bring back.
        `home` becomes HF_HOME; give each child that must not find earlier downloads a fresh one.
        """
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(CLIENT_VARIABLES)}
        return {
            **inherited,
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            **({"HF_TOKEN": self.token} if logged_in else {}),
        }

    def add_repository(
        self, kind: Kind, name: str, files: Path | Mapping[str, Path], *, private: bool = False, gated: bool = False
    ) -> Repository:
        """Serve `files`: a folder for `main`, or a folder for each revision. Read in place: they must not change."""
        revisions = {"main": files} if isinstance(files, Path) else files
        with self._lock:
            repository = Repository(kind, name, private=private, gated=gated)
            self._repositories[kind, name] = repository
            for revision, folder in revisions.items():
                self._add_commit(repository, revision, folder, summary="initial commit")
        return repository

    def repository(self, kind: Kind, name: str) -> Repository:
        return self._repositories[kind, name]

    def requested(self, match: str = "", method: str | None = None) -> list[Request]:
        """The requests so far whose path contains `match`."""
        return [entry for entry in self.requests if match in entry.path and method in (None, entry.method)]

    def fail(
        self,
        *,
        next: int = 1,  # noqa: A002 - reads as it should: fail(next=2)
        status: int = 500,
        match: str = "",
        method: str | None = None,
        headers: Mapping[str, str] | None = None,
        message: str = "a fault on demand",
        body: Mapping[str, Any] | None = None,
    ) -> None:
        """Answer the next requests whose path contains `match` with an error, without carrying them out.

        `message` is what the Hub says; `body` is added to the JSON that says it. With `status=200` it is no error, and
        is not carried out either.
        """
        fault = _Fault(next, match, method, status=status, headers=headers or {}, message=message, body=body or {})
        with self._lock:
            self._faults.append(fault)

    def cut(
        self,
        *,
        next: int = 1,  # noqa: A002
        match: str = "",
        method: str | None = None,
        after_bytes: int | None = 0,
        within_request: int | None = None,
        reset: bool = False,
    ) -> None:
        """Carry out the next such requests, but end the connection after that many bytes of the answer's body.

        `after_bytes=None` sends nothing at all: a commit that lands and whose reply is lost. `within_request` ends the
        connection after so many bytes of the request's own body, which is not carried out then. `reset` breaks the
        connection (RST) where it is otherwise closed in good order (FIN).
        """
        fault = _Fault(next, match, method, after_bytes=after_bytes, within_request=within_request, reset=reset)
        with self._lock:
            self._faults.append(fault)

    def heal(self) -> None:
        """Forget the faults still to come."""
        with self._lock:
            self._faults.clear()

    # -- answering

    def _take_fault(self, request: Request) -> _Fault | None:
        with self._lock:
            self.requests.append(request)
            for fault in self._faults:
                if fault.left > 0 and fault.match in request.path and fault.method in (None, request.method):
                    fault.left -= 1
                    return fault
        return None

    def _answer(self, method: str, target: str, headers: Message, body: bytes) -> _Reply:
        url = urlsplit(target)
        token = headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in ("", self.token):
            raise _HubError(401, "Invalid credentials in Authorization header")
        for route_method, pattern, answer in _ROUTES:
            # matched while it is quoted: a revision may hold a slash
            matched = (
                re.fullmatch(pattern, url.path) if route_method == ("GET" if method == "HEAD" else method) else None
            )
            if matched:
                parts = {name: unquote(part or "") for name, part in matched.groupdict().items()}
                parts["kind"] = "dataset" if parts.get("kind", "").startswith("dataset") else "model"
                return answer(self, _Call(parts, parse_qs(url.query), headers, body, logged_in=bool(token)))
        raise _HubError(404, f"the loopback hub knows no {method} {url.path}")

    def _find_commit(self, call: _Call, revision: str = "main") -> tuple[Repository, Commit]:
        """The commit that the path names, else that of `revision`."""
        repository = self._repositories.get((call.parts["kind"], call.parts["name"]))
        if repository is None or (repository.private and not call.logged_in):
            # a stranger does not learn which of the two it is
            if call.logged_in:
                raise _HubError(404, "Repository not found", "RepoNotFound")
            raise _HubError(401, "Invalid username or password.", "RepoNotFound")
        revision = call.parts.get("revision", revision)
        commit = {**{old.sha: old for old in repository.commits}, **repository.revisions}.get(revision)
        if commit is None:
            raise _HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return repository, commit

    def _require_write(self, call: _Call, name: str) -> None:
        if not call.logged_in:
            raise _HubError(401, "Invalid username or password.")
        if name.partition("/")[0] not in (self.user, *self.organizations):
            raise _HubError(403, f"You don't have the rights to write to {name}")

    def _add_commit(self, repository: Repository, revision: str, folder: Path, summary: str) -> Commit:
        number = f"{repository.kind} {repository.name} {len(repository.commits)}"
        commit = Commit(hashlib.sha1(number.encode()).hexdigest(), folder, summary)
        repository.revisions[revision] = commit
        repository.commits.append(commit)
        return commit

    # -- reading

    def _resolve(self, call: _Call) -> _Reply:
        repository, commit = self._find_commit(call)
        headers = {"X-Repo-Commit": commit.sha, "Accept-Ranges": "bytes"}
        if repository.gated:
            raise _HubError(403 if call.logged_in else 401, f"Access to {repository.name} is restricted", "GatedRepo")
        path = commit.files().get(call.parts["path"])
        if path is None:
            raise _HubError(404, "Entry not found", "EntryNotFound", headers)
        content = path.read_bytes()
        headers["ETag"] = f'"{self._oid(path.name, content)}"'
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", call.headers.get("Range", ""))
        if wanted is None or wanted[0] == "bytes=-":
            return _Reply(200, content, headers)
        first, last = wanted.groups()
        start = int(first) if first else max(len(content) - int(last), 0)
        stop = min(int(last) + 1, len(content)) if first and last else len(content)
        if start >= stop:
            raise _HubError(416, "Range not satisfiable", headers={"Content-Range": f"bytes */{len(content)}"})
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
        return _Reply(206, content[start:stop], headers)

    def _oid(self, name: str, content: bytes) -> str:
        if name.endswith(self.lfs_suffixes):
            return hashlib.sha256(content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()  # git's name for the content

    def _describe(self, call: _Call) -> _Reply:
        repository, commit = self._find_commit(call)
        files = commit.files()
        # the Hub takes these from config.json and the card; `pipeline` without a task needs them
        speech = {"pipeline_tag": "automatic-speech-recognition", "library_name": "transformers"}
        return _json(
            {
                "id": repository.name,
                "sha": commit.sha,
                "private": repository.private,
                "gated": "manual" if repository.gated else False,
                "disabled": False,
                "tags": [],
                "siblings": [{"rfilename": name} for name in files],
                **(speech if repository.kind == "model" and "config.json" in files else {}),
            }
        )

    def _tree(self, call: _Call) -> _Reply:
        _, commit = self._find_commit(call)
        folder = call.parts["path"].strip("/")
        entries = self._entries(commit)
        inside = [path for path in entries if not folder or path.startswith(folder + "/")]
        if folder and not inside:
            raise _HubError(404, f'"{folder}" does not exist', "EntryNotFound", {"X-Repo-Commit": commit.sha})
        if call.query.get("recursive", ["false"])[0].lower() not in ("true", "1"):
            inside = [path for path in inside if "/" not in path.removeprefix(folder + "/" if folder else "")]
        return _json([entries[path] for path in inside])

    def _paths_info(self, call: _Call) -> _Reply:
        entries = self._entries(self._find_commit(call)[1])
        asked = parse_qs(call.body.decode()).get("paths", [])
        return _json([entries[path] for path in asked if path in entries])

    def _entries(self, commit: Commit) -> dict[str, dict[str, Any]]:
        entries: dict[str, dict[str, Any]] = {}
        for path, file in commit.files().items():
            for parent in reversed(PurePosixPath(path).parents[:-1]):
                oid = hashlib.sha1(str(parent).encode()).hexdigest()
                entries.setdefault(str(parent), {"type": "directory", "path": str(parent), "oid": oid, "size": 0})
            content = file.read_bytes()
            oid = self._oid(path, content)
            entries[path] = {"type": "file", "path": path, "oid": oid, "size": len(content)}
            if path.endswith(self.lfs_suffixes):
                entries[path]["lfs"] = {"oid": oid, "size": len(content), "pointerSize": 134}
        return entries

    def _who_am_i(self, call: _Call) -> _Reply:
        if not call.logged_in:
            raise _HubError(401, "Invalid username or password.")
        token = {"displayName": "test", "role": "write"}
        organizations = [{"type": "org", "name": name} for name in self.organizations]
        return _json({"type": "user", "name": self.user, "orgs": organizations, "auth": {"accessToken": token}})

    # -- writing

    def _create(self, call: _Call) -> _Reply:
        asked = call.json()
        kind: Kind = "dataset" if asked.get("type") == "dataset" else "model"
        name = f"{asked.get('organization') or self.user}/{asked['name']}"
        self._require_write(call, name)
        url = f"{self.url}/{'datasets/' if kind == 'dataset' else ''}{name}"
        with self._lock:
            if (kind, name) in self._repositories:
                return _json({"error": f"You already created this {kind} repo", "url": url}, status=409)
            folder = self.root / f"{kind}s" / name / "0"
            folder.mkdir(parents=True)
            (folder / ".gitattributes").touch()
            self.add_repository(kind, name, folder, private=asked.get("visibility") == "private")
        return _json({"url": url})

    def _preupload(self, call: _Call) -> _Reply:
        self._require_write(call, call.parts["name"])
        _, commit = self._find_commit(call)
        here = commit.files()
        answers = []
        for file in call.json()["files"]:
            path = file["path"]
            oid = self._oid(path, here[path].read_bytes()) if path in here else None
            mode = "lfs" if path.endswith(self.lfs_suffixes) else "regular"
            answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return _json({"files": answers})

    def _lfs_batch(self, call: _Call) -> _Reply:
        self._require_write(call, call.parts["name"])
        objects = []
        for asked in call.json()["objects"]:
            href = f"{self.url}/lfs/{asked['oid']}"
            actions = {} if self._lfs_object(asked["oid"]).exists() else {"actions": {"upload": {"href": href}}}
            objects.append({"oid": asked["oid"], "size": asked["size"], **actions})
        return _json({"transfer": "basic", "objects": objects})

    def _lfs_object(self, oid: str) -> Path:
        return self.root / "lfs" / oid

    def _lfs_put(self, call: _Call) -> _Reply:
        if hashlib.sha256(call.body).hexdigest() != call.parts["oid"]:
            raise _HubError(400, "the content is not what its name says")
        path = self._lfs_object(call.parts["oid"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(call.body)
        return _Reply()

    def _commit(self, call: _Call) -> _Reply:
        self._require_write(call, call.parts["name"])
        lines = [json.loads(line) for line in call.body.splitlines() if line]
        with self._lock:
            repository, parent = self._find_commit(call)
            header = next(line["value"] for line in lines if line["key"] == "header")
            if header.get("parentCommit", parent.sha) != parent.sha:
                raise _HubError(412, "A commit has happened since. Please refresh and try again.")
            folder = self.root / f"{repository.kind}s" / repository.name / str(len(repository.commits))
            shutil.copytree(parent.folder, folder)
            try:
                for line in lines:
                    self._apply(folder, line["key"], line["value"])
            except Exception:
                shutil.rmtree(folder)  # all of a commit or nothing
                raise
            commit = self._add_commit(repository, call.parts["revision"], folder, header["summary"])
        url = f"{self.url}/{repository.name}/commit/{commit.sha}"
        return _json({"success": True, "commitOid": commit.sha, "commitUrl": url})

    def _apply(self, folder: Path, key: str, value: dict[str, Any]) -> None:
        """One line of a commit, done to the folder that becomes the commit."""
        if key == "header":
            return
        path = folder / value["path"]
        if ".." in PurePosixPath(value["path"]).parts or not path.is_relative_to(folder):
            raise _HubError(400, f"not a path inside the repository: {value['path']}")
        if key in ("deletedFile", "deletedFolder"):
            if not path.exists():
                raise _HubError(404, "A file with this name doesn't exist", "EntryNotFound")
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if key == "file":
            path.write_bytes(base64.b64decode(value["content"], validate=True))
        elif key == "lfsFile" and self._lfs_object(value["oid"]).exists():
            shutil.copyfile(self._lfs_object(value["oid"]), path)
        else:
            raise _HubError(400, f"cannot commit {key} {value['path']}")

    def _branch(self, call: _Call) -> _Reply:
        self._require_write(call, call.parts["name"])
        with self._lock:
            repository, commit = self._find_commit(call, call.json().get("startingPoint", "main"))
            if call.parts["branch"] in repository.revisions:
                raise _HubError(409, f"Reference already exists: {call.parts['branch']}")
            repository.revisions[call.parts["branch"]] = commit
        return _Reply(201)


def _json(content: Any, status: int = 200) -> _Reply:
    return _Reply(status, json.dumps(content).encode(), {"Content-Type": "application/json"})


_NAME = r"(?P<name>[^/]+(?:/[^/]+)?)"
_API = rf"/api/(?P<kind>models|datasets)/{_NAME}"
_ROUTES: list[tuple[str, str, Callable[[LoopbackHub, _Call], _Reply]]] = [
    ("GET", rf"/(?P<kind>datasets/)?{_NAME}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", LoopbackHub._resolve),
    ("GET", rf"{_API}/tree/(?P<revision>[^/]+)(?P<path>/.*)?", LoopbackHub._tree),
    ("POST", rf"{_API}/paths-info/(?P<revision>[^/]+)", LoopbackHub._paths_info),
    ("GET", rf"{_API}/revision/(?P<revision>[^/]+)", LoopbackHub._describe),
    ("GET", _API, LoopbackHub._describe),
    ("GET", "/api/whoami-v2", LoopbackHub._who_am_i),
    ("POST", "/api/repos/create", LoopbackHub._create),
    ("POST", "/api/validate-yaml", lambda _hub, _call: _json({"errors": [], "warnings": []})),
    ("POST", rf"{_API}/preupload/(?P<revision>[^/]+)", LoopbackHub._preupload),
    ("POST", rf"{_API}/commit/(?P<revision>[^/]+)", LoopbackHub._commit),
    ("POST", rf"{_API}/branch/(?P<branch>[^/]+)", LoopbackHub._branch),
    ("POST", rf"/(?P<kind>datasets/)?{_NAME}\.git/info/lfs/objects/batch", LoopbackHub._lfs_batch),
    ("PUT", r"/lfs/(?P<oid>[0-9a-f]{64})", LoopbackHub._lfs_put),
]


class _Server(ThreadingHTTPServer):
    hub: LoopbackHub
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes: 40 ms for each request otherwise

    def _serve(self) -> None:
        hub = self.server.hub
        fault = hub._take_fault(Request(self.command, urlsplit(self.path).path, self.headers.get("Range", "")))
        if fault and fault.within_request is not None:
            self.rfile.read(fault.within_request)
            return self._hang_up(reset=fault.reset)
        body = self._read_body()
        try:
            if fault and fault.status:
                raise _HubError(fault.status, fault.message, headers=fault.headers, body=fault.body)
            reply = hub._answer(self.command, self.path, self.headers, body)
        except _HubError as error:
            reply = error.reply
        except Exception:
            hub._bugs.append(traceback.format_exc())
            reply = _Reply(500)
        self._send(reply, cut=fault if fault and not fault.status else None)

    do_GET = do_HEAD = do_POST = do_PUT = _serve  # noqa: N815

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, reply: _Reply, cut: _Fault | None) -> None:
        if cut and cut.after_bytes is None:
            return self._hang_up(reset=cut.reset)
        self.send_response(reply.status)
        for name, value in {**reply.headers, "Content-Length": str(len(reply.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        body = b"" if self.command == "HEAD" else reply.body
        self.wfile.write(body[: cut.after_bytes] if cut else body)
        if cut:
            self._hang_up(reset=cut.reset)

    def _hang_up(self, *, reset: bool) -> None:
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())  # close() would wait for the streams on it, after a FIN

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing on stderr: `LoopbackHub.requests` is the log."""
