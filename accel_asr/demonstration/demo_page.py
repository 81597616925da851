"""The page itself, in Gradio: no analytics, nothing from other machines, one visitor after the other."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from accel_asr.demonstration.gate import LOOPBACK_HOSTS, Gate
from accel_asr.demonstration.listening import DemoError, Heard
from accel_asr.errors import UserError

LOOPBACK = "127.0.0.1"
WAITING_VISITORS = 20
CLEANED_EVERY_S = 300
API_NAME = "transcribe"
UPLOADS_HELD = 10  # of the largest size: more are refused until some have been deleted
KEPT_S = 900  # how long uploads and pictures are kept


@dataclass(frozen=True)
class Limits:
    """What a visitor may bring."""

    max_file_mb: int
    max_duration_s: float


@contextmanager
def served(
    hear: Callable[[str | None], Heard],
    *,
    model_names: Sequence[str],
    limits: Limits,
    port: int | None = None,
    share: bool = False,
) -> Iterator[str]:
    """Serve the page until the block ends; gives its address. What visitors leave is deleted after a while, and at the
    end.

    Args:
        hear: Called with the path of a recording, in one thread at a time.
        model_names: One for each text that `hear` gives.
        port: None is 7860, or the next that is free.
        share: Make it reachable from everywhere, through Gradio's servers.

    Raises:
        UserError: the port is taken, or Gradio's servers can't be reached to share the page.
    """
    with tempfile.TemporaryDirectory(prefix="accel_asr_demo_") as uploads, _gradio_settings(uploads):
        import gradio
        from starlette.middleware import Middleware

        gate = Middleware(
            Gate,
            hosts=None if share else LOOPBACK_HOSTS,
            uploads=Path(uploads),
            most_bytes=UPLOADS_HELD * limits.max_file_mb * gradio.FileSize.MB,
        )
        page = build_page(hear, model_names=model_names, limits=limits)
        page.queue(default_concurrency_limit=1, max_size=WAITING_VISITORS)
        try:
            _, address, shared_address = page.launch(
                server_name=LOOPBACK,
                server_port=port,
                share=share,
                max_file_size=limits.max_file_mb * gradio.FileSize.MB,
                prevent_thread_lock=True,
                show_error=True,
                quiet=True,
                ssr_mode=False,
                mcp_server=False,
                pwa=False,
                enable_monitoring=False,
                footer_links=[],
                app_kwargs={"middleware": [gate]},
                theme=gradio.themes.Base(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
            )
        except OSError as error:
            remedy = "give a free one" if port is None else "leave it out, or give a free one"
            raise UserError("the port is taken", setting="--port", value=port, remedy=remedy) from error
        try:
            if share and not shared_address:
                raise UserError("Gradio's servers gave no public address", setting="--share", remedy="leave it out")
            yield shared_address or address
        finally:
            page.close(verbose=False)


def build_page(hear: Callable[[str | None], Heard], *, model_names: Sequence[str], limits: Limits) -> Any:
    """The page as Gradio's `Blocks`, not yet served."""
    import gradio

    with gradio.Blocks(title="accel-asr demo", analytics_enabled=False, delete_cache=(CLEANED_EVERY_S, KEPT_S)) as page:
        gradio.Markdown(
            f"# Speech to text\nRecord something or choose a file of up to {limits.max_file_mb} MB and "
            f"{limits.max_duration_s / 60:g} minutes. The machine that serves this page deletes it within "
            f"{(KEPT_S + CLEANED_EVERY_S) // 60} minutes."
        )
        recording = gradio.Audio(
            sources=["upload", "microphone"],
            type="filepath",  # the file as it came: our decoder reads it, not FFmpeg
            label="Recording",
            elem_id="recording",
            buttons=[],
        )
        _fetch_nothing(recording)
        button = gradio.Button("Transcribe", variant="primary", elem_id="transcribe")
        message = gradio.Textbox(label="Message", elem_id="message", interactive=False, visible=False)
        with gradio.Row():
            texts = [
                gradio.Textbox(label=name, elem_id=f"text-{number}", interactive=False, lines=3, max_lines=20)
                for number, name in enumerate(model_names)
            ]
        look = {"format": "png", "show_label": False, "interactive": False, "visible": False, "buttons": []}
        with gradio.Row():  # under each other on a phone
            waveform = gradio.Image(elem_id="waveform", alt_text="waveform", min_width=320, **look)
            log_mel = gradio.Image(elem_id="log-mel", alt_text="log-mel spectrogram", min_width=320, **look)

        def answer(path: str | None) -> list[Any]:
            try:
                heard = hear(path)
            except DemoError as error:
                hidden = gradio.Image(None, visible=False)
                return [gradio.Textbox(str(error), visible=True), *[""] * len(texts), hidden, hidden]
            pictures = [gradio.Image(picture, visible=True) for picture in (heard.waveform, heard.log_mel)]
            return [gradio.Textbox(heard.note, visible=True), *heard.texts, *pictures]

        def answer_texts(path: str | None) -> list[str]:
            try:
                return hear(path).texts
            except DemoError as error:
                raise gradio.Error(str(error), print_exception=False) from error

        # one recording at a time, whoever asks
        queue = {"concurrency_limit": 1, "concurrency_id": API_NAME}
        outputs = [message, *texts, waveform, log_mel]
        button.click(answer, inputs=recording, outputs=outputs, api_visibility="private", **queue)
        # for programs; nobody sees or presses this button
        gradio.Button(visible=False).click(answer_texts, inputs=recording, outputs=texts, api_name=API_NAME, **queue)
    return page


def _fetch_nothing(recording: Any) -> None:
    """Refuse addresses in place of recordings: Gradio would fetch them from other machines, of any size."""
    move_to_cache = recording.async_move_resource_to_block_cache

    async def move_upload_to_cache(place: Any) -> Any:
        from gradio import Error

        if place is not None and urlsplit(str(place)).scheme in ("http", "https"):
            raise Error("This page takes uploaded recordings, not addresses of recordings.", print_exception=False)
        return await move_to_cache(place)

    recording.async_move_resource_to_block_cache = move_upload_to_cache


@contextmanager
def _gradio_settings(uploads: str) -> Iterator[None]:
    """Set Gradio's environment variables, and put the old ones back afterwards."""
    no_proxy = ",".join(filter(None, [os.environ.get("NO_PROXY", os.environ.get("no_proxy", "")), LOOPBACK]))
    settings = {
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_TEMP_DIR": uploads,
        "GRADIO_SHARE": "False",  # only on request, whatever the environment says
        "NO_PROXY": no_proxy,  # Gradio asks itself whether it is there
        "no_proxy": no_proxy,
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
