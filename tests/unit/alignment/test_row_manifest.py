"""The manifest of aligned rows: training reads it as it stands, wherever the recordings lie."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from accel_asr.alignment.aligned import AlignedRecording, AlignedRow, LeftOut
from accel_asr.alignment.kept_alignments import KeptAlignments
from accel_asr.alignment.row_manifest import LEFT_OUT, MANIFEST, AlignedTotals, write_manifest
from accel_asr.alignment.spoken_texts import SpokenText
from accel_asr.data.reading.rows import RowColumns
from accel_asr.data.reading.sources import SourceName, read_source


def recording(folder: Path, name: str, seconds: int = 12) -> SpokenText:
    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / name, np.zeros(seconds * 8_000), 8_000)
    return SpokenText(name, folder / name, f"text of {name}")


def rows(*scores: float) -> tuple[AlignedRow, ...]:
    texts = [f"row {number}" for number in range(len(scores))]
    return tuple(
        AlignedRow(2.5 * number, 2.5 * number + 2.25, text, texts[number - 1] if number else None, score)
        for number, (text, score) in enumerate(zip(texts, scores, strict=True))
    )


def written(output_dir: Path, spoken: dict[SpokenText, AlignedRecording], **options: Any) -> AlignedTotals:
    kept = KeptAlignments(output_dir, {"model": "abc"})
    for one, aligned in spoken.items():
        kept.save(one, aligned)
    defaults = {"spoken_language": None, "most_cuts": 50, "most_left_out": 200}
    return write_manifest(kept, list(spoken), options.pop("failures", {}), **{**defaults, **options})


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_training_reads_it_as_it_stands(tmp_path: Path) -> None:
    outside, inside = recording(tmp_path / "talks", "a.wav"), recording(tmp_path / "out" / "own", "b.wav")
    aligned = AlignedRecording(12.0, "en", rows(0.5, 0.75), (), 4, 4)
    written(tmp_path / "out", {outside: aligned, inside: aligned})
    columns = RowColumns(language="language", prompt="prompt")
    for name in (tmp_path / "out" / MANIFEST, tmp_path / "out"):
        source = read_source(SourceName(str(name), columns=columns))
        assert [(row.text, row.start_s, row.end_s, row.prompt, row.language) for row in source.rows] == [
            ("row 0", 0.0, 2.25, None, "en"),
            ("row 1", 2.5, 4.75, "row 0", "en"),
        ] * 2
        audio = [row.audio for row in source.rows]
        assert all(isinstance(path, Path) and path.is_file() for path in audio)
        assert audio[2] == inside.path
        assert isinstance(audio[0], Path)
        assert audio[0].samefile(outside.path)  # a link: no second copy
        assert [row.problem for row in source.rows] == [None] * 4


def test_a_second_writing_keeps_links_and_follows_replaced_recordings(tmp_path: Path) -> None:
    outside = recording(tmp_path / "talks", "a.wav")
    aligned = AlignedRecording(12.0, "en", rows(0.5), (), 2, 2)
    for seconds in (12, 12, 3):
        if seconds == 3:
            outside.path.unlink()
            recording(tmp_path / "talks", "a.wav", seconds=3)
        written(tmp_path / "out", {outside: aligned})
        [link] = (tmp_path / "out" / "audio").iterdir()
        assert link.samefile(outside.path)


def test_without_hard_links_recordings_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(source: object, target: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", no_links)
    outside = recording(tmp_path / "talks", "a.wav")
    written(tmp_path / "out", {outside: AlignedRecording(12.0, "en", rows(0.5), (), 2, 2)})
    [copy] = (tmp_path / "out" / "audio").iterdir()
    assert copy.read_bytes() == outside.path.read_bytes()
    assert not copy.samefile(outside.path)


def test_sums_the_worst_rows_and_the_longest_gaps(tmp_path: Path) -> None:
    first, second = recording(tmp_path, "a.wav"), recording(tmp_path, "b.wav")
    left_out = (LeftOut("text", 3.0, 3.0, "never said"), LeftOut("speech", 4.0, 7.5, "a longer story that was heard"))
    totals = written(
        tmp_path / "out",
        {
            first: AlignedRecording(12.0, "en", rows(0.9, 0.2, 0.4), left_out, 6, 8),
            second: AlignedRecording(12.0, None, (), (LeftOut("text", 0.0, 0.0, "x"),), 0, 5),
        },
        most_cuts=2,
        most_left_out=1,
        failures={"c.wav": "it is torn"},
    )
    assert (totals.recordings, totals.duration_s, totals.rows, totals.rows_s) == (2, 24.0, 3, 6.75)
    assert (totals.words_in_rows, totals.words_in_text) == (6, 13)
    assert totals.stretches == {"text": 2, "speech": 1}
    assert totals.speech_left_out_s == 3.5
    assert totals.without_rows == ["b.wav"]
    assert [(cut.row.score, cut.number) for cut in totals.worst] == [(0.2, 1), (0.4, 2)]
    assert [stretch for _, stretch in totals.left_out] == [left_out[1]]
    assert [
        (line["kind"], line["why"], line.get("start"), line.get("end")) for line in lines(tmp_path / "out" / LEFT_OUT)
    ] == [
        ("text", "not spoken", 3.0, 3.0),
        ("speech", "not in the text", 4.0, 7.5),
        ("text", "not spoken", 0.0, 0.0),
        ("recording", "could not be aligned", None, None),
    ]
    assert lines(tmp_path / "out" / LEFT_OUT)[-1]["reason"] == "it is torn"


def test_rows_have_the_language_that_is_spoken_not_the_one_that_stands_in(tmp_path: Path) -> None:
    aligned = AlignedRecording(12.0, "fr", rows(0.5), (), 2, 2)
    written(tmp_path / "out", {recording(tmp_path, "a.wav"): aligned}, spoken_language="bci")
    assert [line["language"] for line in lines(tmp_path / "out" / MANIFEST)] == ["bci"]
