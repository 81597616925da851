"""ELAN's files: tiers with times and without, speakers, and the recording in the header."""

from pathlib import Path

import pytest
from pympi import Eaf

from accel_asr.data.reading.timed_texts.elan_files import read_elan
from accel_asr.data.reading.timed_texts.timed_cues import AnnotationFile, TimedCue

HEADER = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2020-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0">
  <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
    <MEDIA_DESCRIPTOR MEDIA_URL="file:///D:/field/the%20crow.wav" MIME_TYPE="audio/x-wav"/>
  </HEADER>
  <TIME_ORDER>
    <TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="500"/>
    <TIME_SLOT TIME_SLOT_ID="ts2"/>
    <TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="2500"/>
    <TIME_SLOT TIME_SLOT_ID="ts4" TIME_VALUE="3000"/>
    <TIME_SLOT TIME_SLOT_ID="ts5" TIME_VALUE="4250"/>
  </TIME_ORDER>
"""
TIERS = """
  <TIER TIER_ID="ref@Ann" PARTICIPANT="Ann" LINGUISTIC_TYPE_REF="ref">
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts3">
      <ANNOTATION_VALUE>crow.001</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts4" TIME_SLOT_REF2="ts5">
      <ANNOTATION_VALUE>crow.002</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
  </TIER>
  <TIER TIER_ID="tx@Ann" PARTICIPANT="Ann" LINGUISTIC_TYPE_REF="tx" PARENT_REF="ref@Ann">
    <ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a3" ANNOTATION_REF="a1">
      <ANNOTATION_VALUE>Aandeg &amp; niin</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>
    <ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a4" ANNOTATION_REF="a2">
      <ANNOTATION_VALUE/></REF_ANNOTATION></ANNOTATION>
  </TIER>
  <TIER TIER_ID="wd@Ann" PARTICIPANT="Ann" LINGUISTIC_TYPE_REF="wd" PARENT_REF="tx@Ann">
    <ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a7" ANNOTATION_REF="a3" PREVIOUS_ANNOTATION="a6">
      <ANNOTATION_VALUE>niin</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>
    <ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a5" ANNOTATION_REF="a3">
      <ANNOTATION_VALUE>Aandeg</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>
    <ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a6" ANNOTATION_REF="a3" PREVIOUS_ANNOTATION="a5">
      <ANNOTATION_VALUE> &amp; </ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>
  </TIER>
  <TIER TIER_ID="mb@Ann" PARTICIPANT="Ann" LINGUISTIC_TYPE_REF="mb" PARENT_REF="wd@Ann">
    <ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a8" ANNOTATION_REF="a5">
      <ANNOTATION_VALUE>aandegw</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>
    <ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a9" ANNOTATION_REF="a7">
      <ANNOTATION_VALUE>n-iin</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>
  </TIER>
  <TIER TIER_ID="halves" LINGUISTIC_TYPE_REF="default-lt">
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="b1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
      <ANNOTATION_VALUE>first</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="b2" TIME_SLOT_REF1="ts2" TIME_SLOT_REF2="ts3">
      <ANNOTATION_VALUE>second</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
  </TIER>
  <TIER TIER_ID="empty" LINGUISTIC_TYPE_REF="default-lt"/>
</ANNOTATION_DOCUMENT>
"""


def read(folder: Path, content: str) -> list[TimedCue]:
    path = folder / "a.eaf"
    path.write_text(content, encoding="utf-8")
    return read_elan(AnnotationFile(path))


def test_each_tier_has_the_times_of_what_it_refers_to(tmp_path: Path) -> None:
    of_ann = {"speaker": "Ann", "recording": "the crow.wav"}
    assert read(tmp_path, HEADER + TIERS) == [
        TimedCue(0.5, 2.5, "crow.001", tier="ref@Ann", tier_type="ref", **of_ann),
        TimedCue(3.0, 4.25, "crow.002", tier="ref@Ann", tier_type="ref", **of_ann),
        TimedCue(0.5, 2.5, "Aandeg & niin", tier="tx@Ann", tier_type="tx", **of_ann),
        TimedCue(3.0, 4.25, "", tier="tx@Ann", tier_type="tx", **of_ann),
        TimedCue(0.5, 2.5, "Aandeg & niin", tier="wd@Ann", tier_type="wd", **of_ann),  # by the chain, not by the file
        TimedCue(0.5, 2.5, "aandegw n-iin", tier="mb@Ann", tier_type="mb", **of_ann),
        TimedCue(0.5, 1.5, "first", tier="halves", recording="the crow.wav"),
        TimedCue(1.5, 2.5, "second", tier="halves", recording="the crow.wav"),
    ]


def test_a_file_that_pympi_writes(tmp_path: Path) -> None:
    written = Eaf()
    written.add_linked_file("file:///home/ann/crow.wav", relpath="./crow.wav", mimetype="audio/x-wav")
    written.add_tier("utterances")
    written.add_annotation("utterances", 120, 980, "eshkwaa")
    written.to_file(tmp_path / "a.eaf")
    assert read_elan(AnnotationFile(tmp_path / "a.eaf")) == [
        TimedCue(0.12, 0.98, "eshkwaa", tier="utterances", recording="crow.wav")
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (HEADER, "no whole XML"),
        ("<html></html>", "no ELAN file"),
        ((HEADER + TIERS).replace('ANNOTATION_REF="a1"', 'ANNOTATION_REF="a3"'), "refers to none with times"),
        ((HEADER + TIERS).replace('ANNOTATION_REF="a1"', 'ANNOTATION_REF="gone"'), "refers to none with times"),
        ((HEADER + TIERS).replace('REF2="ts5"', 'REF2="ts9"'), "a2 has a time slot"),
        ((HEADER + TIERS).replace('REF2="ts5"', 'REF2="ts2"'), "a2 ends at no known time"),
    ],
    ids=["torn", "html", "circle", "gone", "no-slot", "no-time"],
)
def test_what_is_no_whole_elan_file_is_refused(tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read(tmp_path, content)
