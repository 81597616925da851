"""A headless Chromium for tests of pages: it reaches loopback only and records what a page requests.

Without a browser such a test is skipped, with the reason; where the environment variable CI is set it fails.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
LOCAL_SCHEMES = ("file", "data", "blob", "about")
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
# a page's requests are watched below; these stop the browser's own, which nothing would record
ARGUMENTS = (
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--use-fake-ui-for-media-stream",  # a microphone is granted without a question
    "--use-fake-device-for-media-stream",  # and beeps
)


@dataclass
class Watched:
    """A page and what it did; both lists grow while the page is open."""

    page: "Page"
    outside: list[str] = field(default_factory=list)  # addresses off loopback that it requested in vain
    complaints: list[str] = field(default_factory=list)  # errors on its console, and uncaught errors


def chromium_path() -> Path | None:
    """The installed Chromium or Chrome; None where there is none."""
    paths = (shutil.which(name) for name in CHROMIUM_NAMES)
    return next((Path(path) for path in paths if path is not None), None)


def skip_or_fail(reason: str) -> None:
    """Skip a test that lacks something; in CI, where it must not be missing, fail it."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason}, and in CI (the environment variable CI is set) it must be")
    pytest.skip(reason)


@contextmanager
def watched_page(*, width: int = 1280, height: int = 900, offline: bool = False) -> Iterator[Watched]:
    """A new page in a new browser, closed afterwards; its requests off loopback are refused and recorded.

    Args:
        offline: No server can be reached: for a file that must work alone.
    """
    if find_spec("playwright") is None:
        skip_or_fail("playwright is not installed")
    from playwright.sync_api import ConsoleMessage, Route, sync_playwright

    path = chromium_path()
    if path is None:
        skip_or_fail(f"no browser is installed (looked for {', '.join(CHROMIUM_NAMES)})")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        try:
            context = browser.new_context(viewport={"width": width, "height": height}, offline=offline)
            watched = Watched(context.new_page())

            def pass_or_refuse(route: Route) -> None:
                url = route.request.url
                if _is_local(url):
                    route.continue_()
                else:
                    watched.outside.append(url)
                    route.abort()

            def note(message: ConsoleMessage) -> None:
                if message.type == "error":
                    watched.complaints.append(f"{message.text} ({message.location.get('url', '')})")

            context.route("**/*", pass_or_refuse)
            watched.page.on("console", note)
            watched.page.on("pageerror", lambda error: watched.complaints.append(str(error)))
            yield watched
        finally:
            browser.close()


def _is_local(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in LOCAL_SCHEMES or parts.hostname in LOOPBACK_HOSTS
