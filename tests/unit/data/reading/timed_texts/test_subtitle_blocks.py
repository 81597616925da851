"""SubRip, WebVTT, .sbv and SubViewer in the variants that people have."""

import pytest


def test_the_plain_case(cues) -> None:
    srt = "1\n00:00:01,500 --> 01:02:03,004\nOne,\ntwo\n\n2\n01:02:04,000 --> 01:02:05,000\nThree\n"
    expected = [(1.5, 3723.004, "One, two", None), (3724.0, 3725.0, "Three", None)]
    assert cues("a.srt", srt) == expected
    assert cues("a.srt", srt.replace("\n", "\r\n")) == expected
    assert cues("a.srt", srt.replace("\n", "\r")) == expected
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        assert cues("a.srt", srt.encode(encoding)) == expected


def test_old_encodings(cues) -> None:
    srt = "1\n00:00:01,000 --> 00:00:02,000\nL\u2019été à la “Garçonnière” \u2013 où ça?\n"
    assert cues("a.srt", srt.encode("cp1252"))[0][2] == "L\u2019été à la “Garçonnière” \u2013 où ça?"
    russian = "1\n00:00:01,000 --> 00:00:02,000\nДля чего?\n".encode("cp1251")
    with pytest.raises(ValueError, match="save it as UTF-8"):
        cues("a.srt", russian)


@pytest.mark.parametrize(
    ("line", "start_s", "end_s"),
    [
        ("00:00:01.500 --> 00:00:02.000", 1.5, 2.0),  # a point in SubRip
        ("00:01,500 --> 00:02,000", 1.5, 2.0),  # no hours
        ("0:0:1,5 --> 0:0:2,25", 1.5, 2.25),
        ("00:00:01 --> 00:00:02", 1.0, 2.0),  # no milliseconds
        ("100:00:01,000 --> 100:00:02,000", 360001.0, 360002.0),
        ("-00:00:01,000 --> 00:00:02,000", -1.0, 2.0),
        ("00:00:01,500-->00:00:02,000", 1.5, 2.0),
        ("00: 00: 01, 500 --> 00: 00: 02, 000", 1.5, 2.0),  # as machine translation leaves them
        ("00:00:01,500 -> 00:00:02,000", 1.5, 2.0),
        ("00:00:01,500 --> 00:00:02,000 X1:100 X2:200 Y1:10 Y2:20", 1.5, 2.0),
        ("00:00:03,000 --> 00:00:02,000", 3.0, 2.0),
    ],
)
def test_lines_of_times(cues, line: str, start_s: float, end_s: float) -> None:
    assert cues("a.srt", f"1\n{line}\nHello\n") == [(start_s, end_s, "Hello", None)]


def test_numbers_that_are_missing_wrong_or_text(cues) -> None:
    times = ["00:00:01,000 --> 00:00:02,000", "00:00:03,000 --> 00:00:04,000"]
    without = f"{times[0]}\nOne\n\n{times[1]}\nTwo\n"
    assert [cue[2] for cue in cues("a.srt", without)] == ["One", "Two"]
    wrong = f"7\n{times[0]}\nOne\n\n7\n{times[1]}\nTwo\n"
    assert [cue[2] for cue in cues("a.srt", wrong)] == ["One", "Two"]
    no_blank_lines = f"1\n{times[0]}\nOne\n2\n{times[1]}\nTwo\n"
    assert [cue[2] for cue in cues("a.srt", no_blank_lines)] == ["One", "Two"]
    is_text = f"{times[0]}\nThe answer is\n42\n\n{times[1]}\nTwo\n"
    assert [cue[2] for cue in cues("a.srt", is_text)] == ["The answer is 42", "Two"]
    empty = f"1\n{times[0]}\n\n2\n{times[1]}\nTwo\n"
    assert [cue[2] for cue in cues("a.srt", empty)] == ["", "Two"]
    blank_inside = f"1\n{times[0]}\nOne\n\nmore\n\n2\n{times[1]}\nTwo\n"
    assert [cue[2] for cue in cues("a.srt", blank_inside)] == ["One more", "Two"]


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<i>Hello</i> <b>you</b>", "Hello you"),
        ('<font color="#ffff00">Hello</font>', "Hello"),
        (r"{\an8}Up here{\i0}", "Up here"),
        (r"One\NTwo\hthree", "One Two three"),
        ("a<br>b<br/>c", "a b c"),
        ("Q&amp;A &lt;now&gt; I&#39;m&nbsp;in", "Q&A <now> I'm in"),
        ("\u202aHello\u202c \ufeffyou\u200b", "Hello you"),
        ("3 < 4 and 5 > 2", "3 < 4 and 5 > 2"),
    ],
)
def test_markup_is_no_text(cues, markup: str, text: str) -> None:
    assert cues("a.srt", f"1\n00:00:01,000 --> 00:00:02,000\n{markup}\n")[0][2] == text


WEBVTT = """WEBVTT - a title
Kind: captions
Language: en

STYLE
::cue { color: lime }

REGION
id:fred

NOTE A comment
over two lines

intro-1
00:01.000 --> 00:02.000 align:start position:0% line:-1
<v Roger Bingham>We are in <i>New York</i>

NOTE between

2
00:00:03.000 --> 00:00:04.500
<v.loud Esme &amp; Co>It is <ruby>漢字<rt>かんじ</rt></ruby> &amp; more</v>

00:05.000 --> 00:06.000
<v A>Yes. <v B>No.
"""


def test_webvtt_with_everything(cues) -> None:
    assert cues("a.vtt", WEBVTT) == [
        (1.0, 2.0, "We are in New York", "Roger Bingham"),
        (3.0, 4.5, "It is 漢字 & more", "Esme & Co"),
        (5.0, 6.0, "Yes. No.", None),
    ]


ROLLING = """WEBVTT
Kind: captions
Language: en

00:00:00.080 --> 00:00:02.070 align:start position:0%
@
hello<00:00:00.400><c> my</c><00:00:00.800><c> friends</c>

00:00:02.070 --> 00:00:02.080 align:start position:0%
hello my friends
@

00:00:02.080 --> 00:00:04.000 align:start position:0%
hello my friends
this<00:00:02.400><c> is</c><00:00:02.900><c> it</c>

00:00:04.000 --> 00:00:04.010 align:start position:0%
this is it
@

00:00:04.010 --> 00:00:06.000 align:start position:0%
this is it
goodbye
""".replace("@", " ")  # the space that YouTube writes keeps the cue from ending there


def test_rolling_captions_say_each_line_once(cues) -> None:
    assert [cue for cue in cues("a.vtt", ROLLING) if cue[2]] == [
        (0.08, 2.07, "hello my friends", None),
        (2.08, 4.0, "this is it", None),
        (4.01, 6.0, "goodbye", None),
    ]


def test_a_word_said_twice_stays(cues) -> None:
    srt = "1\n00:00:01,000 --> 00:00:02,000\nNo.\n\n2\n00:00:02,000 --> 00:00:03,000\nNo.\n"
    srt += "\n3\n00:00:03,000 --> 00:00:04,000\nWell.\n"
    assert [cue[2] for cue in cues("a.srt", srt)] == ["No.", "No.", "Well."]


def test_highlighted_words_are_one_cue(cues) -> None:
    srt = "".join(
        f"{number}\n00:00:0{number},000 --> 00:00:0{number + 1},000\n{text}\n\n"
        for number, text in enumerate(["<u>Come</u> in now", "Come <u>in</u> now", "Come in <u>now</u>", "<u>Bye</u>"])
    )
    assert cues("a.srt", srt) == [(0.0, 3.0, "Come in now", None), (3.0, 4.0, "Bye", None)]


def test_whisperx_names_speakers(cues) -> None:
    srt = "1\n00:00:01,000 --> 00:00:02,000\n[SPEAKER_01]: Hello\n"
    assert cues("a.srt", srt) == [(1.0, 2.0, "Hello", "SPEAKER_01")]


def test_times_between_commas(cues) -> None:
    assert cues("a.sbv", "0:00:01.000,0:00:02.500\nOne\ntwo\n\n0:00:03.000,0:00:04.000\nThree\n") == [
        (1.0, 2.5, "One two", None),
        (3.0, 4.0, "Three", None),
    ]
    subviewer = "[INFORMATION]\n[TITLE]x\n[END INFORMATION]\n[SUBTITLE]\n00:00:01.50,00:00:02.25\nOne[br]two\n"
    assert cues("a.sub", subviewer) == [(1.5, 2.25, "One two", None)]


def test_a_file_of_nothing_has_no_cues_and_one_without_times_is_damaged(cues) -> None:
    assert cues("a.vtt", "WEBVTT\n") == []
    assert cues("a.srt", "") == []
    with pytest.raises(ValueError, match="two times"):
        cues("a.srt", "1\nHello\n")
