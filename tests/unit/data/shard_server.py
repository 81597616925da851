"""Tars to order, and a small file server on the loopback interface with faults to order."""

import io
import json
import re
import socket
import struct
import tarfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from tests.tiny_datasets import SAMPLE_RATE_HZ, wav_bytes


def clip(number: int) -> bytes:
    """A tenth of a second of a tone as a WAV file; another one for each number."""
    times_s = np.arange(SAMPLE_RATE_HZ // 10) / SAMPLE_RATE_HZ
    return wav_bytes((0.3 * np.sin(2 * np.pi * (200 + 10 * number) * times_s)).astype(np.float32))


def write_tar(path: Path, members: Mapping[str, bytes | str | dict[str, Any]], *, format_: int | None = None) -> Path:
    """A tar of the members, in order; what is no bytes or text is written as JSON."""
    with tarfile.open(path, "w", format=format_) as tar:
        for name, content in members.items():
            add(tar, name, content)
    return path


def add(tar: tarfile.TarFile, name: str, content: Any, **header: Any) -> None:
    """One more member, with `header` for what is no ordinary file."""
    if not isinstance(content, bytes):
        content = (content if isinstance(content, str) else json.dumps(content)).encode()
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for key, value in header.items():
        setattr(member, key, value)
    tar.addfile(member, io.BytesIO(content))


class ShardServer:
    """Serves `files`, with ETags and ranges, as long as the `with` block; the rest of the fields are its faults."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str, str]] = []  # method, path, range
        self.headers: list[dict[str, str]] = []  # of each request
        self.cuts: list[int] = []  # the next answers to GET end after so many bytes
        self.resets = False  # the cuts are resets of the connection
        self.statuses: list[int] = []  # the next answers to GET
        self.redirects: dict[str, str] = {}
        self.knows_ranges = True
        self.head_status = 200
        self.version = "1"

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/{name}"

    def asked(self, method: str = "GET") -> list[str]:
        """The ranges of all requests so far, empty for the whole file."""
        return [asked for how, _, asked in self.requests if how == method]

    def __enter__(self) -> Self:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server._answer(self)

            def do_HEAD(self) -> None:
                server._answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, call: BaseHTTPRequestHandler) -> None:
        path, asked, is_get = call.path.split("?")[0].lstrip("/"), call.headers.get("Range", ""), call.command == "GET"
        self.requests.append((call.command, path, asked))
        self.headers.append({name.lower(): value for name, value in call.headers.items()})
        content = self.files.get(path)
        status = (self.statuses.pop(0) if self.statuses else 200) if is_get else self.head_status
        if path in self.redirects:
            call.send_response(302)
            call.send_header("Location", self.redirects[path])
            call.end_headers()
            return
        if content is None or status != 200:
            call.send_response(404 if content is None else status)
            call.end_headers()
            return
        start = re.fullmatch(r"bytes=(\d+)-", asked) if self.knows_ranges else None
        first = int(start[1]) if start else 0
        if first >= len(content):
            call.send_response(416)
            call.send_header("Content-Range", f"bytes */{len(content)}")
            call.end_headers()
            return
        call.send_response(206 if start else 200)
        if start:
            call.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        call.send_header("Content-Length", str(len(content) - first))
        call.send_header("ETag", f'"{self.version}"')
        call.end_headers()
        if is_get:
            end = first + self.cuts.pop(0) if self.cuts else len(content)
            with suppress(ConnectionError):  # a client that has read the headers may leave
                call.wfile.write(content[first:end])
            if end < len(content) and self.resets:
                call.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                call.connection.close()
