"""`accel-asr report`, and its page in a browser: what a reader sees, on a desk and on a phone, by day and by night."""

import os
from pathlib import Path

import pytest

from tests.browser import Watched, watched_page
from tests.integration.launching import console
from tests.unit.evaluation.made_up_scores import score_pairs
from tests.unit.reporting.made_up_runs import a_run, make_run, rename, tone

SECTIONS = ["scores", "curves", "parts", "confusions", "odd", "utterances", "data", "settings"]
SCRIPT = "<script>document.title = 'taken over'</script>"
TEXTS = [  # reference, before training, now
    (f"pay {SCRIPT} now", "pay", f"pay {SCRIPT} & now"),
    ('quoted " onload="document.title = 1" text', "x", "quoted ' onerror='document.title = 1' text"),
    ("ขอยอดเงินคงเหลือในบัญชีออมทรัพย์ของฉัน", "ขอยอด", "ขอยอดเงินคงเหลือในบัญชีของฉัน"),
    ("口座の残高を教えてくださいお願いします", "口座", "口座の算高を教えてくださいお願いしまし"),
    ("أريد معرفة رصيد حسابي", "أريد", "أريد معرفة رصيد حسابك"),
    ("אני רוצה לדעת את היתרה", "אני", "אני רוצה לדעת את"),
    ("turn \u202eround here", "turn", "turn \u202eround there"),  # what follows the mark is written from the right
    ("🎉 hello 👩‍👩‍👧‍👦 there", "🎉", "🎉 hello there 🎉"),
    ("a" * 3_000 + " end", "a", "b" * 10_000),
    ("thanks", "no", " ".join(["thank you for watching"] * 500)),
    ("the same", "the same", "the same"),
]


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with texts of all kinds; every recording is a tone."""
    from accel_asr.reporting.charts import draw_charts
    from accel_asr.reporting.report_page import write_report
    from accel_asr.reporting.run_records import read_run

    def scored(side: int):
        pairs = [(texts[0], texts[side]) for texts in TEXTS]
        speakers = ["ann", "bob", "a speaker with a name that is very long and has no end to it at all " * 2, SCRIPT]
        return [
            score_pairs([pair], columns={"speaker": speakers[row % 4]}, duration_s=1.5 + row)[0]
            for row, pair in enumerate(pairs)
        ]

    names = [f"folder/with-a-long-name/recording-{row:04}.wav" for row in range(len(TEXTS))]
    before, now = rename(scored(1), names), rename(scored(2), names)
    summary = {
        "source": {"name_or_path": "calls/" + "deep/" * 40, "subset": None, "revision": None},
        "train": {
            "utterances": 450, "hours": 12.3, "shortest_s": 1.0, "longest_s": 29.9, "longest_label_tokens": 99
        },
        "validation": {
            "utterances": 10, "hours": 0.1, "shortest_s": 1.0, "longest_s": 9.9, "longest_label_tokens": 99
        },
        "dropped": {"no text": {"count": 2, "examples": [["calls/" + "x" * 200, "empty"], [SCRIPT, "null"]]}},
        "notices": ["train: kept 450 of 452 utterances; dropped 2 (no text)"],
    }  # fmt: skip
    folder = make_run(
        tmp_path_factory.mktemp("page") / "run", {0: before, 10: now}, train_steps=10, data_summary=summary
    )
    records = read_run(folder)
    return write_report(records, draw_charts(records), folder / "report.html", samples_of=tone)


def is_quiet(watched: Watched) -> bool:
    assert watched.outside == []
    assert watched.complaints == []
    return True


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
def test_the_page_stands_alone_and_fits_a_phone(page_file: Path, tmp_path: Path, scheme: str, width: int) -> None:
    with watched_page(width=width, offline=True) as watched:
        page = watched.page
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.goto(page_file.as_uri())
        for name in SECTIONS:
            assert page.locator(f"section#{name} h2").is_visible()
        page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.evaluate("[...document.images].every(image => image.naturalWidth === 480)")
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, background.removeprefix("rgb(").removesuffix(")").split(","))) < 150) == (scheme == "dark")
        smallest = page.evaluate(
            "Math.min(...[...document.querySelectorAll('svg text')].map(text => "
            "parseFloat(getComputedStyle(text).fontSize) * text.ownerSVGElement.getBoundingClientRect().width / 252))"
        )
        assert smallest > 10  # pixels of the letters on the axes
        folder = Path(os.environ.get("ACCEL_ASR_SCREENSHOTS", tmp_path))
        page.screenshot(path=folder / f"report-{scheme}-{width}.png", full_page=True)
        assert is_quiet(watched)


def test_texts_of_the_data_are_shown_and_not_run(page_file: Path) -> None:
    with watched_page(offline=True) as watched:
        watched.page.goto(page_file.as_uri())
        assert watched.page.evaluate("document.scripts.length") == 0
        assert watched.page.title().startswith("run: The difference could be chance: ")
        cards = watched.page.locator(".card")
        assert cards.filter(has_text=SCRIPT).count() >= 1
        for said, _, _ in TEXTS[2:6]:  # each in its own direction
            card = cards.filter(has_text=said[:5]).first
            right_to_left = card.locator(".marks").first.evaluate("words => getComputedStyle(words).direction")
            assert right_to_left == ("rtl" if said[0] in "أא" else "ltr")
        assert "\u202e" not in watched.page.content()
        assert cards.filter(has_text="round").count() >= 1
        assert is_quiet(watched)


def test_a_player_plays_and_edits_are_told_apart_without_colour(page_file: Path) -> None:
    with watched_page(offline=True) as watched:
        page = watched.page
        page.goto(page_file.as_uri())
        played_s = page.locator("audio").first.evaluate(
            "audio => new Promise((done, fail) => { audio.onloadedmetadata = () => done(audio.duration);"
            "audio.onerror = () => fail(audio.error.message); audio.preload = 'metadata'; audio.load() })"
        )
        assert played_s == pytest.approx(0.5, abs=0.1)
        lines = [
            page.locator(kind).first.evaluate(
                "edit => getComputedStyle(edit).textDecorationLine + ' ' + getComputedStyle(edit).textDecorationStyle"
            )
            for kind in ("del.missed", "ins.added", ".swapped ins")
        ]
        assert lines == ["line-through solid", "underline double", "underline wavy"]
        assert is_quiet(watched)


def test_a_policy_forbids_what_would_be_fetched(page_file: Path, tmp_path: Path) -> None:
    # the page above is quiet since it asks for nothing; this page would ask
    page = page_file.read_text(encoding="utf-8")
    asking = page.replace("<main>", '<main><script>document.title = "ran"</script><img src="http://127.0.0.1:9/x.png">')
    (tmp_path / "asking.html").write_text(asking, encoding="utf-8")
    with watched_page() as watched:
        watched.page.goto((tmp_path / "asking.html").as_uri())
        assert watched.page.title() != "ran"
        assert any("Content Security Policy" in complaint for complaint in watched.complaints)


def test_the_command_opens_the_data_again(tmp_path: Path) -> None:
    """Of the quickstart's own clips; a run that trained on them left the scores of two."""
    ids = ["en-US~BALANCE/en-us+m2_0450.ogg", "en-US~FREEZE/en-us-nyc+michel_0451.ogg"]
    scored = rename(score_pairs([("a b", "a x"), ("a b", "a y")]), ids)
    folder = make_run(tmp_path / "run", {0: scored, 10: scored})
    finished = console(["report", str(folder)], cwd=tmp_path)
    assert finished.code == 0, finished.err
    assert finished.out.startswith(f"report      {folder / 'report.html'} (0.")
    assert "word_error_rate.png" in finished.out
    assert "note:" not in finished.out
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert text.count('<audio controls preload="none" src="data:audio/') == 2
    assert text.count('<img src="data:image/webp;base64,') == 2


def test_a_page_without_its_data_says_so_and_why(tmp_path: Path) -> None:
    folder = a_run(tmp_path / "run", settings=["--data.name_or_path", str(tmp_path / "gone")])
    finished = console(["report", str(folder), "--output", "other/page.html", "--step", "20"], cwd=tmp_path)
    assert finished.code == 0, finished.err
    assert "note: the data can't be opened, so there are no players in the report" in finished.out
    assert str(tmp_path / "gone") in finished.out
    text = (tmp_path / "other" / "page.html").read_text(encoding="utf-8")
    assert "<audio" not in text
    assert "This page has no players and pictures" in text
    assert "the evaluation of step 20, not that of the best model" in text
    assert not (folder / "report.html").exists()


def test_what_can_not_be_reported_is_one_message(tmp_path: Path) -> None:
    finished = console(["report", str(a_run(tmp_path / "run")), "--step", "7"], cwd=tmp_path)
    assert finished.code == 2
    assert finished.err.startswith("error: --step 7: ")
    assert finished.err.endswith("0, 10, 20\n")
    assert finished.err.count("\n") == 1
