"""Folders of annotated recordings as linguists and corpora have them: tiers, speakers, torn recordings."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from accel_asr.data.indexing.index_building import open_index
from accel_asr.data.reading.sources import SourceName
from accel_asr.data.reading.timed_texts.tier_choice import TierSettings
from tests.unit.data.local_sources import load, refused
from tests.unit.data.reading.timed_texts.test_elan_files import HEADER, TIERS

RATE_HZ = 16_000
Label = tuple[float, float, str]


def audio(seconds: float, kind: str = "WAV") -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(0).normal(size=round(seconds * RATE_HZ)) * 0.1
    soundfile.write(file, noise, RATE_HZ, format=kind, subtype="OPUS" if kind == "OGG" else "PCM_16")
    return file.getvalue()


def textgrid(**tiers: list[Label]) -> str:
    """A TextGrid in short form; names of tiers are written with _ for what Python does not allow."""
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "0", "9", "<exists>", str(len(tiers))]
    for name, labels in tiers.items():
        lines += ['"IntervalTier"', f'"{name}"', "0", "9", str(len(labels))]
        lines += [f'{start_s}\n{end_s}\n"{text}"' for start_s, end_s, text in labels]
    return "\n".join(lines) + "\n"


def rows(source) -> list[tuple[str, float | None, float | None, str | None]]:
    return [(row.audio.name, row.start_s, row.end_s, row.text) for row in source.rows]


def has_notice(source, *words: str) -> bool:
    return any(all(word in notice for word in words) for notice in source.notices)


WORDS = [
    (0.0, 0.5, "sil"),
    (0.5, 1.0, "boozhoo"),
    (1.0, 1.25, ""),
    (1.25, 1.5, "aandeg"),
    (1.5, 2.5, "<p>"),
    (2.5, 3.0, "x"),
]
PHONES = [(0.5, 0.75, "B"), (0.75, 1.0, "UW")]
PHRASES = [(0.5, 1.5, "Boozhoo, aandeg."), (2.5, 3.0, "X.")]


def test_words_are_joined_and_silence_is_counted(folder) -> None:
    source = load(folder({"a.wav": audio(4), "a.TextGrid": textgrid(words=WORDS, phones=PHONES)}))
    assert rows(source) == [("a.wav", 0.5, 1.5, "boozhoo aandeg"), ("a.wav", 2.5, 3.0, "x")]
    assert has_notice(source, "'words' in 1 files", "--data.tier")
    assert has_notice(source, "2 of 6 cues are left out: labels of silence", "a.TextGrid")
    assert has_notice(source, "1 of 6 cues are left out: without text")
    assert has_notice(source, "3 of 6 cues are words, which are joined")


def test_a_tier_by_the_setting(folder) -> None:
    there = folder({"a.wav": audio(4), "a.TextGrid": textgrid(words=WORDS, phrases=PHRASES, phones=PHONES)})
    assert [row.text for row in load(there).rows] == ["Boozhoo, aandeg.", "X."]
    assert [row.text for row in load(there, tiers=TierSettings("words")).rows] == ["boozhoo aandeg", "x"]
    assert [row.text for row in load(there, tiers=TierSettings("phon*")).rows] == ["B", "UW"]
    refused(there, "--data.tier", "'gloss'", "no such tier", "'phrases' (2 labels", tiers=TierSettings("gloss"))


def test_tiers_of_speakers_need_a_pattern(folder) -> None:
    ann, ben = [(0.5, 1.5, "Aaniin")], [(1.0, 2.0, "Boozhoo")]
    there = folder({"a.wav": audio(4), "a.TextGrid": textgrid(Ann=ann, Ben=ben)})
    refused(there, "--data.tier", "'Ann' (1 labels, such as Aaniin)", "'Ben'", "--data.tier NAME")
    source = load(there, tiers=TierSettings("*"))
    assert [(row.text, row.speaker) for row in source.rows] == [("Aaniin", "Ann"), ("Boozhoo", "Ben")]
    (row,) = load(there, tiers=TierSettings("*", "b*")).rows
    assert row.text == "Boozhoo"
    refused(there, "--data.speaker", "'Cy'", "'Ann' (1 labels), 'Ben'", tiers=TierSettings("*", "Cy"))


def test_of_several_annotations_the_first_with_text_is_read(folder) -> None:
    """As `layouts/textgrid-praatio` has them."""
    there = folder(
        {
            "bob.wav": audio(4),
            "bob_16bit.wav": audio(4),
            "bob_phones.TextGrid": textgrid(phone=PHONES),
            "bob_words.TextGrid": textgrid(word=WORDS),
            "bob_words_2.TextGrid": textgrid(a=PHRASES, b=PHRASES),
            "take_1.wav": audio(4),
            "take_1_2.TextGrid": textgrid(word=WORDS),
        }
    )
    source = load(there)
    assert rows(source) == [("bob.wav", 0.5, 1.5, "boozhoo aandeg"), ("bob.wav", 2.5, 3.0, "x")]
    assert has_notice(source, "1 annotations have no such tier", "bob_phones.TextGrid")
    assert has_notice(source, "1 more annotations", "bob_words_2.TextGrid")
    assert has_notice(source, "1 annotations have no audio file", "take_1_2.TextGrid")
    assert has_notice(source, "2 of 3 audio files have no annotation", "bob_16bit.wav, take_1.wav")
    assert len(load(f"{there}/*phones.TextGrid", tiers=TierSettings("phone")).rows) == 2
    refused(there / "bob_words_2.TextGrid", "--data.tier", "several", "'a'", "'b'")


def test_stories_in_elan_with_two_speakers_and_a_renamed_recording(folder) -> None:
    crow = HEADER + TIERS
    of_ben = crow.replace("Ann", "Ben").replace("the%20crow.wav", "the%20wolf.wav").replace("Aandeg", "Ma'iingan")
    there = folder({"the crow.wav": audio(5), "1.eaf": crow, "the wolf.wav": audio(5), "wolf/2.eaf": of_ben})
    source = load(there)
    assert rows(source) == [("the crow.wav", 0.5, 2.5, "Aandeg & niin"), ("the wolf.wav", 0.5, 2.5, "Ma'iingan & niin")]
    assert [row.speaker for row in source.rows] == ["Ann", "Ben"]
    assert [row.text for row in load(there, tiers=TierSettings("tx", "Ben")).rows] == ["Ma'iingan & niin"]
    assert rows(load(there / "1.eaf", tiers=TierSettings("mb"))) == [("the crow.wav", 0.5, 2.5, "aandegw n-iin")]
    # a header that was copied from another file: its own name counts
    same_name = folder({"1.wav": audio(5)}) / "1.eaf"
    assert rows(load(same_name))[0][0] == "1.wav"


@pytest.mark.parametrize(("kind", "kept"), [("WAV", 5), ("FLAC", 5), ("AIFF", 5), ("OGG", 4)])  # pages of a second
def test_annotations_beyond_the_end_of_a_torn_recording(folder, kind: str, kept: int) -> None:
    whole = audio(9, kind)
    labels = [(float(number), number + 1.0, f"phrase {number}") for number in range(9)]
    files = {"story.TextGrid": textgrid(phrase=labels), f"story.{kind.lower()}": whole[: len(whole) * 5 // 8]}
    there = folder(files)
    source = load(there)
    assert [row.text for row in source.rows] == [f"phrase {number}" for number in range(kept)]
    assert has_notice(source, f"{9 - kept} of 9 cues are left out: beyond the end", "story.TextGrid")
    index, _ = open_index(
        SourceName(str(there)),
        cache_dir=there.parent / "cache",
        sampling_rate_hz=RATE_HZ,
        channel=None,
        decode_all=True,
    )
    assert index.durations_s.tolist() == [1.0] * kept  # none of them is reported as unreadable


def test_a_recording_that_cannot_be_read_is_left_to_the_survey(folder) -> None:
    there = folder({"a.wav": b"torn", "a.TextGrid": textgrid(phrase=PHRASES)})
    assert len(load(there).rows) == 2


def test_stm_and_ctm_name_their_recordings(folder) -> None:
    stm = (
        "talk A ann 0.25 1.5 <o,f0,female> so we begin\n"
        "talk A inter_segment_gap 1.5 2 <o,,> ignore_time_segment_in_scoring\n"
        "talk A ben 2 3 <o,f0,male> <unk> it is\n"
        "lost A ben 2 3 <o,f0,male> it is\n"
    )
    there = folder({"sph/talk.sph": audio(4, "NIST"), "stm/talk.stm": stm})
    source = load(there)
    assert rows(source) == [("talk.sph", 0.25, 1.5, "so we begin")]
    assert source.rows[0].speaker == "ann"
    assert has_notice(source, "1 of 3 cues are left out: labels of silence")
    assert has_notice(source, "1 of 3 cues are left out: with a word that is not written")
    assert has_notice(source, "1 annotations have no audio file: lost of stm/talk.stm")
    ctm = "talk 1 0.5 0.25 hello 0.98\ntalk 1 0.75 0.5 you\ntalk 1 2.5 0.25 there\n"
    assert rows(load(folder({"all.ctm": ctm}) / "all.ctm")) == [
        ("talk.sph", 0.5, 1.25, "hello you"),
        ("talk.sph", 2.5, 2.75, "there"),
    ]


def test_timit_as_it_is_distributed(folder) -> None:
    home = "TRAIN/DR1/FCJF0"
    there = folder(
        {
            f"{home}/SA1.WAV": audio(46_797 / RATE_HZ, "NIST"),
            f"{home}/SA1.TXT": "0 46797 She had your dark suit in greasy wash water all year.\n",
            f"{home}/SA1.WRD": "3050 5723 she\n5723 10337 had\n26000 32000 your\n",
            f"{home}/SA1.PHN": "0 3050 h#\n3050 4559 sh\n",
            "TEST/DR1/MDAB0/SX1.WAV": audio(1, "NIST"),
            "TEST/DR1/MDAB0/SX1.TXT": "0 16000 Yes.\n",
        }
    )
    (row,) = load(there).rows
    assert (row.text, row.speaker) == ("She had your dark suit in greasy wash water all year.", "FCJF0")
    assert (row.start_s, row.end_s) == (0.0, pytest.approx(46_797 / RATE_HZ))
    assert [row.text for row in load(there, split="test").rows] == ["Yes."]
    words = load(there / home / "SA1.WRD")
    assert [(row.start_s, row.end_s, row.text) for row in words.rows] == [
        (3050 / RATE_HZ, 10337 / RATE_HZ, "she had"),
        (26_000 / RATE_HZ, 2.0, "your"),
    ]


def test_a_text_that_begins_with_numbers_is_a_text(folder) -> None:
    there = folder({"a.wav": audio(4), "a.txt": "1 2 3 go\n", "b.wav": audio(4), "b.txt": "20 90000 dollars\n"})
    assert [row.text for row in load(there).rows] == ["1 2 3 go", "20 90000 dollars"]


def test_a_tier_of_a_source_without_annotations_is_refused(folder) -> None:
    there = folder({"a.wav": audio(1), "a.txt": "plain"})
    refused(there, "--data.tier", "'words'", "no annotations", tiers=TierSettings("words"))
    refused(there, "--data.speaker", "'Ann'", "no annotations", tiers=TierSettings(None, "Ann"))


@pytest.mark.realdata
def test_the_text_grids_of_praatio_as_they_are(realdata: Path) -> None:
    there = realdata / "layouts" / "textgrid-praatio"
    source = load(there)
    assert [(row.audio.name, row.text) for row in source.rows] == [
        ("bobby.wav", "BOBBY RIPPED THE LEDGER"),
        ("mary.wav", "mary rolled the barrel"),
    ]
    assert source.rows[1].start_s == pytest.approx(0.31542, abs=1e-5)
    for path in there.glob("*.TextGrid"):
        is_of_phones = "phones" in path.name
        rows_of_file = load(path, tiers=TierSettings("phone" if is_of_phones else None)).rows
        assert len(rows_of_file) in ((9, 10) if is_of_phones else (1,)), path.name  # two phones are of 20 ms
