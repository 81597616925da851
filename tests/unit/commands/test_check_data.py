"""`accel-asr check-data`: what it prints and writes, its exit codes, and the manifest of what is kept."""

import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from accel_asr.commands import check_data
from accel_asr.config.settings import DataConfig
from accel_asr.data.checking import data_report
from accel_asr.data.checking.tables import bar
from accel_asr.data.run_data import RunData
from accel_asr.data.splits import load_train_and_validation
from accel_asr.run import row_ranking
from tests.conftest import forget_accelerate
from tests.tiny_datasets import wav_bytes
from tests.unit.data.local_sources import load

RATE_HZ = 16_000


def noise(seconds: float, seed: int) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE_HZ)).clip(-3, 3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten good clips, two of split `test`; then no text, no audio, too long, and a text with a tab and an accent."""
    folder = tmp_path / "clips"
    (folder / "sub").mkdir(parents=True)
    lines = []
    for number in range(14):
        name = f"sub/{number}.wav" if number % 2 else f"{number}.wav"
        soundfile.write(folder / name, noise(3 if number == 12 else 0.5 + number / 20, number), RATE_HZ)
        row: dict[str, Any] = {"audio": name, "text": f" My card, number {number} ", "speaker": f"s{number % 3}"}
        row |= {"split": "test" if number in (8, 9) else "train", "language": "English" if number < 5 else None}
        lines.append(row | {"before": "hello" if number == 1 else None})
    lines[10]["text"] = ""
    (folder / "sub" / "11.wav").write_bytes(b"no audio")
    lines[13]["text"] = 'tab\there, "é" 😀'
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return folder


@pytest.fixture
def settings(folder: Path, tiny_folder: Path) -> list[str]:
    path = folder.parent / "job.yaml"
    path.write_text(
        f"model: {{name_or_path: {tiny_folder}, language: en}}\n"
        f"data: {{name_or_path: {folder}, eval_split: test, max_bad_fraction: 0.2, prompt_column: before}}\n"
    )
    return ["--config", str(path)]


def good_only(folder: Path) -> Path:
    lines = (folder / "metadata.jsonl").read_text(encoding="utf-8").split("\n")
    (folder / "metadata.jsonl").write_text("\n".join(lines[:10]), encoding="utf-8")
    return folder


def rewrite(folder: Path, texts: dict[int, str]) -> None:
    """Keep the good rows, with other texts."""
    lines = [json.loads(line) for line in (good_only(folder) / "metadata.jsonl").read_text().split("\n")]
    for row, text in texts.items():
        lines[row]["text"] = text
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))


def report(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    check_data.main([*arguments, "--json", "-"])
    return json.loads(capsys.readouterr().out)


def what_to_change(capsys: pytest.CaptureFixture[str]) -> str:
    """The settings with which the clean manifest is trained on, from what was printed."""
    return next(line.partition(", but: ")[2] for line in capsys.readouterr().out.splitlines() if ", but: " in line)


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        check_data.main(arguments)
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    return printed.removeprefix("error: ")


# -- what it says


def test_rows_that_would_be_dropped_are_named_and_end_in_1(settings: list[str], capsys) -> None:
    assert check_data.main(settings) == 1
    out = capsys.readouterr().out
    for words in ("sub/11.wav: ", "10.wav: empty", "12.wav: 3.000 s", "longer than 2 s", "--write_clean FILE.jsonl"):
        assert words in out
    assert "RESULT     training would drop 3 of 14 rows" in out
    assert max(map(len, out.splitlines()[1:])) <= 100  # the first names the model's folder


def test_good_data_end_in_0(settings: list[str], folder: Path, capsys) -> None:
    good_only(folder)
    assert check_data.main(settings) == 0
    out = capsys.readouterr().out
    assert "RESULT     training would use all 10 rows" in out
    assert "dropped" not in out
    assert "none found: duplicates, likely copies, silence, clipping" in out
    assert "OVERLAP: 2 rows of validation, 2 of 2 different speakers that are trained on too" in out
    assert "look at    overlap" in out
    assert "hold out by data.group_column (speaker)" in out


def test_a_recording_on_both_sides_is_refused_and_ends_in_1(settings: list[str], folder: Path, capsys) -> None:
    good_only(folder)
    (folder / "8.wav").write_bytes((folder / "0.wav").read_bytes())
    assert check_data.main(settings) == 1
    out = capsys.readouterr().out
    assert "training would refuse: --data.overlap 'refuse': 1 of 2 validation utterances" in out
    assert "OVERLAP: 1 row of validation" in out
    assert "8.wav = 0.wav" in out
    assert check_data.main([*settings, "--data.overlap", "allow"]) == 0


def test_what_training_would_refuse_ends_in_1(settings: list[str], folder: Path, capsys) -> None:
    good_only(folder)
    assert check_data.main([*settings, "--model.language", "null"]) == 1
    out = capsys.readouterr().out
    assert "training would refuse: train: --model.language: is not set, and 3 of 8 rows" in out
    assert "RESULT     training would refuse this data" in out


def test_the_json_report_is_all_of_standard_output_and_keeps_its_keys(settings: list[str], capsys) -> None:
    content = report(settings, capsys)
    documented = re.findall(r"^    (\w+(?:, \w+)*)  +\w", data_report.__doc__ or "", flags=re.MULTILINE)
    assert sorted(content) == sorted(key for keys in documented for key in keys.split(", "))
    assert "duplicates" in content
    assert [(source["split"], source["rows"], source["kept"]) for source in content["sources"]] == [
        ("train", 12, 9),
        ("test", 2, 2),
    ]
    assert content["sources"][0]["sampling_rates_hz"] == {"16000": 11}
    assert content["durations"]["over"] == 1
    assert sum(content["durations"]["counts"]) == 13
    assert content["dropped"]["undecodable audio"]["examples"][0][0] == "sub/11.wav"


def test_the_report_is_written_to_a_file_once(settings: list[str], tmp_path: Path, capsys) -> None:
    target = tmp_path / "new" / "report.json"
    assert check_data.main([*settings, "--json", str(target)]) == 1
    assert json.loads(target.read_text(encoding="utf-8"))["exit_code"] == 1
    assert "exists already; give another name, or --overwrite" in refused([*settings, "--json", str(target)], capsys)
    assert check_data.main([*settings, "--json", str(target), "--overwrite"]) == 1


def test_bars_are_as_long_as_counts() -> None:
    assert [len(bar(count, 40)) for count in (0, 1, 20, 40)] == [0, 1, 20, 40]
    assert bar(1, 1_000_000) == "▏"  # what is there can be seen


# -- the manifest of what is kept


def test_training_on_the_clean_manifest_uses_exactly_the_rows_that_are_kept(
    settings: list[str], folder: Path, encoder, capsys
) -> None:
    clean = folder / "clean.jsonl"
    assert check_data.main([*settings, "--write_clean", str(clean)]) == 1

    def trained_on(path: Path, max_bad_fraction: float) -> RunData:
        data = DataConfig(
            name_or_path=str(path), eval_split="test", max_bad_fraction=max_bad_fraction, prompt_column="before"
        )
        return load_train_and_validation(data, encoder=encoder, sampling_rate_hz=RATE_HZ, window_s=2.0, seed=0)

    before, after = trained_on(folder, 0.2), trained_on(clean, 0.0)
    assert (len(before.train), len(before.validation)) == (9, 2)
    for side in ("train", "validation"):
        old, new = getattr(before, side), getattr(after, side)
        assert [(u.utterance_id, u.text, u.duration_s, u.language, u.task, u.prompt) for u in new] == [
            (u.utterance_id, u.text, u.duration_s, u.language, u.task, u.prompt) for u in old
        ]
    assert after.summary["dropped"] == {}
    assert "--data.name_or_path" in capsys.readouterr().out
    rows = load(str(clean)).rows
    assert rows[0].text == " My card, number 0 "  # as the source has it
    assert rows[-1].text == 'tab\there, "é" 😀'


@pytest.mark.parametrize(("way", "value"), [("eval_fraction", "0.4"), ("eval_rows", "2"), ("train_rows", "6")])
def test_the_same_rows_are_held_out_of_the_clean_manifest(settings, folder: Path, way: str, value: str, capsys) -> None:
    settings = [*settings, "--data.eval_split", "null", f"--data.{way}", value]
    before = report(settings, capsys)
    check_data.main([*settings, "--write-clean", str(folder / "clean.jsonl")])
    after = report([*settings, "--data.name_or_path", str(folder / "clean.jsonl")], capsys)
    assert after["utterances"] == before["utterances"]  # hours too
    assert (before["exit_code"], after["exit_code"]) == (1, 0)


def test_a_manifest_elsewhere_names_absolute_paths_and_the_setting_that_allows_them(
    settings: list[str], folder: Path, tmp_path: Path, capsys
) -> None:
    clean = tmp_path / "elsewhere" / "clean.jsonl"
    assert check_data.main([*settings, "--write_clean", str(clean)]) == 1
    changed = what_to_change(capsys)
    assert changed == f"--data.name_or_path {clean} --data.allow_outside_paths true"
    assert json.loads(clean.read_text(encoding="utf-8").splitlines()[0])["audio"] == str(folder / "0.wav")
    datasets.Dataset.from_dict({"audio": [str(folder / "0.wav")] * 2, "text": ["my card", "your card"]}).save_to_disk(
        str(tmp_path / "saved")
    )
    saved = ["--data.name_or_path", str(tmp_path / "saved"), "--data.allow_outside_paths", "true"]
    alone = ["--data.eval_split", "null", "--data.train_rows", "1", "--data.prompt_column", "null"]
    check_data.main([*settings, *saved, *alone, "--write_clean", str(tmp_path / "b.jsonl")])
    assert "not in it  splits that the run does not read, if the source has any" in capsys.readouterr().out
    assert check_data.main([*settings, *changed.split()]) == 0


def test_segments_and_parts_of_a_split_are_written_as_they_were_cut(tmp_path: Path, tiny_folder: Path, capsys) -> None:
    soundfile.write(tmp_path / "long.wav", noise(9, 0), RATE_HZ)
    rows = [
        {"file": "long.wav", "begin": "", "said": f"card {number}", "start": number, "end": number + 0.5, "who": "ada"}
        for number in range(8)
    ]
    (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, rows)))
    settings = ["--model.name_or_path", str(tiny_folder), "--model.language", "en", "--data.train_rows", "null"]
    settings += ["--data.audio_column", "file", "--data.text_column", "said"]
    splits = ["--data.train_split", "train[:6]", "--data.eval_split", "train[6:]"]
    clean = tmp_path / "clean.jsonl"
    path = ["--data.name_or_path", str(tmp_path / "list.jsonl")]
    assert check_data.main([*settings, *splits, *path, "--write_clean", str(clean)]) == 0
    again = what_to_change(capsys)
    assert again == f"--data.name_or_path {clean} --data.train_split train --data.eval_split validation"
    written = [json.loads(line) for line in clean.read_text().splitlines()]
    assert written[7] == {
        "file": "long.wav",
        "said": "card 7",
        "start": 7.0,
        "end": 7.5,
        "begin": "",
        "who": "ada",
        "utterance_id": "long.wav[7.000-7.500]",
        "split": "validation",
    }
    content = report([*settings, *again.split()], capsys)
    assert [(source["rows"], source["kept"]) for source in content["sources"]] == [(6, 6), (2, 2)]


@pytest.mark.parametrize("suffix", [".jsonl", ".tsv", ".parquet"])
def test_the_clean_manifest_holds_all_that_the_source_does_but_for_the_rows_to_mend(
    tmp_path: Path, tiny_folder: Path, suffix: str, capsys
) -> None:
    (tmp_path / "data" / "clips").mkdir(parents=True)
    rows = []
    for number in range(12):
        soundfile.write(tmp_path / "data" / "clips" / f"{number}.wav", noise(2, number), RATE_HZ)
        rows.append(
            {
                "path": f"clips/{number}.wav",
                "sentence": f"my card {number}" if number != 4 else "",
                "begin_time": 0.25,
                "end_time": 1.25 if number != 5 else 1.5,
                "speaker": f"who {number % 3}",
                "intent": "pay" if number % 2 else "ask",
                "age": number,
                "split": ("train", "test", "extra")[min(number // 5, 2)],
            }
        )
    manifest = tmp_path / "data" / f"list{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), manifest)
    elif suffix == ".tsv":
        lines = [list(rows[0]), *([str(cell) for cell in row.values()] for row in rows)]
        manifest.write_text("".join("\t".join(line) + "\n" for line in lines))
    else:
        manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = ["--model.name_or_path", str(tiny_folder), "--model.language", "en", "--data.train_rows", "null"]
    settings += ["--data.name_or_path", str(manifest), "--data.breakdown_columns", "[speaker,intent]"]
    clean = tmp_path / "clean" / "clean.jsonl"
    train_test = ["--data.eval_split", "test"]
    assert check_data.main([*settings, *train_test, "--write_clean", str(clean)]) == 1
    out = capsys.readouterr().out
    assert "and 2 of splits that the run does not read, unchecked" in out
    written = [json.loads(line) for line in clean.read_text().splitlines()]
    assert len(written) == 11
    cells = {"text": "my card 5", "start": 0.25, "end": 1.5, "speaker": "who 2", "intent": "pay", "split": "test"}
    assert {name: written[4][name] for name in cells} == cells
    assert str(written[4]["age"]) == "5"
    for more in (train_test, ["--data.eval_split", "extra"]):
        before = load(str(manifest), split=more[1])
        after = load(str(clean), split=more[1], allow_outside_paths=True)
        assert [replace(row, audio=None) for row in after.rows] == [replace(row, audio=None) for row in before.rows]
        assert [str(row.audio) for row in after.rows] == [str(row.audio) for row in before.rows]
    again = [*settings, "--data.name_or_path", str(clean), "--data.allow_outside_paths", "true", *train_test]
    assert check_data.main(again) == 0


def test_audio_inside_of_a_table_is_written_to_files_only_when_asked(tmp_path: Path, tiny_folder: Path, capsys) -> None:
    audio = [{"bytes": wav_bytes(noise(0.5 + n / 10, n), sampling_rate_hz=RATE_HZ), "path": "x.wav"} for n in range(6)]
    audio[2]["bytes"] = b"no audio"
    pq.write_table(pa.table({"audio": audio, "text": [f"card {n}" for n in range(6)]}), tmp_path / "clips.parquet")
    settings = ["--model.name_or_path", str(tiny_folder), "--model.language", "en", "--data.text_column", "text"]
    settings += ["--data.name_or_path", str(tmp_path / "clips.parquet"), "--data.train_rows", "3"]
    settings += ["--data.max_bad_fraction", "0.5"]
    clean = tmp_path / "clean.jsonl"
    write = [*settings, "--write_clean", str(clean)]
    assert "add --extract_audio FOLDER" in refused(write, capsys)
    assert not clean.exists()
    assert check_data.main([*write, "--extract_audio", str(tmp_path / "wavs")]) == 1
    written = [json.loads(line) for line in clean.read_text().splitlines()]
    assert [row["audio"] for row in written] == [f"wavs/train-{n:07d}.wav" for n in (0, 1, 3, 4, 5)]
    assert (tmp_path / "wavs" / "train-0000003.wav").read_bytes() == audio[3]["bytes"]
    before, after = (report([*settings, *more], capsys) for more in ([], ["--data.name_or_path", str(clean)]))
    assert before["utterances"] == after["utterances"]
    clean.unlink()
    assert "is not an empty folder" in refused([*write, "--extract_audio", str(tmp_path / "wavs")], capsys)


def test_each_of_several_sources_gets_its_manifest(folder: Path, tiny_folder: Path, tmp_path: Path, capsys) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(
        f"model: {{name_or_path: {tiny_folder}, language: en}}\n"
        "data:\n  eval_split: test\n  max_bad_fraction: 0.2\n  sources:\n"
        f"  - {{name_or_path: {folder}, name: a/b}}\n  - {{name_or_path: {folder}, name: c, validate: false}}\n"
    )
    clean = folder / "clean.jsonl"
    check_data.main(["--config", str(job), "--write_clean", str(clean)])
    assert [len((folder / f"clean-{name}.jsonl").read_text().splitlines()) for name in ("a-b", "c")] == [11, 11]
    assert not clean.exists()
    out = capsys.readouterr().out
    assert f"in this source: name_or_path: {folder / 'clean-c.jsonl'}" in out
    assert out.count("and 2 of splits that the run does not read") == 1  # c is not validated on


# -- what is refused


def test_nothing_is_written_over_what_is_there(settings: list[str], folder: Path, capsys) -> None:
    clean = folder / "clean.jsonl"
    clean.write_text("mine")
    assert "exists already" in refused([*settings, "--write_clean", str(clean)], capsys)
    assert clean.read_text() == "mine"
    assert check_data.main([*settings, "--write_clean", str(clean), "--overwrite"]) == 1
    assert len(clean.read_text().splitlines()) == 11
    source = folder / "metadata.jsonl"
    content = source.read_text()
    assert "is the source that is checked" in refused([*settings, "--write_clean", str(source), "--overwrite"], capsys)
    assert source.read_text() == content


def test_options_that_do_not_fit_are_refused_together(settings: list[str], capsys) -> None:
    assert "does not end with .jsonl" in refused([*settings, "--write_clean", "clean.csv"], capsys)
    assert "needs --write_clean" in refused([*settings, "--extract_audio", "wavs"], capsys)
    assert "expected one argument" in refused([*settings, "--json"], capsys)
    assert "there is no such setting" in refused([*settings, "--data.nonsense", "1"], capsys)
    assert "does not exist" in refused([*settings, "--data.name_or_path", "./gone"], capsys)


def test_when_no_row_is_kept_no_manifest_is_written(settings: list[str], folder: Path, capsys) -> None:
    clean = folder / "clean.jsonl"
    printed = refused([*settings, "--data.max_duration_s", "0.01", "--write_clean", str(clean)], capsys)
    assert "no row is kept" in printed
    assert not clean.exists()


def test_help_shows_the_options_beside_the_settings(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        check_data.main(["--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: accel-asr check-data")
    for option in (
        "--write_clean",
        "--write-clean",
        "--extract_audio",
        "--json",
        "--overwrite",
        "--data.eval_fraction",
    ):
        assert option in out


# -- without torch


def test_a_whole_run_needs_no_torch(settings: list[str], folder: Path) -> None:
    arguments = [*settings, "--write_clean", str(folder / "clean.jsonl")]
    code = (
        f"import sys; from accel_asr.commands import check_data; code = check_data.main({arguments!r})\n"
        "print(code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert "RESULT     training would drop 3 of 14 rows" in done.stdout
    assert done.stdout.splitlines()[-1] == "1 False"


def test_texts_with_control_tokens_and_times_are_named(
    folder: Path, settings: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(folder, {0: "<|0.00|> My card<|0.40|>", 1: "My card<|endoftext|>"})
    assert check_data.main(settings) == 1
    printed = " ".join(capsys.readouterr().out.split())
    for words in ("control tokens written in the text", "sub/1.wav: <|endoftext|>", "0.wav: <|0.00|>", "written_times"):
        assert words in printed
    dropped = report([*settings, "--data.text.written_times", "read"], capsys)["dropped"]
    assert {reason: details["count"] for reason, details in dropped.items()} == {
        "control tokens written in the text": 1
    }


def test_the_normaliser_and_the_room_for_a_transcript_are_held_against_the_validation_texts(
    folder: Path, settings: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(folder, {8: "संस्कृतम् " * 3, 1: "संस्कृतम्"})  # row 1 is trained on, which no normaliser touches
    settings += ["--evaluation.generation_max_length", "30"]
    assert check_data.main(settings) == 0  # nothing is dropped
    printed = " ".join(capsys.readouterr().out.split())
    for words in (
        "the normaliser 'basic' splits",
        "in 1 of 2 validation texts",
        "multilingual",
        "generation_max_length is 30",
    ):
        assert words in printed
    references = report(settings, capsys)["references"]
    assert (references["split"], references["too_long"], references["max_new_tokens"]) == (1, 1, 30)
    better = ["--evaluation.normalizer", "multilingual", "--evaluation.generation_max_length", "440"]
    references = report([*settings, *better], capsys)["references"]
    assert (references["split"], references["too_long"]) == (0, 0)


def test_a_normaliser_that_leaves_nothing_to_score_is_refused_as_by_training(
    folder: Path, settings: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(folder, {8: "...", 9: "..."})
    content = report(settings, capsys)
    assert content["exit_code"] == 1
    assert content["refusals"][0].startswith("--evaluation.normalizer 'basic': leaves nothing")


def test_characters_that_nobody_sees_are_named(
    folder: Path, settings: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    texts = (
        "\ufeffmy card",
        "my\u200bcard",
        "my \ufffd card",
        "my\x00card",
        "\u0645\u06cc\u200c\u062e",
        "my\u3000card",
    )
    rewrite(folder, dict(enumerate(texts)))
    assert check_data.main(settings) == 0
    printed = capsys.readouterr().out
    assert "(U+FEFF ZERO WIDTH NO-BREAK SPACE): 1 times, such as in 0.wav" in printed
    unseen = report(settings, capsys)["characters"]["unseen"]
    assert {entry["code_point"]: entry["examples"] for entry in unseen} == {
        "U+FEFF": ["0.wav"],
        "U+200B": ["sub/1.wav"],
        "U+FFFD": ["2.wav"],
        "U+0000": ["sub/3.wav"],
    }


# -- what the screen is given


HOSTILE = "[red]\x1b]0;T\x07\x1b[2J\x9b1m\u202ey\r\nz\u2028ł"
ACTS_ON_A_SCREEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]")


@pytest.fixture
def hostile_settings(tmp_path: Path, tiny_folder: Path) -> list[str]:
    """Of rows whose names, texts, speakers and languages act on a screen; some can't be used, twice the same."""
    folder = tmp_path / "rows"
    folder.mkdir()
    lines = []
    for number in range(10):
        name = f"{number}{HOSTILE}.wav"
        soundfile.write(folder / name, noise(3 if number == 9 else 0.5, number // 2), RATE_HZ)
        row = {"audio": name, "text": f"number {number // 2} [/red] {HOSTILE}", "speaker": f"{number % 2}{HOSTILE}"}
        lines.append(row | {"language": HOSTILE if number == 8 else "en"})
    (folder / f"7{HOSTILE}.wav").write_bytes(b"no audio")
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    job = {
        "model": {"name_or_path": str(tiny_folder), "language": "en"},
        "data": {"name_or_path": str(folder / "rows.jsonl"), "eval_rows": 3, "max_bad_fraction": 0.5},
    }
    job["data"] |= {"group_column": "speaker", "breakdown_columns": ["speaker"]}
    (tmp_path / "job.yaml").write_text(json.dumps(job), encoding="utf-8")
    return ["--config", str(tmp_path / "job.yaml")]


def test_names_and_texts_do_not_act_on_the_screen(
    hostile_settings: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert check_data.main(hostile_settings) == 1
    captured = capsys.readouterr()
    assert not ACTS_ON_A_SCREEN.search(captured.out + captured.err), repr(captured.out)
    assert r"[red]\x1b]0;T\x07\x1b[2J" in captured.out  # nor are they rich's markup
    check_data.main([*hostile_settings, "--json", "-"])
    printed = capsys.readouterr().out
    assert not ACTS_ON_A_SCREEN.search(printed)
    assert json.loads(printed)["exit_code"] == 1
    with pytest.raises(SystemExit):
        check_data.main([*hostile_settings, "--data.text_column", f"t{HOSTILE}"])
    captured = capsys.readouterr()
    assert not ACTS_ON_A_SCREEN.search(captured.err), repr(captured.err)


def test_a_stdout_in_latin_1_gets_all_of_the_report(
    settings: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="latin-1"))
    check_data.main(settings)
    printed = written.getvalue().decode("latin-1")
    assert "  ####" in printed  # the bars
    assert "+----" in printed  # the tables
    written.truncate(0)
    check_data.main([*settings, "--json", "-"])
    assert json.loads(written.getvalue().decode("latin-1").lstrip("\0"))["exit_code"] == 1


def test_json_that_can_not_be_printed_is_an_error(
    settings: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(SystemExit) as exit_info:
        check_data.main([*settings, "--json", "-"])
    assert exit_info.value.code == 2
    assert "--json '-': standard output can't be written" in capsys.readouterr().err


# -- with a model that ranks the rows


@pytest.fixture
def one_process() -> Iterator[None]:
    """Accelerate's process-wide state is that of other tests before and after."""
    forget_accelerate()
    yield
    forget_accelerate()


@pytest.mark.usefixtures("one_process")
def test_a_model_ranks_the_training_rows_and_the_worst_are_left_out(
    settings: list[str], folder: Path, tiny_folder: Path, tmp_path: Path, capsys
) -> None:
    rewrite(folder, {5: "Another text altogether, and <a> long one"})
    clean, page, findings = tmp_path / "clean.jsonl", tmp_path / "rows.html", tmp_path / "found.json"
    outputs = ["--write_clean", str(clean), "--page", str(page), "--json", str(findings)]
    assert check_data.main([*settings, "--model", str(tiny_folder), *outputs, "--worst_share", "0.25"]) == 0
    out = capsys.readouterr().out
    rows = json.loads(findings.read_text(encoding="utf-8"))["rows"]
    ranked = rows["ranked"]
    assert len(ranked) == 8  # the two of split test are validated on
    assert [row["rank"] for row in ranked] == list(range(1, 9))
    assert [row["score"] for row in ranked] == sorted((row["score"] for row in ranked), reverse=True)
    assert rows["left_out"] == [row["id"] for row in ranked[:2]]
    assert rows["audio_context"] == "merged"
    assert {row["expected_language"] for row in ranked} == {"en"}
    lines = [json.loads(line) for line in clean.read_text(encoding="utf-8").splitlines()]
    names = {row["id"] for row in ranked[2:]} | {"8.wav", "sub/9.wav"}
    assert {line["audio"].removeprefix("clips/") for line in lines} == names
    assert "left out   2 rows" in out
    html = page.read_text(encoding="utf-8")
    assert html.count('<li class="card"') == html.count("<audio") == 8
    assert "&lt;a&gt; long one" in html
    assert "<a>" not in html


def test_without_a_model_nothing_is_ranked(settings: list[str], folder: Path, capsys) -> None:
    good_only(folder)
    assert "rows" not in report(settings, capsys)


@pytest.mark.parametrize(
    ("options", "setting", "words"),
    [
        (["--page", "p.html"], "--page", "--model"),
        (["--threshold", "0.8", "--write_clean", "c.jsonl"], "--threshold", "--model"),
        (["--worst_share", "0.1", "--model", "quickstart"], "--worst_share", "--write_clean"),
        (["--worst_share", "1.5"], "--worst_share", "between 0 and 1"),
        (["--threshold", "much"], "--threshold", "no number"),
        (["--model", "there/is/none"], "--model", "there/is/none"),
    ],
)
def test_a_ranking_that_can_not_be_made_is_refused_at_once(
    settings: list[str], options: list[str], setting: str, words: str, capsys
) -> None:
    message = refused([*settings, *options], capsys)
    assert message.startswith(setting)
    assert words in message


def test_what_could_not_be_written_is_refused_before_a_model_listens(
    settings: list[str], tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(row_ranking, "rank_training_rows", lambda *_, **__: pytest.fail("it has listened"))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "note.txt").write_text("mine")
    outputs = ["--write_clean", str(tmp_path / "c.jsonl"), "--extract_audio", str(tmp_path / "taken")]
    message = refused([*settings, "--model", str(tiny_folder), *outputs, "--threshold", "0.8"], capsys)
    assert message.startswith("--extract_audio")


def test_share_and_threshold_are_not_given_both(settings: list[str], tiny_folder: Path, capsys) -> None:
    both = ["--model", str(tiny_folder), "--write_clean", "c.jsonl", "--worst_share", "0.1", "--threshold", "0.5"]
    assert refused([*settings, *both], capsys).startswith("--threshold")
