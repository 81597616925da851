"""Who may send the page requests: visitors who typed its own address, with a limit on all uploads together."""

import os
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
MOST_MESSAGE_BYTES = 1 << 20  # Gradio keeps it in memory; apart from uploads, the page sends far less

Refusal = tuple[int, str]  # status and reason


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

    def __init__(self, app: ASGIApp, *, hosts: tuple[str, ...] | None, uploads: Path, most_bytes: int) -> None:
        self._app = app
        self._hosts = hosts
        self._uploads = uploads
        self._most_bytes = most_bytes
        self._incoming_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        is_post = scope["type"] == "http" and scope["method"] == "POST"
        is_upload = is_post and scope["path"].rstrip("/").endswith("/upload")
        refusal = self._foreign(headers)
        if refusal is None and is_post:
            refusal = self._unfit_upload(headers) if is_upload else _unfit_message(headers)
        if refusal is not None:
            status, reason = refusal
            is_socket = scope["type"] == "websocket"
            answer = WebSocketClose(1008, reason[:100]) if is_socket else PlainTextResponse(f"{reason}\n", status)
            await answer(scope, receive, send)
            return
        incoming_bytes = int(headers["content-length"]) if is_upload else 0
        self._incoming_bytes += incoming_bytes
        try:
            await self._app(scope, receive, send)
        finally:
            self._incoming_bytes -= incoming_bytes

    def _foreign(self, headers: Headers) -> Refusal | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        try:
            name = urlsplit(f"//{host}").hostname
            own_origin = origin is None or urlsplit(origin).netloc == host
        except ValueError:  # brackets that don't close
            return 403, "malformed host or origin"
        if self._hosts is not None and name not in self._hosts:
            return 403, f"this page is not served as {host!a}"
        return None if own_origin else (403, f"this page takes nothing from {origin!a}")

    def _unfit_upload(self, headers: Headers) -> Refusal | None:
        length = headers.get("content-length", "")
        if not length.isdecimal():
            return 411, "an upload must say how long it is"
        if int(length) > self._most_bytes:
            return 413, "the upload is larger than this page takes"
        if _bytes_below(self._uploads) + self._incoming_bytes + int(length) > self._most_bytes:
            return 507, "too much is uploaded at the moment; try again in some minutes"
        return None


def _unfit_message(headers: Headers) -> Refusal | None:
    length = headers.get("content-length", "")
    if "transfer-encoding" in headers:
        return 411, "a message must say how long it is"
    if length.isdecimal() and int(length) > MOST_MESSAGE_BYTES:
        return 413, f"a message has at most {MOST_MESSAGE_BYTES:,} bytes; upload recordings"
    if headers.get("content-type", "").startswith("multipart/"):  # to Gradio's video editor
        return 415, "this page takes uploads at /gradio_api/upload only"
    return None


def _bytes_below(folder: Path) -> int:
    total = 0
    for here, _, names in os.walk(folder):  # Path.rglob raises if a folder is deleted meanwhile
        for name in names:
            with suppress(OSError):  # deleted just now
                total += os.stat(os.path.join(here, name)).st_size
    return total
