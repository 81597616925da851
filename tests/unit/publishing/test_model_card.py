"""The model card of a run: its metadata is read back by huggingface_hub, its tables hold the run's numbers."""

import json
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from accel_asr.config.command_line import parse_config, write_config
from accel_asr.evaluation.scoring import ScoredUtterance
from accel_asr.publishing.hub import push_run
from accel_asr.publishing.model_card import make_model_card
from accel_asr.publishing.upload_plan import plan_upload
from tests.refusals import refused
from tests.unit.evaluation.made_up_scores import score_pairs

SCORES = {"utterances": 113, "empty_references": 2, "cut_off": 0, "loss": 1.5}
SUMMARY = {
    "baseline": {"step": 0, "epoch": 0.0, "wer": 0.75, "wer_ortho": 0.8125, "cer": 0.5, **SCORES},
    "best": {"step": 30, "epoch": 1.0, "wer": 0.25, "wer_ortho": 0.3125, "cer": 0.12346, **SCORES},
    "last": {"step": 60, "epoch": 2.0, "wer": 0.26, "wer_ortho": 0.32, "cer": 0.13, **SCORES},
}
DATA = {
    "train": {"utterances": 450, "hours": 0.91},
    "validation": {"utterances": 113, "hours": 0.23},
    "dropped": {"no text": {"count": 3, "examples": []}, "longer than 30 s": {"count": 1, "examples": []}},
}
ENVIRONMENT = {
    "command": ["python", "accel_asr/train.py", "--config", "x"],
    "world_size": 2,
    "packages": {"torch": "2.13.0", "accel-asr": None, "transformers": "5.23.0"},
}


@pytest.fixture
def make_run(tmp_path: Path):
    def make(*settings: str, summary: dict = SUMMARY) -> Path:
        run = tmp_path / "run"
        (run / "best").mkdir(parents=True)
        (run / "best" / "config.json").write_text("{}")
        write_config(parse_config(list(settings)), run / "config.yaml")
        for name, content in (("summary", summary), ("data_summary", DATA), ("environment", ENVIRONMENT)):
            (run / f"{name}.json").write_text(json.dumps(content))
        return run

    return make


def write_rows(run: Path, step: int, scored: list[ScoredUtterance]) -> None:
    """The transcripts of an evaluation, as training writes them."""
    path = run / "evaluations" / f"step-{step:08d}.jsonl"
    path.parent.mkdir(exist_ok=True)
    lines = (json.dumps(utterance.to_json(), ensure_ascii=False) + "\n" for utterance in scored)
    path.write_text("".join(lines), encoding="utf-8")


def card_of(run: Path) -> ModelCard:
    """The card as the Hub sees it: written to a file and read again."""
    make_model_card(run, hub_model_id="lab/whisper-bank").save(run / "best" / "README.md")
    return ModelCard.load(run / "best" / "README.md")


def test_the_metadata_of_the_reference_job(make_run) -> None:
    card = card_of(make_run("--config", "whisper_tiny_minds14", "--data.revision", "v1"))
    metadata = card.data.to_dict()
    assert metadata["base_model"] == "openai/whisper-tiny"
    assert metadata["datasets"] in ("PolyAI/minds14", ["PolyAI/minds14"])
    assert metadata["language"] == "en"
    assert (metadata["library_name"], metadata["pipeline_tag"]) == ("transformers", "automatic-speech-recognition")
    results = {result.metric_name: result for result in card.data.eval_results}
    assert {name: (result.metric_type, result.metric_value) for name, result in results.items()} == {
        "WER (basic normaliser)": ("wer", 25.0),
        "WER (orthographic)": ("wer", 31.25),
        "CER (basic normaliser)": ("cer", 12.346),
    }
    assert {
        (result.dataset_type, result.dataset_config, result.dataset_split, result.dataset_revision)
        for result in results.values()
    } == {("PolyAI/minds14", "en-US", "train (held out)", "v1")}


def test_local_names_are_not_given_out_as_hub_names(make_run) -> None:
    metadata = card_of(make_run()).data.to_dict()  # the quickstart's model and clips are in the package
    assert "base_model" not in metadata
    assert "datasets" not in metadata
    assert metadata["model-index"][0]["results"][0]["dataset"]["type"] == "local"


def test_the_tables_hold_the_numbers_of_the_run(make_run) -> None:
    text = card_of(make_run()).text
    for row in (
        "| baseline | 0 | 75.00 | 81.25 | 50.00 |",
        "| best | 30 | 25.00 | 31.25 | 12.35 |",
        "| last | 60 | 26.00 | 32.00 | 13.00 |",
        "| training | 450 | 0.91 |",
        "| validation | 113 | 0.23 |",
    ):
        assert f"\n{row}\n" in text, row
    assert "- left out: 3 (no text)\n- left out: 1 (longer than 30 s)" in text
    assert "- learning_rate: 0.0005\n" in text
    assert "- num_processes: 2\n" in text
    assert "113 validation utterances" in text
    assert "torch 2.13.0" in text
    assert "None" not in text.split("Versions:")[1]
    assert 'model="lab/whisper-bank"' in text
    assert "speech context" not in text


def test_a_run_without_a_baseline_has_no_row_for_it(make_run) -> None:
    text = card_of(make_run(summary={name: SUMMARY[name] for name in ("best", "last")})).text
    assert "| baseline |" not in text
    assert "| best | 30 |" in text


def test_names_with_special_letters_leave_valid_metadata(make_run) -> None:
    run = make_run(
        "--config",
        "quickstart",
        "--data.name_or_path",
        'a: "b" #c',
        "--data.subset",
        "é'",
        "--data.train_split",
        "x: y",
    )
    metadata = card_of(run).data.to_dict()
    assert yaml.safe_load(yaml.safe_dump(metadata)) == metadata
    dataset = metadata["model-index"][0]["results"][0]["dataset"]
    assert (dataset["name"], dataset["config"], dataset["split"]) == ('a: "b" #c', "é'", "x: y (held out)")


@pytest.mark.parametrize("missing", ["summary.json", "best/config.json"])
def test_what_is_no_finished_run_is_not_pushed(make_run, missing: str) -> None:
    run = make_run()
    (run / missing).unlink()
    with refused("RUN_DIR", missing, value=run):
        push_run(run, hub_model_id="lab/x", private=False)
    assert not (run / "best" / "README.md").exists()


def test_the_card_says_what_was_done_to_the_texts(make_run, tmp_path: Path) -> None:
    assert "validation texts alike: none." in card_of(make_run("--config", "whisper_tiny_minds14")).text
    text = {"lowercase": True, "remove_punctuation": True, "replacements": {"&": "and"}}
    (tmp_path / "text.yaml").write_text(yaml.safe_dump({"data": {"name_or_path": "x/y", "eval_rows": 1, "text": text}}))
    (tmp_path / "run").rename(tmp_path / "before")
    steps = "validation texts alike: replaced '&' by 'and'; punctuation removed; lower case."
    assert steps in card_of(make_run("--config", str(tmp_path / "text.yaml"))).text


def test_the_card_of_several_sources_and_languages(make_run, tmp_path: Path) -> None:
    sources = [{"name_or_path": "lab/dutch", "weight": 1.0}, {"name_or_path": "lab/german", "weight": 2.0}]
    (tmp_path / "mix.yaml").write_text(yaml.safe_dump({"data": {"sources": sources, "eval_rows": 5}}))
    by_language = {
        "de": {"utterances": 90, "wer": 0.3, "wer_ortho": 0.4, "cer": 0.1},
        "nl": {"utterances": 23, "wer": 0.2, "wer_ortho": 0.2, "cer": 0.1},
    }
    summary = {**SUMMARY, "best": {**SUMMARY["best"], "by_language": by_language}}
    run = make_run("--config", str(tmp_path / "mix.yaml"), summary=summary)
    write_rows(run, 30, score_pairs([("a b c d", "a b c x")], language="de") + score_pairs([("a", "a")], language="nl"))
    card = card_of(run)
    assert card.data.to_dict()["datasets"] == ["lab/dutch", "lab/german"]
    assert card.data.to_dict()["language"] == ["de", "nl"]
    assert "\n| language: de | 1 | 25.00 | 14.29 |\n| language: nl | 1 | 0.00 | 0.00 |\n" in (card.text)
    assert "fine-tuned on lab/dutch, lab/german" in card.text


def test_the_card_names_what_stands_in_for_the_language(make_run, tmp_path: Path) -> None:
    model = {"language": "ckb-IQ", "language_stand_ins": {"ckb": "Persian", "dv": "si"}}
    (tmp_path / "ckb.yaml").write_text(
        yaml.safe_dump({"model": model, "data": {"name_or_path": "x/y", "eval_rows": 1}})
    )
    card = card_of(make_run("--config", str(tmp_path / "ckb.yaml")))
    assert card.data.to_dict()["language"] == "ckb"
    assert "no token for the language `ckb`: that of `fa` takes its place" in card.text
    assert "`dv`" not in card.text


# -- what else the run knows


def test_rates_have_their_intervals_and_fine_tuning_its_difference(make_run) -> None:
    best = {
        **SUMMARY["best"],
        "wer_interval": [0.21, 0.29],
        "wer_ortho_interval": [0.28, 0.34],
        "cer_interval": [None, None],
    }
    run = make_run(summary={**SUMMARY, "best": best})
    pairs = [("pay the bill now", "pay a bill now"), ("freeze my card", "freeze my card")] * 20
    write_rows(run, 0, score_pairs([(reference, "x") for reference, _ in pairs]))
    write_rows(run, 30, score_pairs(pairs))
    text = card_of(run).text
    assert "| best | 30 | 25.00 (21.00 to 29.00) | 31.25 (28.00 to 34.00) | 12.35 |" in text
    # of 140 words all were wrong, and 20 still are
    assert "Against the untouched base model: -85.71 points of WER (95% interval " in text
    assert "beyond what chance explains" in text


def test_a_value_as_long_as_a_book_does_not_fill_the_card(make_run) -> None:
    book, table = "letter " * 15_000, "{" + ", ".join(f"word{n}: other" for n in range(60)) + f", x: '{'y' * 9000}'}}"
    run = make_run("--data.breakdown_columns", "[speaker]", "--data.text.replacements", table)
    scored = [score_pairs([("a", "a")], columns={"speaker": who})[0] for who in (book, "ann")]
    write_rows(run, 30, scored)
    text = card_of(run).text
    row = next(line for line in text.splitlines() if "letter letter" in line)
    assert len(row) < 300
    assert "more)" in row
    assert "11 more replacements" in text
    assert len(text) < 20_000


@pytest.mark.parametrize(
    ("before", "after", "present", "absent"),
    [
        ([("a b c", "a x c"), ("d", "d")], [("a b c", "a b c"), ("d", "e")], "which could be chance", "beyond"),
        ([("a b", "a c"), ("b", "b")], [("a b", "a c"), ("b", "b")], "no utterance has more word errors", "chance"),
        ([("a b", "a c")], [("a b", "a b")], "The model in this repository is `best`.", "nan"),  # one: no interval
    ],
)
def test_a_difference_says_how_sure_it_is(make_run, before: list, after: list, present: str, absent: str) -> None:
    run = make_run()
    write_rows(run, 0, score_pairs(before))
    write_rows(run, 30, score_pairs(after))
    text = card_of(run).text
    assert present in text
    assert absent not in text


@pytest.mark.parametrize("lines", ["", '{"utterance_id": "of an older version"}\n', "torn"])
def test_without_transcripts_there_is_a_card_all_the_same(make_run, lines: str) -> None:
    run = make_run()
    write_rows(run, 30, [])
    (run / "evaluations" / "step-00000030.jsonl").write_text(lines)
    text = card_of(run).text
    assert "| best | 30 | 25.00 |" in text
    assert "Against" not in text


def test_licences_are_those_of_the_settings_and_none_is_made_up(make_run, tmp_path: Path) -> None:
    card = card_of(make_run("--data.license", "cc-by-4.0", "--hub.license", "apache-2.0"))
    assert card.data.license == "apache-2.0"
    assert "\n| quickstart |  |  | cc-by-4.0 |\n" in card.text
    (tmp_path / "run").rename(tmp_path / "before")
    (tmp_path / "plain.yaml").write_text("data: {name_or_path: lab/calls, eval_rows: 3}")
    card = card_of(make_run("--config", str(tmp_path / "plain.yaml")))
    assert "license" not in card.data.to_dict()
    assert "\n| lab/calls |  |  | not stated |\n" in card.text


def test_what_went_wrong_is_counted_among_the_limits(make_run) -> None:
    run = make_run(summary={**SUMMARY, "best": {**SUMMARY["best"], "cut_off": 4}})
    write_rows(run, 30, score_pairs([("pay", "pay " * 8), ("pay the bill", "please pay the bill")], silent=True))
    text = card_of(run).text
    assert "- 4 of 113 transcripts stopped at the length limit\n" in text
    assert "- 2 of 113 references are empty after normalisation" in text
    assert "- 2 of 113 transcripts hold all that was said, and words that were not\n" in text
    assert "- 1 of 113 transcripts repeat a piece of text over and over\n" in text
    assert "- 2 of 113 recordings in which nothing can be heard got words\n" in text


def test_scores_by_a_column_are_told_but_not_by_that_of_the_groups(make_run) -> None:
    scored = [
        score_pairs([("a", "a")], columns={"speaker": speaker, "intent": f"of {speaker}"})[0]
        for speaker in ("ann", "bob | <b>")
    ]
    run = make_run("--data.train_rows", "null", "--data.eval_rows", "3", "--data.group_column", "speaker")
    write_rows(run, 30, scored)
    text = card_of(run).text
    assert "| speaker:" not in text
    assert "| intent: of bob \\| &lt;b> | 1 |" in text


def test_pictures_of_curves_are_shown_where_the_run_has_them(make_run) -> None:
    run = make_run()
    assert "![" not in card_of(run).text
    (run / "plots").mkdir()
    for name in ("loss.png", "word_error_rate.png", "wer_by_speaker.png"):
        (run / "plots" / name).write_bytes(b"png")
    text = card_of(run).text
    assert text.count("![") == 2
    assert "![word error rate](plots/word_error_rate.png)" in text
    planned = [file.path_in_repo for file in plan_upload(run, include_tensorboard=False)]
    assert planned == ["README.md", "config.json", "plots/loss.png", "plots/word_error_rate.png"]


def test_passwords_in_addresses_stay_at_home(make_run) -> None:
    address = "https://me:secret@example.org/shards/{0..3}.tar?token=secret"
    text = str(card_of(make_run("--config", "quickstart", "--data.name_or_path", address)))
    assert "secret" not in text
    assert "https://(hidden)@example.org/shards/" in text


def test_the_example_in_the_card_runs(tiny_folder: Path, make_run, tmp_path: Path, monkeypatch) -> None:
    import numpy as np
    import soundfile

    code = card_of(make_run()).text.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    rate_hz = 8_000  # another than the model's
    soundfile.write("recording.wav", 0.1 * np.sin(np.arange(rate_hz) / 9), rate_hz)
    printed: list[str] = []
    exec(code.replace("lab/whisper-bank", str(tiny_folder)), {"print": printed.append})
    assert len(printed) == 1
    assert printed[0].strip()


@pytest.mark.parametrize("name", ["config.yaml", "summary.json", "data_summary.json", "environment.json"])
def test_a_record_that_was_cut_off_is_named(make_run, name: str) -> None:
    run = make_run()
    (run / name).write_text('{"a": [1,')
    with refused("RUN_DIR", value=run / name, remedy="copy"):
        make_model_card(run, hub_model_id="lab/whisper-bank")


def test_cells_are_one_line_and_no_links_pictures_or_html(make_run) -> None:
    run = make_run()
    values = ["![x](http://a.b/c.png)", "<img src=x>", "a|b", "one\u2028two", "three\x85four"]
    scored = [score_pairs([(value, "b")], columns={"in|tent": value})[0] for value in values]
    write_rows(run, 30, scored)
    text = card_of(run).text
    for cell in (r"!\[x\](http://a.b/c.png)", "&lt;img src=x>", r"a\|b", "one two", "three four"):
        assert rf"| in\|tent: {cell} | 1 |" in text


def test_a_run_on_short_contexts_names_both_and_warns_where_the_whole_window_suffers(make_run) -> None:
    summary = {
        name: {**record, "speech_context": {**record, "wer": record["wer"] / 2}} for name, record in SUMMARY.items()
    }
    text = card_of(make_run("--config", "quickstart", "--training.audio_context", "speech", summary=summary)).text
    assert "- audio_context: speech" in text
    assert "| best | 30 | 25.00 |" in text
    assert "| model, speech context | step |" in text
    assert "| best | 30 | 12.50 |" in text
    assert "WARNING" not in text


def test_a_model_that_is_worse_at_its_whole_window_is_marked(make_run) -> None:
    worse = {**SUMMARY["best"], "wer": 0.77, "speech_context": {**SUMMARY["best"], "wer": 0.2}}
    summary = {**SUMMARY, "best": worse}
    text = card_of(make_run("--config", "quickstart", "--training.audio_context", "speech", summary=summary)).text
    assert "**WARNING: " in text
    assert "WER 77.00% against 75.00%" in text


def test_names_in_the_card_do_not_act_on_a_screen(make_run) -> None:
    hostile = "a\x1b[2J\u202eb"
    run = make_run()
    environment = ENVIRONMENT | {"command": ["python", "accel_asr/train.py", hostile]}
    (run / "environment.json").write_text(json.dumps(environment))
    text = str(make_model_card(run, hub_model_id="lab/whisper-bank"))
    assert not set(text) & {"\x1b", "\u202e"}
    assert r"a\x1b[2J\u202eb" in text


@pytest.mark.parametrize(("wer", "is_explained"), [(1.5957, True), (0.25, False)])
def test_the_card_says_what_a_rate_above_100_is(make_run, wer: float, is_explained: bool) -> None:
    summary = {name: record | {"wer": wer} for name, record in SUMMARY.items()}
    text = str(make_model_card(make_run(summary=summary), hub_model_id="lab/whisper-bank"))
    assert ("Above 100 there are more errors than words" in text) is is_explained
