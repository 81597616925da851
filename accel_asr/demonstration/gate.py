"""Who may send the page requests: visitors who typed its own address, with a limit on all uploads together."""

import os
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
MOST_MESSAGE_BYTES = 1 << 20  # Gradio keeps it in memory; apart from uploads, the page sends far less


class Gate:
    """ASGI middleware in front of Gradio.

    Any other page that a visitor has open can send requests to 127.0.0.1, under a name that it points there (DNS
    rebinding) or from its own origin. So a request must name one of `hosts`, and if a browser says where the request
    comes from, that must be the page itself.

    Args:
        hosts: Names and addresses of the page; None allows any, for a page that is shared with everybody.
        uploads: The folder where Gradio keeps uploads.
        most_bytes: The limit on what is there or on its way there, from all visitors together. A message that is no
            upload may have `MOST_MESSAGE_BYTES`.
    """

    def __init__(
        self,
        app: Callable[[Scope, Receive, Send], Awaitable[None]],
        *,
        hosts: tuple[str, ...] | None,
        uploads: Path,
        most_bytes: int,
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._uploads = uploads
        self._most_bytes = most_bytes
        self._incoming_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._hosts is not None and _name_of(host) not in self._hosts:
            await _refuse(scope, send, 403, f"this page is not served as {host!a}")
        elif origin is not None and _place_of(origin) != host:
            await _refuse(scope, send, 403, f"this page takes nothing from {origin!a}")
        elif scope["type"] == "http" and scope["method"] == "POST":
            await self._post(scope, receive, send, headers)
        else:
            await self._app(scope, receive, send)

    async def _post(self, scope: Scope, receive: Receive, send: Send, headers: dict[str, str]) -> None:
        length = headers.get("content-length", "")
        if scope["path"].rstrip("/").endswith("/upload"):
            await self._upload(scope, receive, send, length)
        elif "transfer-encoding" in headers:
            await _refuse(scope, send, 411, "a message must say how long it is")
        elif length.isdecimal() and int(length) > MOST_MESSAGE_BYTES:
            await _refuse(scope, send, 413, f"a message has at most {MOST_MESSAGE_BYTES:,} bytes; upload recordings")
        elif headers.get("content-type", "").startswith("multipart/"):  # to Gradio's video editor
            await _refuse(scope, send, 415, "this page takes uploads at /gradio_api/upload only")
        else:
            await self._app(scope, receive, send)

    async def _upload(self, scope: Scope, receive: Receive, send: Send, length: str) -> None:
        if not length.isdecimal():
            await _refuse(scope, send, 411, "an upload must say how long it is")
            return
        if int(length) > self._most_bytes:
            await _refuse(scope, send, 413, "the upload is larger than this page takes")
            return
        if _bytes_below(self._uploads) + self._incoming_bytes + int(length) > self._most_bytes:
            await _refuse(scope, send, 507, "too much is uploaded at the moment; try again in some minutes")
            return
        self._incoming_bytes += int(length)
        try:
            await self._app(scope, receive, send)
        finally:
            self._incoming_bytes -= int(length)


def _name_of(host: str) -> str:
    """The name in a Host header, without port, in small letters; empty if the header is malformed."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:  # brackets that don't close
        return ""


def _place_of(origin: str) -> str | None:
    """Name and port in an Origin header; None if the header is malformed."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _bytes_below(folder: Path) -> int:
    total = 0
    for here, _, names in os.walk(folder):  # Path.rglob raises if a folder is deleted meanwhile
        for name in names:
            with suppress(OSError):  # deleted just now
                total += os.stat(os.path.join(here, name)).st_size
    return total


async def _refuse(scope: Scope, send: Send, status: int, reason: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": reason[:100]})
        return
    body = (reason + "\n").encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
