"""`accel-asr demo` in a browser: what a visitor sees, asks for and leaves behind."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile

from tests.browser import Watched, skip_or_fail, watched_page
from tests.refusals import refused

PATIENCE_MS = 60_000
RATE_HZ = 16_000
NO_PICTURE = "Waveform load error"  # Gradio's player, of a file that is no recording


@pytest.fixture(scope="module", autouse=True)
def needs_gradio() -> None:
    if find_spec("gradio") is None:
        skip_or_fail("gradio is not installed")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of the quickstart's."""
    import pyarrow.parquet

    from accel_asr.quickstart import BASE_MODEL_DIR

    path = tmp_path_factory.mktemp("clip") / "clip.wav"
    row = pyarrow.parquet.read_table(BASE_MODEL_DIR.parent / "clips.parquet").slice(503, 1).to_pylist()[0]
    path.write_bytes(row["audio"]["bytes"])
    return path


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, uploads: Path) -> Iterator[str]:
    """The command itself, on the model of a run folder; ended by Ctrl-C, cleanly."""
    from accel_asr.quickstart import BASE_MODEL_DIR

    run = tmp_path_factory.mktemp("run")
    shutil.copytree(BASE_MODEL_DIR, run / "best")
    (run / "config.yaml").write_text("model: {name_or_path: quickstart}\n", encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "accel_asr", "demo", "--model", str(run / "best"), "--max_file_mb", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"TMPDIR": str(uploads), "GRADIO_SHARE": "True", "HTTP_PROXY": "http://127.0.0.1:9"},
        cwd=Path(__file__).resolve().parents[2],
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("the demo is at http://127.0.0.1:"), line + process.stdout.read()
        yield line.split()[4]
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
        assert output == "\nended\n"
        assert process.returncode == 0
        assert list(uploads.iterdir()) == []
    finally:
        process.kill()


def choose(watched: Watched, path: Path) -> None:
    watched.page.set_input_files("#recording input[type=file]", path)
    watched.page.wait_for_selector("#recording button[aria-label='Clear']", timeout=PATIENCE_MS)


def press(watched: Watched) -> str:
    """Press the button and wait for the message."""
    watched.page.click("#transcribe")
    watched.page.wait_for_selector("#message textarea", timeout=PATIENCE_MS)
    return watched.page.input_value("#message textarea")


def open_page(watched: Watched, address: str) -> None:
    watched.page.goto(address)
    watched.page.wait_for_selector("#transcribe", timeout=PATIENCE_MS)


@contextmanager
def visit(address: str, **options: int) -> Iterator[Watched]:
    """A browser with the page open."""
    with watched_page(**options) as watched:
        open_page(watched, address)
        yield watched


def test_a_clip_has_two_transcripts_and_two_pictures_and_nothing_is_asked_of_others(address: str, clip: Path) -> None:
    with visit(address, width=375) as watched:
        choose(watched, clip)
        assert press(watched) == "2.5 s of audio"
        for picture in ("#waveform img", "#log-mel img"):
            watched.page.wait_for_selector(picture, timeout=PATIENCE_MS)
            width = watched.page.eval_on_selector(picture, "image => image.decode().then(() => image.naturalWidth)")
            assert width > 500
        for text in ("#text-0 textarea", "#text-1 textarea"):
            assert watched.page.input_value(text) == "Can I move one hundred apples on Monday"
        assert "quickstart (base model)" in watched.page.inner_text("#text-1")
        assert watched.page.evaluate("document.documentElement.scrollWidth") == 375  # a phone's
        assert watched.outside == []
        assert watched.complaints == []


def test_the_page_explains_what_is_no_recording(address: str, tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_text("hello, I am a text\n" * 50)
    with visit(address) as watched:
        assert press(watched).startswith("There is no recording yet.")
        choose(watched, tmp_path / "x.wav")
        watched.page.click("#transcribe")
        watched.page.wait_for_function(
            "document.querySelector('#message textarea')?.value.startsWith(\"This recording can't be used: \")",
            timeout=PATIENCE_MS,
        )
        assert "Traceback" not in watched.page.content()
        assert watched.page.query_selector("#log-mel img") is None
        assert watched.outside == []
        assert [complaint for complaint in watched.complaints if not complaint.startswith(NO_PICTURE)] == []


def test_a_file_above_the_limit_is_refused(address: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "big.wav", np.zeros(40 * RATE_HZ, np.int16), RATE_HZ)
    with visit(address) as watched:
        watched.page.set_input_files("#recording input[type=file]", tmp_path / "big.wav")
        watched.page.wait_for_selector("text=exceed the maximum allowed size of 1.0 Mb", timeout=PATIENCE_MS)


def test_a_microphone_is_heard(address: str) -> None:
    with visit(address) as watched:
        watched.page.click("#recording button[aria-label='Record audio']")
        watched.page.click("#recording button.record-button")
        watched.page.wait_for_timeout(1500)
        watched.page.click("#recording button:visible:has-text('Stop')")
        watched.page.wait_for_selector("#recording button[aria-label='Play']", timeout=PATIENCE_MS)
        assert press(watched).endswith(" s of audio")
        assert watched.complaints == []


# -- the page alone, in this process


@pytest.fixture
def page_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    # Gradio makes the first page's folder again for every further one of a process
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    from accel_asr.demonstration.demo_page import Limits, served

    with ExitStack() as stack:
        yield lambda hear, **options: stack.enter_context(
            served(hear, model_names=["model"], limits=Limits(max_file_mb=1, max_duration_s=60), **options)
        )


def answer():
    from accel_asr.demonstration.listening import Heard

    picture = np.zeros((20, 30, 3), np.uint8)
    return Heard(texts=["said"], note="note", waveform=picture, log_mel=picture)


def test_two_visitors_at_once_are_served_one_after_the_other(page_of: Callable[..., str], clip: Path) -> None:
    inside = threading.Semaphore(1)
    met = []

    def hear(path: str | None):
        met.append(not inside.acquire(blocking=False))
        time.sleep(0.5)
        inside.release()
        return answer()

    address = page_of(hear)
    with watched_page() as watched:
        other = Watched(watched.page.context.new_page())
        for visitor in (watched, other):
            open_page(visitor, address)
            choose(visitor, clip)
        for visitor in (watched, other):
            visitor.page.click("#transcribe")
        for visitor in (watched, other):
            visitor.page.wait_for_selector("#log-mel img", timeout=PATIENCE_MS)
            assert visitor.page.input_value("#text-0 textarea") == "said"
    assert met == [False, False]


def test_what_visitors_leave_is_deleted_while_the_page_is_served(
    page_of: Callable[..., str], clip: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from accel_asr.demonstration import demo_page as page

    monkeypatch.setattr(page, "CLEANED_EVERY_S", 1)
    monkeypatch.setattr(page, "KEPT_S", 1)
    heard: list[Path] = []

    def hear(path: str | None):
        heard.append(Path(str(path)))
        assert heard[0].is_file()
        return answer()

    address = page_of(hear)
    with visit(address) as watched:
        choose(watched, clip)
        press(watched)
        assert tmp_path in heard[0].parents
        deadline_s = time.monotonic() + PATIENCE_MS / 1000
        while left := [path for path in tmp_path.rglob("*") if path.suffix in (".wav", ".png")]:
            assert time.monotonic() < deadline_s, f"still there: {left}"
            time.sleep(0.2)


def test_a_failure_of_the_program_is_shown_without_a_stack_trace(page_of: Callable[..., str], clip: Path) -> None:
    def hear(path: str | None):
        raise RuntimeError("out of <b>memory</b>")

    address = page_of(hear)
    with visit(address) as watched:
        choose(watched, clip)
        watched.page.click("#transcribe")
        watched.page.wait_for_selector("text=out of", timeout=PATIENCE_MS)
        assert "Traceback" not in watched.page.content()
        assert 'File "' not in watched.page.content()


def test_a_taken_port_is_refused(page_of: Callable[..., str]) -> None:
    address = page_of(lambda path: answer())
    port = int(address.rstrip("/").rsplit(":", 1)[1])
    with refused("--port", value=port, remedy="leave it out"):
        page_of(lambda path: answer(), port=port)
    assert page_of(lambda path: answer()) != address  # without a port: the next that is free


def test_a_page_that_can_not_be_shared_is_refused(page_of: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    from gradio import networking

    def no_server(**_: object) -> str:
        raise RuntimeError("Gradio's servers can't be reached")

    monkeypatch.setattr(networking, "setup_tunnel", no_server)
    with refused("--share", remedy="leave it out"):
        page_of(lambda path: answer(), share=True)


# -- programs, and pages of others


def test_a_program_gets_the_texts_by_the_endpoints_name(address: str, clip: Path, tmp_path: Path) -> None:
    from gradio_client import Client, handle_file
    from gradio_client.exceptions import AppError

    client = Client(address, verbose=False, analytics_enabled=False, download_files=tmp_path)
    assert client.view_api(return_format="dict")["named_endpoints"].keys() == {"/transcribe"}
    texts = client.predict(handle_file(clip), api_name="/transcribe")
    assert list(texts) == ["Can I move one hundred apples on Monday"] * 2
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(AppError, match="This recording can't be used"):
        client.predict(handle_file(tmp_path / "text.wav"), api_name="/transcribe")


def test_an_address_in_place_of_a_recording_is_not_fetched(address: str) -> None:
    """Gradio would fetch it from any other machine, however large it is."""
    from gradio_client import Client
    from gradio_client.exceptions import AppError

    client = Client(address, verbose=False, analytics_enabled=False)
    elsewhere = {"path": "https://recordings.example/clip.wav", "meta": {"_type": "gradio.FileData"}}
    with pytest.raises(AppError, match="not addresses"):
        client.predict(elsewhere, api_name="/transcribe")


def status(address: str, path: str, *, content: bytes | None = None, **headers: str) -> int:
    """The status of an answer; with `content` it is uploaded."""
    import httpx  # comes with gradio

    files = {"files": ("clip.wav", content)} if content is not None else None
    method = "GET" if content is None else "POST"
    return httpx.request(method, address + path, headers=headers, files=files, trust_env=False).status_code


def test_pages_of_others_get_nothing_and_leave_nothing(address: str) -> None:
    """More hosts and origins are in `tests/unit/demonstration/test_gate.py`."""
    own = urlsplit(address).netloc
    upload = "gradio_api/upload"
    assert status(address, "") == status(address, "", Host=f"localhost:{urlsplit(address).port}") == 200
    assert status(address, "config", Host="evil.example") == 403
    assert status(address, upload, content=b"sound", Origin=f"http://{own}") == 200
    assert status(address, upload, content=b"sound", Origin="http://evil.example") == 403


def test_all_uploads_together_have_a_limit(address: str) -> None:
    statuses = [status(address, "gradio_api/upload", content=os.urandom(900_000)) for _ in range(14)]
    assert statuses[0] == 200
    assert statuses[-1] == 507  # ten times --max_file_mb
