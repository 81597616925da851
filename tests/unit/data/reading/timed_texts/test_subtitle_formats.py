"""Formats of subtitles and transcripts with times, each in a small file as its programs write it."""

import json
import sys

import pytest

from tests.refusals import refused

ONE, TWO = (1.0, 2.0, "One, two", None), (3.0, 4.0, "Three", None)
TTML = """<?xml version="1.0" encoding="UTF-8"?>
<tt xmlns="http://www.w3.org/ns/ttml" xmlns:ttp="http://www.w3.org/ns/ttml#parameter"
    xmlns:ttm="http://www.w3.org/ns/ttml#metadata" ttp:frameRate="25" ttp:tickRate="10000000">
<head><metadata><ttm:agent xml:id="ada"><ttm:name type="full">Ada L</ttm:name></ttm:agent></metadata></head>
<body begin="10s"><div>
<p begin="00:00:01.000" end="00:00:02:12" ttm:agent="ada">Hello <span>one</span><br/>two &amp; three</p>
<p begin="30000000t" dur="1s">Ticks
   wrapped</p><p><span begin="5s" end="150f">frames</span></p></div></body></tt>
"""
ASS = """[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize
Style: Default,Arial,20

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Comment: 0,0:00:00.00,0:00:05.00,Default,,0,0,0,,not shown
Dialogue: 0,0:00:01.00,0:00:02.50,Default,Ada,0,0,0,,{\\an8}{\\k20}Hel{\\k30}lo\\Nthere, you
Dialogue: 0,0:00:03.00,0:00:04.00,Default,,0,0,0,,{\\p1}m 0 0 l 10 10{\\p0}
"""
SAMI = """<SAMI><HEAD><TITLE>x</TITLE></HEAD><BODY>
<SYNC Start=1000><P Class=ENCC>One,<br>two
<SYNC Start=4000><P Class=ENCC>&nbsp;
<SYNC Start=5000><P Class=ENCC><i>Three</i>
</BODY></SAMI>
"""
SCC = """Scenarist_SCC V1.0

00:00:01:00\t94ae 94ae 9420 9420 9470 9470 c8e5 ecec ef20 ef6e e580 942f 942f

00:00:03:00\t942c 942c

"""
JSON3 = (
    '{"events": [{"tStartMs": 0, "dDurationMs": 9000, "wpWinPosId": 1},'
    '{"tStartMs": 80, "dDurationMs": 3910, "segs": [{"utf8": "hello"}, {"utf8": " my", "tOffsetMs": 400}]},'
    '{"tStartMs": 2070, "dDurationMs": 1840, "aAppend": 1, "segs": [{"utf8": "\\n"}]},'
    '{"tStartMs": 2080, "dDurationMs": 3000, "segs": [{"utf8": "next"}]}]}'
)
SRV3 = (
    '<?xml version="1.0" encoding="utf-8" ?><timedtext format="3"><head><ws id="0"/></head><body><w t="0" id="1"/>'
    '<p t="80" d="3910" w="1"><s ac="0">hello</s><s t="400"> my</s></p><p t="2070" d="1840" w="1" a="1">\n</p>'
    '<p t="2080" d="3000" w="1"><s>next</s></p></body></timedtext>'
)
TTML_CUES = [
    (11.0, 12.48, "Hello one two & three", "Ada L"),
    (13.0, 14.0, "Ticks wrapped", None),
    (15.0, 16.0, "frames", None),
]
LRC = "[ti:x]\n[offset:+500]\n[00:01.50][00:09.50]Hello <00:02.00> one\n[00:03.00]Two\n[00:05.00]\n"
LRC_CUES = [
    (1.0, None, "Hello one", None),
    (2.5, None, "Two", None),
    (4.5, None, "", None),
    (9.0, None, "Hello one", None),
]
SUBVIEWER_1 = "[TITLE]\nx\n[BEGIN]\n[00:00:01]\nOne,|two\n[00:00:02]\n\n[00:00:03]\nThree\n[00:00:04]\n\n[end]\n"
SPRUCE = "$FontName = Arial\n\n00:00:01:00 , 00:00:02:00 , One,|two\n00:00:03:00 , 00:00:04:00 , Three\n"
XML = '<tt:tt xmlns:tt="http://www.w3.org/ns/ttml"><tt:body><tt:p begin="1" end="2">One, two</tt:p></tt:body></tt:tt>'
USF = (
    '<USFSubtitles><subtitles><subtitle start="00:00:01.000" stop="00:00:02.000"><text>One, two</text></subtitle>'
    "</subtitles></USFSubtitles>"
)
TTXT = '<TextStream><TextSample sampleTime="00:00:01.000" xml:space="preserve">One, two</TextSample></TextStream>'
SRV1 = '<?xml version="1.0" ?><transcript><text start="0.08" dur="3.91">it&amp;#39;s me</text></transcript>'
YOUTUBE = [(0.08, 3.99, "hello my", None), (2.08, 5.08, "next", None)]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.ass", ASS, [(1.0, 2.5, "Hello there, you", "Ada")]),
        ("a.smi", SAMI, [(1.0, None, "One, two", None), (4.0, None, "", None), (5.0, None, "Three", None)]),
        ("a.sub", "{1}{1}25.000\n{25}{50}{Y:i}One,|two\n{75}{100}Three\n", [ONE, TWO]),
        ("a.sub", "[10][20]/One,|two\n[30][40]Three\n", [ONE, TWO]),
        ("a.sub", "00:00:01.00,00:00:02.00\nOne,[br]two\n\n00:00:03.00,00:00:04.00\nThree\n", [ONE, TWO]),
        ("a.sub", SUBVIEWER_1, [ONE, TWO]),
        ("a.sub", "TITLE=x\nFORMAT=TIME\n\n1 1\nOne, two\n\n1 1\nThree\n\n", [ONE, TWO]),
        ("a.mpl", "[10][20]/One,|two\n[30][40]Three\n", [ONE, TWO]),
        ("a.txt", "[10][20]One,|two\n[30][40]Three\n", [ONE, TWO]),
        ("a.tmp", "00:00:01:One,|two\n00:00:03:Three\n", [(1.0, None, *ONE[2:]), (3.0, None, *TWO[2:])]),
        ("a.txt", "00:00:01=One,|two\n00:00:03=Three\n", [(1.0, None, *ONE[2:]), (3.0, None, *TWO[2:])]),
        ("a.scc", SCC, [(1.0, 3.0, "Hello one", None)]),
        ("a.stl", SPRUCE, [ONE, TWO]),
        ("a.pjs", '  10,   20, "One,|two"\n  30, 40, "Three"\n', [ONE, TWO]),
        ("a.aqt", "-->> 000025\nOne,\ntwo\n-->> 000050\n\n-->> 000075\nThree\n-->> 000100\n\n", [ONE, TWO]),
        ("a.jss", "0:00:01.00 0:00:02.00 D One,\\ntwo\n0:00:03.00 0:00:04.00 D Three\n", [ONE, TWO]),
        ("a.ttml", TTML, TTML_CUES),
        ("a.dfxp", TTML.replace("ns/ttml", "2006/10/ttaf1"), TTML_CUES),
        ("a.xml", XML, [ONE]),
        ("a.xml", "<manifest><row/></manifest>", None),
        ("a.usf", USF, [ONE]),
        ("a.ttxt", TTXT, [(1.0, None, *ONE[2:])]),
        ("a.srv1", SRV1, [(0.08, 3.99, "it's me", None)]),
        ("a.srv3", SRV3, YOUTUBE),
        ("a.json3", JSON3, YOUTUBE),
        ("a.json", JSON3, YOUTUBE),
        ("a.lrc", LRC, LRC_CUES),
        ("a.txt", "[00:00:01] One, two\n[00:00:03] Three\n", [(1.0, None, *ONE[2:]), (3.0, None, *TWO[2:])]),
        ("a.txt", "[00:01.000 --> 00:02.000]  One, two\n[00:00:03.000 --> 00:00:04.000]  Three\n", [ONE, TWO]),
        ("a.txt", "[00:01.000 -> 00:02.000]  One, two\n", [ONE]),
        ("a.txt", "1\n00:00:01,000 --> 00:00:02,000\nOne, two\n", [ONE]),
        ("a.txt", "At 10:30 we met.\nThen at 11:15 he left.\n", None),
    ],
)
def test_a_file_of_each_format(cues, name: str, content: str, expected: object) -> None:
    assert cues(name, content) == expected


# -- Audacity


def test_audacity_labels(cues) -> None:
    labels = "1.000000\t2.000000\tOne, two\n\\\t100.0\t2000.0\n3,000000\t4,000000\tThree\n5.0\t5.0\n"
    assert cues("a.txt", labels) == [ONE, TWO, (5.0, 5.0, "", None)]


@pytest.mark.parametrize("plain", ["1 2 three\n", "1.0\t2.0\tOne\nand a line of text\n", "", "12\tapples\n"])
def test_a_plain_text_is_no_list_of_labels(cues, plain: str) -> None:
    assert cues("a.txt", plain) is None


# -- what programs that run Whisper write

ROW = {"start": 1.0, "end": 2.0, "text": " One, two"}
MS_ROW = {"start": 1000, "end": 2000, "text": "One, two"}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        # openai's and faster-whisper's; the service's verbose_json; WhisperX's
        (
            {"text": "x", "segments": [{"id": 0, **ROW, "tokens": [1]}, {"start": 3, "end": 4, "text": " Three"}]},
            [ONE, TWO],
        ),
        ({"task": "transcribe", "segments": [ROW], "words": [{"word": "One", "start": 1.0, "end": 1.5}]}, [ONE]),
        (
            {"segments": [{**ROW, "speaker": "SPEAKER_01", "words": []}], "word_segments": []},
            [(*ONE[:3], "SPEAKER_01")],
        ),
        # whisper.cpp's and transformers'
        ({"transcription": [{"offsets": {"from": 1000, "to": 2000}, "text": " One, two"}]}, [ONE]),
        ({"chunks": [{"timestamp": [1.0, None], "text": " One, two"}]}, [(1.0, None, *ONE[2:])]),
        # services of transcription, pysubs2, Bilibili
        ({"utterances": [MS_ROW | {"speaker": "A"}], "words": [MS_ROW]}, [(*ONE[:3], "A")]),
        (
            {"results": {"audio_segments": [{"start_time": "1.0", "end_time": "2.0", "transcript": "One, two"}]}},
            [ONE],
        ),
        ({"info": {}, "styles": {}, "events": [MS_ROW | {"name": ""}]}, [ONE]),
        ({"body": [{"from": 1.0, "to": 2, "content": "One, two"}]}, [ONE]),
        ([ROW], [ONE]),
        ({"segments": []}, []),
        # what is none
        ([{"audio": "a.wav", **ROW}], None),
        ({"duration": 3.0, "segments": 2}, None),
        ({"segments": [{"label": "noise", "start": 1.0, "end": 2.0}]}, None),
        ([{"start": 10**400, "end": 2, "text": "One"}], None),
        ("text", None),
    ],
)
def test_json_of_segments(cues, content: object, expected: object) -> None:
    assert cues("a.json", json.dumps(content)) == expected


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", "start\tend\ttext\n1000\t2000\tOne, two\n3000\t4000\tThree\n"),
        ("a.tsv", "start\tend\ttext\r\n1.0\t2.0\tOne, two\r\n3\t4\tThree\r\n"),
        ("a.tsv", "start\tend\ttext\n1\t2\tOne, two\n3\t4\tThree\n"),
        ("a.csv", '"start","end","text"\n1000,2000,"One, two"\n3000,4000,"Three"\n'),
        ("a.csv", 'start,end,text\n1000, 2000, "One, two"\n3000, 4000, "Three"\n'),
    ],
)
def test_tables_of_times(cues, name: str, content: str) -> None:
    assert cues(name, content) == [ONE, TWO]


def test_other_tables_are_no_cues(cues) -> None:
    assert cues("a.tsv", "path\tstart\tend\ttext\na.wav\t1\t2\tOne\n") is None
    assert cues("a.csv", "file_name,text\na.wav,One\n") is None


# -- what can't be read


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("a.sub", "{25}{50}One\n", "{1}{1}25"),
        ("a.ttml", "<tt><body><p begin='1s'>x</body></tt>", "not XML"),
        ("a.ttml", "<tt><body timeContainer='seq'><p begin='1s'>x</p></body></tt>", "seq"),
        ("a.ttml", "<tt><body><p begin='soon'>x</p></body></tt>", "'soon' is no time"),
        ("a.ttml", "<!DOCTYPE tt [<!ENTITY a 'b'>]><tt><body/></tt>", "entities"),
        ("a.ttml", "<html/>", "'html'"),
        ("a.lrc", "words without times", "time"),
    ],
)
def test_damage_is_named(cues, name: str, content: str, word: str) -> None:
    with pytest.raises(ValueError, match=word.replace("{", r"\{")):
        cues(name, content)


@pytest.mark.parametrize(("name", "package", "extra"), [("a.ass", "pysubs2", "subtitles"), ("a.pjs", "av", "audio")])
def test_a_missing_package_is_named_with_the_remedy(
    cues, monkeypatch: pytest.MonkeyPatch, name: str, package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with refused("--data.name_or_path", "not installed", remedy=f"pip install 'accel-asr[{extra}]'"):
        cues(name, "x")
