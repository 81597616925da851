"""Several sources in one run: what each is called, gives, is weighed by and validated on; and what is refused."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accel_asr.config.command_line import parse_config
from accel_asr.config.settings import Config, DataConfig, ModelConfig, SourceConfig
from accel_asr.config.training_settings import TrainingConfig
from accel_asr.data.labels import LabelEncoder
from accel_asr.data.run_data import RunData
from accel_asr.data.selection.preparation import fingerprint
from accel_asr.data.selection.run_sources import resolved_sources
from accel_asr.data.splits import load_train_and_validation
from accel_asr.errors import UserError
from accel_asr.run.job import load_job
from accel_asr.run.training_plan import plan_windows
from accel_asr.train import main as train_main
from tests.refusals import refused
from tests.tiny_datasets import wav_bytes

RATE_HZ = 16_000


@pytest.fixture
def sources(tmp_path: Path) -> list[SourceConfig]:
    """`a` with 10 clips in `train` and 2 in `test`; `b`, German in a column `said`, with 4 and 2."""

    def source(name: str, counts: Sequence[int], text_column: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        lines = [f"file_name,{text_column},split,speaker"]
        for number in range(sum(counts)):
            samples = np.full(1600 * (1 + number % 5), 0.01 * (number + 1 + 20 * (name == "b")))
            (folder / f"{number}.wav").write_bytes(wav_bytes(samples, sampling_rate_hz=RATE_HZ))
            split = "train" if number < counts[0] else "test"
            lines.append(f"{number}.wav,{name} {number},{split},{name}{number % 2}")
        (folder / "metadata.csv").write_text("\n".join(lines))
        return folder

    first, second = source("a", (10, 2), "text"), source("b", (4, 2), "said")
    return [SourceConfig(str(first)), SourceConfig(str(second), text_column="said", language="de")]


@pytest.fixture
def load(encoder: LabelEncoder):
    def load_with(sources: list[SourceConfig], *, seed: int = 0, **data: Any) -> RunData:
        settings = DataConfig(sources=sources, **data)
        return load_train_and_validation(settings, encoder=encoder, sampling_rate_hz=RATE_HZ, window_s=2.0, seed=seed)

    return load_with


def changed(sources: list[SourceConfig], **changes: Sequence[Any]) -> list[SourceConfig]:
    """With another value of each setting for each source."""
    made = [vars(source) | {name: values[at] for name, values in changes.items()} for at, source in enumerate(sources)]
    return [SourceConfig(**settings) for settings in made]


# -- what the sources give


def test_sources_are_together_and_named_each_with_its_own_columns_and_language(load, sources) -> None:
    data = load(sources, eval_split="test")
    assert data.train.ids() == [f"a/{number}.wav" for number in range(10)] + [f"b/{number}.wav" for number in range(4)]
    assert data.validation.ids() == ["a/10.wav", "a/11.wav", "b/4.wav", "b/5.wav"]
    assert Counter((utterance.source, utterance.language) for utterance in data.train) == {
        ("a", None): 10,
        ("b", "de"): 4,
    }
    assert [utterance.text for utterance in data.validation] == ["a 10", "a 11", "b 4", "b 5"]
    assert data.train.part_sizes() == (10, 4)
    assert data.weights is None
    assert data.summary["rows"] == {"a/train": 10, "b/train": 4, "a/test": 2, "b/test": 2}
    assert [source["name"] for source in data.summary["sources"]] == ["a", "b"]
    assert "b/train: kept 4 of 4 utterances; dropped none" in data.notices


def test_names_are_the_last_part_of_the_path_unless_given_and_never_the_same() -> None:
    paths = ["x/clips/", "y/clips", "lab/speech", "z/clips"]
    given = [SourceConfig(path, name="mine" if path == "z/clips" else None) for path in paths]
    names = [source.name for source in resolved_sources(DataConfig(sources=given))]
    assert names == ["clips", "clips-2", "speech", "mine"]
    twice = [SourceConfig("a", name="a-2"), SourceConfig("b", name="a"), SourceConfig("c", name="a")]
    assert [source.name for source in resolved_sources(DataConfig(sources=twice))] == ["a-2", "a", "a-3"]


def test_what_a_source_leaves_unset_is_as_data_says() -> None:
    data = DataConfig(sources=[SourceConfig("a"), SourceConfig("b", subset="de-DE")], subset="en-US", revision="v1")
    assert [(source.subset, source.revision) for source in resolved_sources(data)] == [("en-US", "v1"), ("de-DE", "v1")]


def test_one_source_in_the_list_is_as_one_that_stands_alone(load, sources) -> None:
    data = load([sources[0]], eval_split="test")
    assert data.train.ids()[0] == "0.wav"
    assert (data.weights, data.summary["sources"]) == (None, [])


# -- what is validated on


def test_rows_are_held_out_of_all_sources_or_of_those_that_are_validated_on(load, sources) -> None:
    data = load(sources, eval_rows=6, train_split="train")
    assert len(data.validation) == 6
    assert {utterance.source for utterance in data.validation} == {"a", "b"}
    assert sorted(data.train.ids() + data.validation.ids()) == sorted(load(sources, eval_split="test").train.ids())
    alone = load(changed(sources, validate=(False, True)), eval_rows=2)
    assert {utterance.source for utterance in alone.validation} == {"b"}
    assert alone.train.part_sizes() == (10, 2)


def test_a_source_that_is_not_validated_on_needs_no_split_for_it(load, sources) -> None:
    data = load(changed(sources, validate=(False, True), eval_split=("nothing", None)), eval_split="test")
    assert data.validation.ids() == ["b/4.wav", "b/5.wav"]
    own = load(changed(sources, eval_split=(None, "test")))  # of which no other source has one
    assert own.validation.ids() == ["b/4.wav", "b/5.wav"]


def test_a_speaker_is_on_one_side_whatever_the_source(load, sources) -> None:
    data = load(sources, eval_fraction=0.4, group_column="speaker")
    sides = [{utterance.group for utterance in side} for side in (data.train, data.validation)]
    assert sides[0] | sides[1] == {"a0", "a1", "b0", "b1"}
    assert not sides[0] & sides[1]


def test_a_source_of_which_all_would_be_held_out_is_named(load, sources) -> None:
    small = changed(sources, train_split=("train", "train[:1]"), validate=(False, True))
    third = SourceConfig(sources[0].name_or_path, name="c", train_split="train[:1]")
    with refused("--data.sources", "is held out for validation, nothing of it is left", remedy="validate to false"):
        load([*small, third], eval_rows=1)


# -- weights and the order of training


def test_weights_reach_the_order_of_training(sources, tiny_folder: Path) -> None:
    weighed = changed(sources, weight=(1.0, 3.0))
    data = DataConfig(sources=weighed, eval_split="test")
    job = load_job(Config(model=ModelConfig(name_or_path=str(tiny_folder), language="en"), data=data))
    assert job.data.weights == (1.0, 3.0)
    plan, last_step = plan_windows(
        TrainingConfig(per_device_train_batch_size=7, num_train_epochs=2), job.data, num_processes=1
    )
    assert last_step == 4
    for epoch in range(2):
        rows = [row for step in (1, 2) for row in plan.window(2 * epoch + step)]
        # an epoch is as long as all rows: 14, and 14 x 1/4 = 3.5
        assert Counter(job.data.train[int(row)].source for row in rows) in ({"a": 4, "b": 10}, {"a": 3, "b": 11})
    items = [job.train_items[0, int(row)] for row in plan.window(1)]
    german, english = (job.train_items.encoder.prefix(code) for code in ("de", None))
    for item in items:
        assert tuple(item.token_ids[:4]) == (german if item.utterance_id.startswith("b/") else english)


def test_whatever_changes_a_source_changes_the_checksum_of_the_data(load, sources) -> None:
    def checksum(sources: list[SourceConfig]) -> int:
        return fingerprint(load(sources, eval_split="test").train)

    others = [
        changed(sources, language=(None, "fr")),
        changed(sources, task=(None, "translate")),
        changed(sources, name=("c", None)),
        changed(sources, train_split=("train", "train[:3]")),
        sources[::-1],
    ]
    assert len({checksum(changed_sources) for changed_sources in [sources, *others]}) == 1 + len(others)
    assert checksum(changed(sources, weight=(1.0, 2.0))) == checksum(sources)  # the order's own checksum says it


# -- settings


TWO = "{name_or_path: a}, {name_or_path: b}"


@pytest.mark.parametrize(
    ("data", "setting", "words"),
    [
        ("sources: [{name_or_path: a, weigth: 2}]", "--data.sources: weigth of source 1", "did you mean weight?"),
        ("sources: [{name_or_path: a, zzz: 2}]", "--data.sources: zzz of source 1", "a source has name_or_path, "),
        ("sources: [{name_or_path: a, weight: heavy}]", "--data.sources: weight of source 1", "give a number"),
        ("sources: [{name_or_path: a, task: dictate}]", "--data.sources: task of source 1", "'transcribe' or 'transl"),
        ("sources: [a, b]", "--data.sources", "give a list of sections"),
        ("sources: a", "--data.sources", "give a list of sections"),
        ("sources: {name_or_path: a}", "--data.sources", "give a list of sections"),
        ("sources: [{name: a}, {name_or_path: b}]", "--data.sources", "source 1 has no name_or_path"),
        (f"name_or_path: c, sources: [{TWO}]", "--data.name_or_path", "does not go with --data.sources"),
    ],
)
def test_a_wrong_list_of_sources_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: str, setting: str, words: str
) -> None:
    (tmp_path / "mine.yaml").write_text(f"data: {{train_rows: 4, {data}}}\n")
    arguments = ["--config", str(tmp_path / "mine.yaml"), "--output_dir", str(tmp_path / "run")]
    with refused(setting, words):
        parse_config(arguments)
    with pytest.raises(SystemExit) as ended:
        train_main(arguments)
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: {setting}")
    assert len(printed.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_several_mistakes_of_sources_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "data: {name_or_path: c, sources: [{weight: 2}, {name_or_path: b}, {name: d}]}\n"
    )
    with pytest.raises(UserError) as caught:
        parse_config(["--config", str(tmp_path / "mine.yaml")])
    assert len(str(caught.value).splitlines()) == 5  # and no way to a validation set


def test_sources_are_read_as_sections(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "data: {eval_rows: 4, sources: [{name_or_path: a, weight: 1}, {name_or_path: b, weight: 2.5, language: de}]}\n"
    )
    data = parse_config(["--config", str(tmp_path / "mine.yaml")]).data
    assert data.sources == [SourceConfig("a", weight=1.0), SourceConfig("b", weight=2.5, language="de")]


@pytest.mark.parametrize("source", ["ran_by_the_settings.Source", "{class_path: ran_by_the_settings.Source}"])
def test_no_code_is_run_that_a_file_of_settings_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    (tmp_path / "ran_by_the_settings.py").write_text("raise SystemExit('this was run')\nclass Source: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine.yaml").write_text(f"data: {{train_rows: 4, sources: [{source}]}}\n")
    with pytest.raises(UserError, match=r"--data.sources"):
        parse_config(["--config", str(tmp_path / "mine.yaml")])
