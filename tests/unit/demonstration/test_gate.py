"""Who is let in to the demo's page, by the headers of a request, without a server."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")  # comes with gradio

from accel_asr.demonstration.gate import LOOPBACK_HOSTS, MOST_MESSAGE_BYTES, Gate

OWN = "127.0.0.1:7860"
MOST_BYTES = 10 * MOST_MESSAGE_BYTES
JOIN = {"method": "POST", "path": "/gradio_api/queue/join"}
EDITOR = {"method": "POST", "path": "/gradio_api/process_recording"}
UPLOAD = {"method": "POST", "path": "/gradio_api/upload"}


def status(folder: Path, *, method: str = "GET", path: str = "/", **headers: str) -> int:
    """The status of the answer; 200 is the page's own."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def page(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})

    gate = Gate(page, hosts=LOOPBACK_HOSTS, uploads=folder, most_bytes=MOST_BYTES)
    named = {"host": OWN, **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in named.items()],
    }
    asyncio.run(gate(scope, None, send))  # type: ignore[arg-type]  # nothing is received
    return int(sent[0]["status"])


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        *(({"host": host}, 200) for host in ("localhost", "LOCALHOST:7860", "127.0.0.1", "[::1]:7860")),
        *(({"host": host}, 403) for host in ("[::1", "[x]:7860", "::1]", "evil.example", "", "\xff\xfe")),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({"origin": f"http://{OWN}"}, 200),
        *(({"origin": origin}, 403) for origin in ("http://[", "null", "", "file://", "http://evil.example")),
        ({"origin": "http://127.0.0.1"}, 403),
        # Gradio reads a message that is no upload into memory whole
        (JOIN | {"content_length": str(MOST_MESSAGE_BYTES)}, 200),
        (JOIN, 200),  # with nothing in it
        (JOIN | {"content_length": str(MOST_MESSAGE_BYTES + 1)}, 413),
        (JOIN | {"transfer_encoding": "chunked"}, 411),
        (EDITOR | {"content_length": "5", "content_type": "multipart/form-data; boundary=x"}, 415),
        (UPLOAD | {"content_length": str(MOST_BYTES)}, 200),
        (UPLOAD | {"content_length": str(MOST_BYTES + 1)}, 413),
        *((UPLOAD | {"content_length": length}, 411) for length in ("", "-5", "\xb2")),
    ],
)
def test_only_the_pages_own_requests_of_a_stated_length_are_let_in(
    tmp_path: Path, headers: dict[str, str], expected: int
) -> None:
    assert status(tmp_path, **headers) == expected


def test_uploads_of_all_visitors_together_have_a_limit(tmp_path: Path) -> None:
    (tmp_path / "visitor").mkdir()
    (tmp_path / "visitor" / "clip.wav").write_bytes(b"sound")
    assert status(tmp_path, **UPLOAD, content_length=str(MOST_BYTES - 5)) == 200
    assert status(tmp_path, **UPLOAD, content_length=str(MOST_BYTES - 4)) == 507
