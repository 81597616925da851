"""Who is let in to the demo's page, by the headers of a request, without a server."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from accel_asr.demonstration.gate import LOOPBACK_HOSTS, MOST_MESSAGE_BYTES, Gate

OWN = "127.0.0.1:7860"


def status(folder: Path, *, method: str = "GET", path: str = "/", **headers: str) -> int:
    """Of the answer; 200 is the page's own."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def page(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})

    gate = Gate(page, hosts=LOOPBACK_HOSTS, uploads=folder, most_bytes=10 * MOST_MESSAGE_BYTES)
    named = {"host": OWN, **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in named.items()],
    }
    asyncio.run(gate(scope, None, send))  # type: ignore[arg-type]  # nothing is received
    return int(sent[0]["status"])


@pytest.mark.parametrize("host", ["[::1", "[x]:7860", "::1]", "evil.example", "127.0.0.1.evil.example", "", "\xff\xfe"])
def test_a_host_that_is_not_the_pages_is_refused(tmp_path: Path, host: str) -> None:
    assert status(tmp_path, host=host) == 403


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:7860", "127.0.0.1", "[::1]:7860"])
def test_the_pages_own_names_are_served(tmp_path: Path, host: str) -> None:
    assert status(tmp_path, host=host) == 200


@pytest.mark.parametrize("origin", ["http://[", "null", "", "file://", "http://evil.example", "http://127.0.0.1"])
def test_an_origin_that_is_not_the_pages_is_refused(tmp_path: Path, origin: str) -> None:
    assert status(tmp_path, origin=origin) == 403
    assert status(tmp_path, origin=f"http://{OWN}") == 200


def test_a_message_that_is_no_upload_is_short(tmp_path: Path) -> None:
    """Gradio reads it into memory whole, and looks at it afterwards."""
    join = {"method": "POST", "path": "/gradio_api/queue/join"}
    assert status(tmp_path, **join, content_length=str(MOST_MESSAGE_BYTES)) == 200
    assert status(tmp_path, **join) == 200  # with nothing in it
    assert status(tmp_path, **join, content_length=str(MOST_MESSAGE_BYTES + 1)) == 413
    assert status(tmp_path, **join, transfer_encoding="chunked") == 411
    editor = {"method": "POST", "path": "/gradio_api/process_recording"}
    assert status(tmp_path, **editor, content_length="5", content_type="multipart/form-data; boundary=x") == 415


def test_an_upload_that_never_fits_is_not_asked_to_try_again(tmp_path: Path) -> None:
    upload = {"method": "POST", "path": "/gradio_api/upload"}
    most = 10 * MOST_MESSAGE_BYTES
    assert status(tmp_path, **upload, content_length=str(most)) == 200
    assert status(tmp_path, **upload, content_length=str(most + 1)) == 413
    (tmp_path / "clip.wav").write_bytes(b"sound")
    assert status(tmp_path, **upload, content_length=str(most)) == 507
    for length in ("", "-5", "\xb2"):
        assert status(tmp_path, **upload, content_length=length) == 411, length
