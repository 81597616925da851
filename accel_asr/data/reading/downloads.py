"""Read and download files over http(s); a connection that is cut is taken up again where it broke off."""

import hashlib
import http.client
import io
import json
import re
import string
import time
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlsplit

from accel_asr.console.bars import waiting_is_said
from accel_asr.errors import UserError
from accel_asr.files.atomic_writes import file_written_whole
from accel_asr.files.cache_folder import cache_errors_explained

TIMEOUT_S = 30.0
MAX_RESUMES = 5
FIRST_WAIT_S = 0.5  # doubled by each resume: 15.5 s of waiting in all
CHUNK_BYTES = 1 << 20
PROGRESS_BYTES = 16 << 20  # after so many all tries are open again: a slow reader of a large file is cut now and then
_BUSY = (429, 500, 502, 503, 504)
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")


def is_http(location: str) -> bool:
    """Whether a location is an http(s) address, and no local path."""
    return location.lower().startswith(("http://", "https://"))


def without_secrets(url: str) -> str:
    """The address as it may be shown: without user, password, query and fragment."""
    return re.split(r"[?#]", re.sub(r"(?<=://)[^/]*@", "", url))[0]


class _RequestError(Exception):
    """A request that brought no file. `is_passing`: the next one may."""

    def __init__(self, told: str, remedy: str, *, is_passing: bool = False, status: int | None = None) -> None:
        super().__init__(told)
        self.told, self.remedy, self.is_passing, self.status = told, remedy, is_passing, status
        self.content_range: str | None = None

    def user_error(self, url: str) -> UserError:
        return UserError(f"data.name_or_path: can't read {without_secrets(url)}: {self.told}; {self.remedy}")


class _HttpRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: urllib.request.Request, *answer: Any) -> urllib.request.Request | None:
        code, new_url = answer[1], answer[-1]
        if not is_http(new_url):
            raise HTTPError(req.full_url, code, "not http(s)", answer[3], answer[0])
        new = super().redirect_request(req, *answer)
        if new is not None:
            new.method = req.get_method()  # else a HEAD would become a GET
        return new


def _opener() -> urllib.request.OpenerDirector:
    opener = urllib.request.OpenerDirector()  # not build_opener, which also knows file: and ftp:
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        _HttpRedirects,
    ):
        opener.add_handler(handler())
    opener.addheaders = [("User-agent", "accel-asr")]
    return opener


def _request(url: str, *, method: str = "GET", offset: int = 0) -> http.client.HTTPResponse:
    """The answer to one request for the bytes from `offset` on.

    Raises:
        _RequestError: there is none, or it is not a success.
    """
    invalid = _RequestError("this is no valid http(s) address", "check it")
    try:
        if not is_http(url) or not urlsplit(url).hostname:
            raise invalid
        if "@" in urlsplit(url).netloc:
            raise _RequestError(
                "it holds a user name or password, and none is ever sent", "download it, and give its path"
            )
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        # spaces and letters beyond ASCII are quoted; what is quoted already stays
        request = urllib.request.Request(quote(url, safe=string.punctuation), method=method, headers=headers)
        return _opener().open(request, timeout=TIMEOUT_S)
    except HTTPError as error:
        error.close()
        trouble = _trouble_of_status(error.code)
        trouble.content_range = error.headers.get("Content-Range") if error.headers else None
        raise trouble from error
    except (http.client.InvalidURL, ValueError) as error:
        raise invalid from error
    except (OSError, http.client.HTTPException) as error:
        raise _trouble_of_connection(error) from error


def _trouble_of_status(status: int) -> _RequestError:
    answer = f"the server answers {status} {http.client.responses.get(status, '')}".rstrip()
    if status in (401, 403):
        return _RequestError(
            answer, "no token is ever sent: download it with your own, and give its path", status=status
        )
    if status in (404, 410):
        return _RequestError(answer, "check the address", status=status)
    if status in _BUSY:
        return _RequestError(answer, "try again later", is_passing=True, status=status)
    if status // 100 == 3:
        told = f"{answer}: a redirect in a circle, or to an address that is not http(s)"
        return _RequestError(told, "give the address that it should lead to", status=status)
    return _RequestError(answer, "download it by other means, and give its path", status=status)


def _trouble_of_connection(error: Exception) -> _RequestError:
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, TimeoutError):
        told = f"no answer within {TIMEOUT_S:g} s"
    else:
        told = (reason.strerror if isinstance(reason, OSError) else None) or str(reason) or type(reason).__name__
    return _RequestError(told, "check the address and the network, and start again", is_passing=True)


class ResumingStream(io.RawIOBase):
    """The bytes of an http(s) address from `offset` on, to be read once, forward.

    A connection that is cut, or a server that is busy, is tried again `MAX_RESUMES` times; they are counted anew after
    each `PROGRESS_BYTES`. `total_bytes` is the size of the whole file and `etag` the server's name for its content;
    None where it says none.

    Raises:
        UserError: no such file, no connection, cut too often, or the file changed meanwhile; when opened or read.
    """

    def __init__(self, url: str, *, offset: int = 0) -> None:
        super().__init__()
        self.url, self.position = url, offset
        self.total_bytes: int | None = None
        self.etag: str | None = None
        self._response: http.client.HTTPResponse | None = None
        self._skip_bytes = 0  # what a server that knows no ranges sends before the position
        self._resumes, self._resumed_at = 0, offset
        try:
            self._connect()
        except _RequestError as trouble:
            if trouble.status not in _BUSY:  # a wrong address should be told at once
                raise trouble.user_error(url) from trouble
            self._resume(trouble)

    def _connect(self) -> None:
        is_first = self._response is None
        try:
            response = _request(self.url, offset=self.position)
        except _RequestError as trouble:
            if trouble.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                if _extent(trouble.content_range)[1] != self.position:
                    raise self._changed() from trouble
                self.total_bytes = self.position  # all has been read already
                return
            raise
        first, total_bytes = 0, _content_length(response)
        if response.status == HTTPStatus.PARTIAL_CONTENT:
            first, total_bytes = _extent(response.headers.get("Content-Range"))
        told = (total_bytes, response.headers.get("ETag"))
        is_short = total_bytes is not None and total_bytes < self.position
        if is_short or not 0 <= first <= self.position or not (is_first or told == (self.total_bytes, self.etag)):
            response.close()
            raise self._changed()
        self.total_bytes, self.etag = told
        self._response, self._skip_bytes = response, self.position - first

    def _changed(self) -> UserError:
        return UserError(
            f"data.name_or_path: {without_secrets(self.url)}: there is another file now than when reading began, or "
            f"none with a byte {self.position:,}; start again, without the saved position"
        )

    def _resume(self, trouble: _RequestError) -> None:
        while True:
            if self._response is not None:
                self._response.close()
            if self._resumes == MAX_RESUMES:
                told = f"{trouble.told}, after {MAX_RESUMES} further tries, at byte {self.position:,}"
                raise _RequestError(told, trouble.remedy).user_error(self.url) from trouble
            time.sleep(FIRST_WAIT_S * 2**self._resumes)
            self._resumes += 1
            self._resumed_at = self.position
            try:
                return self._connect()
            except _RequestError as another:
                if not another.is_passing:
                    raise another.user_error(self.url) from another
                trouble = another

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        while self.position != self.total_bytes and self._response is not None:
            skipping = self._skip_bytes > 0
            try:
                # not readinto, which loses what came before a reset
                content = self._response.read1(min(self._skip_bytes, CHUNK_BYTES) if skipping else len(view))
            except (OSError, http.client.HTTPException) as error:
                self._resume(_trouble_of_connection(error))
                continue
            if not content and (skipping or self.total_bytes is not None):
                self._resume(_RequestError("the connection was cut", "check the network, and start again"))
            elif skipping:
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


def _content_length(response: http.client.HTTPResponse) -> int | None:
    told = response.headers.get("Content-Length", "")
    return int(told) if told.isdecimal() else None


def _extent(content_range: str | None) -> tuple[int, int | None]:
    """The first byte and the whole size that a Content-Range header tells; the first is -1 where it tells none."""
    found = _CONTENT_RANGE.fullmatch(content_range or "")
    if not found:
        return -1, None
    return int(found[1] or -1), None if found[2] == "*" else int(found[2])


def download(url: str, folder: Path, *, on_bytes: Callable[[int], None] | None = None) -> Path:
    """Keep a copy of an http(s) file in a folder; nothing is fetched if one of its size and ETag is there.

    Atomic: other processes see the whole file or none. `on_bytes` is told how many more bytes have come.

    Returns:
        The copy: a digest of the address, and the file's own name.

    Raises:
        UserError: no such file, no connection, cut too often, no room; names the address without its secrets.
    """
    own_name = re.sub(r"[^A-Za-z0-9._-]", "_", unquote(without_secrets(url)).rsplit("/", 1)[-1])[-100:]
    path = folder / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{own_name}"
    described = path.with_name(f"{path.name}.json")
    known = _known(path, described)
    if known is not None and known == _described_by_server(url):
        return path
    with waiting_is_said(f"getting {without_secrets(url)}"), ResumingStream(url) as stream:
        if known is not None and known == (stream.total_bytes, stream.etag):  # of servers that answer no HEAD
            return path
        with cache_errors_explained(folder, every_error=True):
            size_bytes = 0
            with file_written_whole(path, is_shared=True) as beside, beside.open("wb") as file:
                while chunk := stream.read(CHUNK_BYTES):
                    size_bytes += file.write(chunk)
                    if on_bytes is not None:
                        on_bytes(len(chunk))
            # after the file: a file that is newer than its description is only fetched again
            description = {"url": without_secrets(url), "size_bytes": size_bytes, "etag": stream.etag}
            with file_written_whole(described, is_shared=True) as beside:
                beside.write_text(json.dumps(description, indent=2), encoding="utf-8")
    return path


def _known(path: Path, described: Path) -> tuple[int, str | None] | None:
    """Size in bytes and ETag of a copy that is there as it was fetched; else None."""
    try:
        description = json.loads(described.read_text(encoding="utf-8"))
        known = description["size_bytes"], description["etag"]
        return known if path.stat().st_size == known[0] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _described_by_server(url: str) -> tuple[int | None, str | None] | None:
    """Size in bytes and ETag as the server tells them; None where it answers no HEAD: GET is tried then."""
    try:
        with _request(url, method="HEAD") as response:
            return _content_length(response), response.headers.get("ETag")
    except _RequestError as trouble:
        if trouble.status is None or trouble.status in (404, 410):
            raise trouble.user_error(url) from trouble
        return None
