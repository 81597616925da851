"""Read and download files over http(s); a cut connection is resumed where it broke off.

fsspec does not resume a cut connection; huggingface_hub resumes only files of the Hub.
"""

import hashlib
import http.client
import io
import json
import re
import string
import time
import urllib.request
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlsplit

from accel_asr.console.bars import waiting_is_said
from accel_asr.data.reading.source_table import source_error
from accel_asr.errors import UserError
from accel_asr.files.atomic_writes import file_written_whole, write_errors_explained
from accel_asr.files.cache_folder import OTHER_FOLDER

TIMEOUT_S = 30.0
MAX_RESUMES = 5
FIRST_WAIT_S = 0.5  # doubled by each resume: 15.5 s of waiting in all
CHUNK_BYTES = 1 << 20
PROGRESS_BYTES = 16 << 20  # resets the count of resumes: a slow reader of a large file is cut now and then
_BUSY = (429, 500, 502, 503, 504)
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")


def is_http(location: str) -> bool:
    """Whether a location is an http(s) address, not a local path."""
    return location.lower().startswith(("http://", "https://"))


def without_secrets(url: str) -> str:
    """The address without user, password, query and fragment."""
    return re.split(r"[?#]", re.sub(r"(?<=://)[^/]*@", "", url))[0]


class ResumingStream(io.RawIOBase):
    """The bytes of an http(s) address from `offset` on, to be read once, forward.

    A cut connection or a busy server is tried again up to `MAX_RESUMES` times, counted anew after `PROGRESS_BYTES`.
    `total_bytes` is the size of the file and `etag` the server's name for its content; None if the server gives none.

    Raises:
        UserError: no such file, no connection, cut too often, or the file changed meanwhile; when opened or read.
    """

    def __init__(self, url: str, *, offset: int = 0) -> None:
        super().__init__()
        self.url, self.position = url, offset
        self.total_bytes: int | None = None
        self.etag: str | None = None
        self._response: http.client.HTTPResponse | None = None
        self._skip_bytes = 0  # what a server without ranges sends before the position
        self._resumes, self._resumed_at = 0, offset
        try:
            self._connect()
        except _RequestError as error:
            if error.status not in _BUSY:  # report a wrong address at once
                raise error.user_error(url) from error
            self._resume(error)

    def _connect(self) -> None:
        is_first = self._response is None
        try:
            response = _request(self.url, offset=self.position)
        except _RequestError as error:
            if error.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                if _extent(error.content_range)[1] != self.position:
                    raise self._changed() from error
                self.total_bytes = self.position  # all has been read already
                return
            raise
        first, total_bytes = 0, _content_length(response)
        if response.status == HTTPStatus.PARTIAL_CONTENT:
            first, total_bytes = _extent(response.headers.get("Content-Range"))
        identity = (total_bytes, response.headers.get("ETag"))
        is_short = total_bytes is not None and total_bytes < self.position
        if is_short or not 0 <= first <= self.position or not (is_first or identity == (self.total_bytes, self.etag)):
            response.close()
            raise self._changed()
        self.total_bytes, self.etag = identity
        self._response, self._skip_bytes = response, self.position - first

    def _changed(self) -> UserError:
        return source_error(
            f"the file has changed since reading began, or has no byte {self.position:,}",
            without_secrets(self.url),
            "start again, without the saved position",
        )

    def _resume(self, error: "_RequestError") -> None:
        while True:
            if self._response is not None:
                self._response.close()
            if self._resumes == MAX_RESUMES:
                problem = f"{error.problem}, after {MAX_RESUMES} further tries, at byte {self.position:,}"
                raise _RequestError(problem, error.remedy).user_error(self.url) from error
            time.sleep(FIRST_WAIT_S * 2**self._resumes)
            self._resumes += 1
            self._resumed_at = self.position
            try:
                return self._connect()
            except _RequestError as next_error:
                if not next_error.is_temporary:
                    raise next_error.user_error(self.url) from next_error
                error = next_error

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        while self.position != self.total_bytes and self._response is not None:
            is_skipping = self._skip_bytes > 0
            try:
                # not readinto, which loses what came before a reset
                content = self._response.read1(min(self._skip_bytes, CHUNK_BYTES) if is_skipping else len(view))
            except (OSError, http.client.HTTPException) as error:
                self._resume(_connection_error(error))
                continue
            if not content and (is_skipping or self.total_bytes is not None):
                self._resume(_RequestError("the connection was cut", "check the network, and start again"))
            elif is_skipping:
                self._skip_bytes -= len(content)
            else:
                view[: len(content)] = content
                self.position += len(content)
                if self.position - self._resumed_at >= PROGRESS_BYTES:
                    self._resumes = 0
                return len(content)
        return 0

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
        super().close()


def download(url: str, folder: Path) -> Path:
    """Keep a copy of an http(s) file in a folder; nothing is fetched if one with its size and ETag is there.

    Atomic: other processes see the complete file or none.

    Returns:
        The copy, called by a digest of the address and the file's own name.

    Raises:
        UserError: no such file, no connection, cut too often, no room.
    """
    own_name = re.sub(r"[^A-Za-z0-9._-]", "_", unquote(without_secrets(url)).rsplit("/", 1)[-1])[-100:]
    path = folder / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{own_name}"
    description_path = path.with_name(f"{path.name}.json")
    known = _size_and_etag(path, description_path)
    if known is not None and known == _size_and_etag_on_server(url):
        return path
    with waiting_is_said(f"getting {without_secrets(url)}"), ResumingStream(url) as stream:
        if known is not None and known == (stream.total_bytes, stream.etag):  # of servers that answer no HEAD
            return path
        with write_errors_explained(folder, setting="--data.cache_dir", remedy=OTHER_FOLDER):
            size_bytes = 0
            with file_written_whole(path, is_shared=True) as beside, beside.open("wb") as file:
                while chunk := stream.read(CHUNK_BYTES):
                    size_bytes += file.write(chunk)
            # last: a copy that is newer than its description is only fetched again
            description = {"url": without_secrets(url), "size_bytes": size_bytes, "etag": stream.etag}
            with file_written_whole(description_path, is_shared=True) as beside:
                beside.write_text(json.dumps(description, indent=2), encoding="utf-8")
    return path


def _size_and_etag(path: Path, description_path: Path) -> tuple[int, str | None] | None:
    """Size in bytes and ETag of an intact copy; else None."""
    try:
        description = json.loads(description_path.read_text(encoding="utf-8"))
        known = description["size_bytes"], description["etag"]
        return known if path.stat().st_size == known[0] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _size_and_etag_on_server(url: str) -> tuple[int | None, str | None] | None:
    """Size in bytes and ETag by a HEAD request; None if the server answers none, and GET has to be tried."""
    try:
        with _request(url, method="HEAD") as response:
            return _content_length(response), response.headers.get("ETag")
    except _RequestError as error:
        if error.status is None or error.status in (404, 410):
            raise error.user_error(url) from error
        return None


# -- requests


class _RequestError(Exception):
    """A request without success. `is_temporary`: the next one may succeed."""

    def __init__(self, problem: str, remedy: str, *, is_temporary: bool = False, status: int | None = None) -> None:
        super().__init__(problem)
        self.problem, self.remedy, self.is_temporary, self.status = problem, remedy, is_temporary, status
        self.content_range: str | None = None

    def user_error(self, url: str) -> UserError:
        problem = f"can't be read: {self.problem}"
        return source_error(problem, without_secrets(url), self.remedy)


class _HttpRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: urllib.request.Request, *answer: Any) -> urllib.request.Request | None:
        if not is_http(answer[-1]):
            raise HTTPError(req.full_url, answer[1], "not http(s)", answer[3], answer[0])
        new = super().redirect_request(req, *answer)
        if new is not None:
            new.method = req.get_method()  # else a HEAD would become a GET
        return new


def _request(url: str, *, method: str = "GET", offset: int = 0) -> http.client.HTTPResponse:
    """The answer to a request for the bytes from `offset` on.

    Raises:
        _RequestError: there is none, or it is not a success.
    """
    invalid = _RequestError("this is not a valid http(s) address", "check it")
    try:
        if not is_http(url) or not urlsplit(url).hostname:
            raise invalid
        if "@" in urlsplit(url).netloc:
            problem = "it holds a user name or password, and none is ever sent"
            raise _RequestError(problem, "download it, and give its path")
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        # spaces and letters beyond ASCII are quoted; what is quoted already stays
        request = urllib.request.Request(quote(url, safe=string.punctuation), method=method, headers=headers)
        opener = urllib.request.build_opener(_HttpRedirects)
        opener.addheaders = [("User-agent", "accel-asr")]
        answer: http.client.HTTPResponse = opener.open(request, timeout=TIMEOUT_S)
        return answer
    except HTTPError as error:
        error.close()
        refusal = _status_error(error.code)
        refusal.content_range = error.headers.get("Content-Range") if error.headers else None
        raise refusal from error
    except (http.client.InvalidURL, ValueError) as error:
        raise invalid from error
    except (OSError, http.client.HTTPException) as error:
        raise _connection_error(error) from error


def _status_error(status: int) -> _RequestError:
    answer = f"the server answers {status} {http.client.responses.get(status, '')}".rstrip()
    remedy = "download it by other means, and give its path"
    if status in (401, 403):
        remedy = "no token is ever sent: download it with your own, and give its path"
    elif status in (404, 410):
        remedy = "check the address"
    elif status in _BUSY:
        remedy = "try again later"
    elif status // 100 == 3:
        answer += ": a redirect in a circle, or to an address that is not http(s)"
        remedy = "give the address that it should lead to"
    return _RequestError(answer, remedy, is_temporary=status in _BUSY, status=status)


def _connection_error(error: Exception) -> _RequestError:
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, TimeoutError):
        problem = f"no answer within {TIMEOUT_S:g} s"
    else:
        problem = (reason.strerror if isinstance(reason, OSError) else None) or str(reason) or type(reason).__name__
    return _RequestError(problem, "check the address and the network, and start again", is_temporary=True)


def _content_length(response: http.client.HTTPResponse) -> int | None:
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _extent(content_range: str | None) -> tuple[int, int | None]:
    """The first byte, -1 if unknown, and the file's size by a Content-Range header."""
    match = _CONTENT_RANGE.fullmatch(content_range or "")
    if not match:
        return -1, None
    return int(match[1] or -1), None if match[2] == "*" else int(match[2])
