"""Folders as people have them: which tables are which split of which subset, and which can't be read."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from accel_asr.data.indexing.index_building import open_index
from accel_asr.data.reading.rows import DatasetCell
from accel_asr.data.reading.sources import Source, SourceName
from tests.tiny_datasets import tone_utterances, wav_bytes
from tests.unit.data.local_sources import AUDIO_TYPE, load, refused


def table(*texts: str, suffix: str = ".csv", audio: str = "{}.wav") -> str:
    if suffix == ".jsonl":
        return "".join(json.dumps({"audio": audio.format(text), "text": text}) + "\n" for text in texts)
    mark = "," if suffix == ".csv" else "\t"
    return "".join(f"{line}\n" for line in (f"file_name{mark}text", *(f"{audio.format(t)}{mark}{t}" for t in texts)))


def texts(source: Source) -> list[str | None]:
    return [row.text for row in source.rows]


def write_parquet(path: Path, *texts: str) -> None:
    """Audio and text, as a program other than `datasets` would write them."""
    clips = tone_utterances(len(texts), seed=len(texts))
    audio = [{"bytes": wav_bytes(clip), "path": f"{text}.wav"} for text, (_, clip) in zip(texts, clips, strict=True)]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"audio": pa.array(audio, AUDIO_TYPE), "text": list(texts)}), path)


# -- tables named by split


@pytest.mark.parametrize(
    ("train", "validation"),
    [
        ("train.tsv", "dev.tsv"),
        ("train.jsonl", "test.jsonl"),
        ("train_manifest.json", "dev_manifest.json"),
        ("data/train.csv", "data/validation.csv"),
        ("my-train.csv", "my-valid.csv"),
    ],
)
def test_tables_are_told_apart_by_their_names(folder, train: str, validation: str) -> None:
    suffix = ".jsonl" if "json" in train else Path(train).suffix
    there = folder({train: table("a", "b", suffix=suffix), validation: table("c", suffix=suffix)})
    source = load(there)
    assert texts(source) == ["a", "b"]
    assert [row.audio for row in source.rows] == [(there / train).parent / f"{name}.wav" for name in "ab"]
    assert texts(load(there, split="validation")) == ["c"]
    assert any(validation in notice for notice in load(there, split="validation").notices)


def test_metadata_in_a_folder_for_each_split(folder) -> None:
    there = folder(
        {"train/metadata.csv": table("a"), "test/metadata.csv": table("b"), "train/a.wav": "", "test/b.wav": ""}
    )
    assert [row.audio for row in load(there).rows] == [there / "train" / "a.wav"]
    assert [row.audio for row in load(there, split="test").rows] == [there / "test" / "b.wav"]
    refused(there, "--data.train_split or --data.eval_split", "'holdout'", "test, train", split="holdout")


def test_shards_of_one_split_are_one_table_in_order(folder) -> None:
    there = folder(
        {
            "train-00001-of-00002.jsonl": table("c", suffix=".jsonl"),
            "train-00000-of-00002.jsonl": table("a", "b", suffix=".jsonl"),
            "test-00000-of-00001.jsonl": table("d", suffix=".jsonl"),
        }
    )
    assert texts(load(there)) == ["a", "b", "c"]
    assert texts(load(there, split="test")) == ["d"]


def test_tables_without_any_split_are_all_trained_on(folder) -> None:
    there = folder({"monday.csv": table("a"), "tuesday.csv": table("b", "c")})
    source = load(there)
    assert texts(source) == ["a", "b", "c"]
    assert any("monday.csv, tuesday.csv" in notice for notice in source.notices)
    refused(there, "--data.train_split or --data.eval_split", "'test'", split="test")


def test_tables_with_other_columns_are_not_joined(folder) -> None:
    there = folder({"a.csv": table("a"), "b.csv": "file_name,sentence\nb.wav,b\n"})
    refused(there, "--data.name_or_path", "b.csv'", "'sentence', 'text'")


def test_tables_of_several_folders_name_their_audio_from_their_own(folder) -> None:
    there = folder({"train/one/list.csv": table("a"), "train/two/list.csv": table("b")})
    refused(there, "--data.subset", "one of: one, two")
    assert [row.audio for row in load(there, subset="train/two").rows] == [there / "train" / "two" / "b.wav"]
    both = load(f"{there}/train/*/list.csv")
    assert [row.audio for row in both.rows] == [there / "train" / "one" / "a.wav", there / "train" / "two" / "b.wav"]


def test_a_table_may_name_files_anywhere_in_the_folder_that_was_named_and_no_further(folder) -> None:
    there = folder({"lists/train.csv": table("a", audio="../clips/{}.wav"), "lists/test.csv": "file_name,text\n"})
    assert [row.audio for row in load(there).rows] == [there / "lists" / ".." / "clips" / "a.wav"]
    (there / "lists" / "train.csv").write_text(table("a", audio="../../clips/{}.wav"))
    refused(there, "--data.allow_outside_paths")
    (there / "lists" / "train.csv").write_text(table("a", audio="../clips/{}.wav"))
    refused(there / "lists", "--data.allow_outside_paths")


def test_subset_folders(folder) -> None:
    there = folder({f"{name}/{split}.csv": table(name + split) for name in ("ab", "cd") for split in ("train", "test")})
    assert texts(load(there, subset="cd", split="test")) == ["cdtest"]
    refused(there, "--data.subset", "one of: ab, cd")
    refused(there, "--data.subset", "one of: ab, cd", subset="../set/ab")
    lone = folder({}) / "ab"
    assert texts(load(lone.parent.parent / "set", subset="ab")) == ["abtrain"]


def test_a_subset_that_other_sources_have_is_said_to_be_missing(folder) -> None:
    source = load(folder({"train.csv": table("a")}), subset="en-US")
    assert texts(source) == ["a"]
    assert "set has no subset 'en-US'; read without it" in source.notices


def test_common_voice_is_read_by_its_tables(folder) -> None:
    def rows(*names: str) -> str:
        return "".join(f"speaker-{name}\t{name}.mp3\tText {name}\n" for name in names)

    header = "client_id\tpath\tsentence\n"
    there = folder(
        {
            "ta/train.tsv": header + rows("a", "b"),
            "ta/dev.tsv": header + rows("c"),
            "ta/test.tsv": header + rows("d"),
            "ta/validated.tsv": header + rows("a", "b", "c", "d"),
            "ta/invalidated.tsv": header + rows("e"),
            "ta/clip_durations.tsv": "clip\tduration[ms]\na.mp3\t1000\n",
            "ta/clips/a.mp3": "",
        }
    )
    for source in (load(there), load(there / "ta"), load(there, subset="ta")):
        assert texts(source) == ["Text a", "Text b"]
        assert source.rows[0].audio == there / "ta" / "clips" / "a.mp3"
    assert texts(load(there, split="validation")) == ["Text c"]
    assert len(load(there, split="validated").rows) == 4
    for name in ("train", "dev", "test"):
        (there / "ta" / f"{name}.tsv").unlink()
    refused(there, "--data.train_split or --data.eval_split", "invalidated")


def test_a_table_about_a_recording_and_notes_among_texts_are_no_data(folder) -> None:
    files = {"train/a.wav": "", "train/a.txt": "beside", "train/a.tsv": "start\tend\n", "train/notes.csv": "x,y\n"}
    assert texts(load(folder(files))) == ["beside"]


# -- patterns


def test_a_pattern_reads_all_tables_that_it_matches(folder, monkeypatch: pytest.MonkeyPatch) -> None:
    there = folder({f"{name}.jsonl": table(name, suffix=".jsonl") for name in ("train-1", "train-2", "test-1")})
    source = load(f"{there}/train-*.jsonl")
    assert texts(source) == ["train-1", "train-2"]
    assert any("2 files that match" in notice for notice in source.notices)
    monkeypatch.chdir(there)
    assert [row.audio for row in load("t*-1.jsonl").rows] == [there / "test-1.wav", there / "train-1.wav"]
    refused("nothing-*.jsonl", "--data.name_or_path", "'nothing-*.jsonl'", "no file matches")


def test_a_pattern_in_another_folder_and_a_file_that_is_new_are_read_anew(
    folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = folder({"one/a.csv": table("a"), "two/a.csv": table("b", "c")})

    def rows() -> int:
        return len(open_index(SourceName("*.csv"), cache_dir=tmp_path / "cache", sampling_rate_hz=16_000)[0])

    monkeypatch.chdir(there / "one")
    assert rows() == 1
    monkeypatch.chdir(there / "two")
    assert rows() == 2
    (there / "two" / "b.csv").write_text(table("d"))
    assert rows() == 3


# -- datasets of the Hub


def test_parquet_shards_of_a_downloaded_dataset(tmp_path: Path) -> None:
    there = tmp_path / "set"
    write_parquet(there / "data" / "train-00000-of-00002.parquet", "a", "b")
    write_parquet(there / "data" / "train-00001-of-00002.parquet", "c")
    write_parquet(there / "data" / "test-00000-of-00001.parquet", "d")
    (there / "README.md").write_text("---\nlicense: cc0-1.0\n---\n# A set\n")
    source = load(there)
    assert texts(source) == ["a", "b", "c"]
    assert [row.utterance_id for row in source.rows] == ["a.wav", "b.wav", "c.wav"]
    assert all(isinstance(row.audio, DatasetCell) for row in source.rows)  # nothing of it is in memory
    assert source.dataset_audio is not None
    assert source.dataset_audio.get(2)[:4] == b"RIFF"
    assert texts(load(there, split="test")) == ["d"]
    assert texts(load(f"{there}/data/*.parquet")) == ["d", "a", "b", "c"]


def test_an_index_of_parquet_shards_is_opened_again_and_built_anew_when_one_changes(tmp_path: Path) -> None:
    there = tmp_path / "set"
    write_parquet(there / "data" / "train-00000-of-00002.parquet", "a", "b")
    write_parquet(there / "data" / "train-00001-of-00002.parquet", "c")
    name = SourceName(str(there))

    def opened():
        return open_index(name, cache_dir=tmp_path / "cache", sampling_rate_hz=16_000)[0]

    first = opened()
    assert opened().folder == first.folder
    assert opened()[2].text == "c"
    write_parquet(there / "data" / "train-00001-of-00002.parquet", "c", "new")
    assert [text for some in opened().texts() for text in some] == ["a", "b", "c", "new"]


def test_the_card_says_which_files_are_which_split(folder) -> None:
    card = """---
configs:
- config_name: calls
  data_files:
  - split: train
    path: ["lists/a*.csv"]
  - split: test
    path: lists/b.csv
- config_name: talks
  data_files: talks.csv
---
"""
    there = folder(
        {
            "README.md": card,
            "lists/a1.csv": table("a1"),
            "lists/a2.csv": table("a2"),
            "lists/b.csv": table("b"),
            "talks.csv": table("t"),
        }
    )
    assert texts(load(there, subset="calls")) == ["a1", "a2"]
    assert texts(load(there, subset="calls", split="test")) == ["b"]
    assert texts(load(there, subset="talks")) == ["t"]
    refused(there, "--data.subset", "one of: 'calls', 'talks'")
    refused(there, "--data.subset", "'chats'", "one of: 'calls', 'talks'", subset="chats")


@pytest.mark.parametrize("path", ["../secret.csv", "/etc/passwd", "https://example.org/a.csv", "a/../../secret.csv"])
def test_a_card_leads_nowhere_else(folder, path: str) -> None:
    there = folder({"README.md": f"---\nconfigs:\n- config_name: x\n  data_files: {path}\n---\n"})
    (there.parent / "secret.csv").write_text(table("a"))
    refused(there, "--data.name_or_path", "outside of its folder", path)


@pytest.mark.parametrize(
    "front", ["configs: [", "configs: 7", "configs: [7]", "configs: [{data_files: {train: 7}}]", "- 1", "configs: []"]
)
def test_odd_cards_are_refused_or_ignored(folder, front: str) -> None:
    there = folder({"README.md": f"---\n{front}\n---\n", "train.csv": table("a")})
    if "data_files" in front or front.endswith("["):
        assert "README.md" in refused(there)
    else:
        assert texts(load(there)) == ["a"]


def test_a_table_in_the_folder_goes_before_a_card(folder) -> None:
    there = folder({"README.md": "---\nconfigs: [\n---\n", "metadata.csv": table("a")})
    assert texts(load(there)) == ["a"]


# -- other folders


def test_an_unknown_layout_is_answered_with_the_known_ones(folder) -> None:
    there = folder({"a.cha": "", "b.cha": "", "clips/a.wav": ""})
    layouts = ("metadata.csv", "train.tsv", "wav.scp", "trans.txt", "save_to_disk", ".txt")
    refused(there, "--data.name_or_path", "2 .cha", "1 .wav", "folders: clips", *layouts)
    refused(folder({"x.tar": ""}), "--data.name_or_path", "/*.tar'")  # how to give the shards
