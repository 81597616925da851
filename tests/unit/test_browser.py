"""The browser of the tests: it notes what a page asks for and complains of, and is not done without in CI."""

from pathlib import Path

import pytest

from tests import browser

PAGE = """<!doctype html><title>probe</title><p id="said">hello</p>
<img src="http://192.0.2.1/picture.png"><script>console.error("so it is"); missing()</script>"""


def test_a_page_is_shown_and_what_it_asks_of_others_is_refused_and_noted(tmp_path: Path) -> None:
    (tmp_path / "probe.html").write_text(PAGE, encoding="utf-8")
    with browser.watched_page() as watched:
        watched.page.goto((tmp_path / "probe.html").as_uri())
        assert watched.page.inner_text("#said") == "hello"
        assert watched.outside == ["http://192.0.2.1/picture.png"]
        assert any(complaint.startswith("so it is") for complaint in watched.complaints)
        assert any("missing is not defined" in complaint for complaint in watched.complaints)


@pytest.mark.parametrize(
    ("url", "is_local"),
    [
        ("http://127.0.0.1:7860/config", True),
        ("file:///tmp/report.html", True),
        ("data:text/plain,x", True),
        ("https://fonts.googleapis.com/css2", False),
        ("http://127.0.0.1.example.com/", False),
    ],
)
def test_only_loopback_is_local(url: str, is_local: bool) -> None:
    assert browser._is_local(url) is is_local


@pytest.mark.parametrize(("ci", "outcome"), [(None, pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_without_a_browser_a_test_is_skipped_but_fails_in_ci(
    monkeypatch: pytest.MonkeyPatch, ci: str | None, outcome: type[BaseException]
) -> None:
    monkeypatch.delenv("CI", raising=False)
    if ci is not None:
        monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(browser, "chromium_path", lambda: None)
    with pytest.raises(outcome, match="no browser is installed"), browser.watched_page():
        pass
