"""The model card of a run: its metadata is read back by huggingface_hub, its tables hold the run's numbers."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from accel_asr.evaluation.scoring import ScoredUtterance
from accel_asr.publishing.hub import push_run
from accel_asr.publishing.model_card import make_model_card
from accel_asr.publishing.upload_plan import plan_upload
from tests.refusals import refused
from tests.unit.evaluation.made_up_scores import score_pairs
from tests.unit.publishing.made_up_records import ENVIRONMENT, SUMMARY, write_records

QUICKSTART = ["--config", "quickstart"]
EMA = {**SUMMARY["best"], "step": 60, "weights": "ema", "wer": 0.24}
AVERAGE = {"step": 60, "weights": "average", "steps": [20, 40, 60], "wer": 0.23}
ALPHA = {"step": 60, "weights": "alpha-0.375", "alpha": 0.375, "wer": 0.22}
CLIPS = {"name_or_path": "lab/calls", "eval_rows": 3}


@pytest.fixture
def make_run(tmp_path: Path):
    def make(*settings: str, file: dict[str, Any] | None = None, summary: dict[str, Any] = SUMMARY) -> Path:
        """A run with these settings, or with those of a configuration file."""
        run = tmp_path / "run"
        (run / "best").mkdir(parents=True)
        (run / "best" / "config.json").write_text("{}")
        if file is not None:
            (tmp_path / "settings.yaml").write_text(yaml.safe_dump(file))
            settings = ("--config", str(tmp_path / "settings.yaml"))
        return write_records(run, *settings, summary=summary)

    return make


def best_with(**fields: Any) -> dict[str, Any]:
    """The summary, with other fields of the best model."""
    return {**SUMMARY, "best": {**SUMMARY["best"], **fields}}


def write_rows(run: Path, step: int, scored: list[ScoredUtterance]) -> Path:
    """The transcripts of an evaluation, as training writes them."""
    path = run / "evaluations" / f"step-{step:08d}.jsonl"
    path.parent.mkdir(exist_ok=True)
    lines = (json.dumps(utterance.to_json(), ensure_ascii=False) + "\n" for utterance in scored)
    path.write_text("".join(lines), encoding="utf-8")
    return path


def by_column(name: str, *values: str) -> list[ScoredUtterance]:
    """An utterance for each value of a column."""
    return [score_pairs([("a", "b")], columns={name: value})[0] for value in values]


def card_of(run: Path) -> ModelCard:
    """The card as the Hub sees it: written to a file and read again."""
    make_model_card(run, hub_model_id="lab/whisper-bank").save(run / "best" / "README.md")
    return ModelCard.load(run / "best" / "README.md")


# -- metadata


def test_the_metadata_of_the_reference_job(make_run) -> None:
    card = card_of(make_run("--config", "whisper_tiny_minds14", "--data.revision", "v1"))
    metadata = card.data.to_dict()
    assert metadata["base_model"] == "openai/whisper-tiny"
    assert "base_model_relation" not in metadata
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
    assert "validation texts alike: none." in card.text


def test_clips_without_speech_are_counted_beside_the_utterances(make_run) -> None:
    run = make_run(*QUICKSTART)
    assert "without speech" not in card_of(run).text
    data = json.loads((run / "data_summary.json").read_text())
    (run / "data_summary.json").write_text(json.dumps({**data, "no_speech": {"clips": 50, "hours": 0.2}}))
    assert "| training | 450 | 0.91 |\n| training, clips without speech | 50 | 0.2 |\n| validation" in card_of(run).text


def with_lora(run: Path) -> Path:
    """The run, as if it had trained adapters."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    lora = {
        "enabled": True,
        "r": 8,
        "lora_alpha": 16,
        "target_modules": "all-linear",
        "modules_to_save": [],
    }
    (run / "config.yaml").write_text(yaml.safe_dump({**config, "lora": lora}))
    return run


def test_a_model_that_adapters_were_merged_into_says_how_they_were_trained(make_run) -> None:
    card = card_of(with_lora(make_run("--config", "whisper_tiny_minds14")))
    metadata = card.data.to_dict()
    assert (metadata["base_model"], metadata["base_model_relation"]) == ("openai/whisper-tiny", "finetune")
    assert metadata["library_name"] == "transformers"
    for line in ("- lora.r: 8", "- lora.lora_alpha: 16", "- lora.target_modules: all-linear"):
        assert line in card.text.splitlines()
    assert "modules_to_save" not in card.text


def test_the_card_of_the_adapter_alone_names_its_base_and_how_to_load_it(make_run) -> None:
    settings = ("--config", "whisper_tiny_minds14", "--model.revision", "v1", "--hub.license", "mit")
    run = with_lora(make_run(*settings))
    card = make_model_card(run, hub_model_id="lab/adapter", adapter=True)
    metadata = card.data.to_dict()
    assert (metadata["base_model"], metadata["base_model_relation"]) == ("openai/whisper-tiny", "adapter")
    assert (metadata["library_name"], metadata["license"]) == ("peft", "mit")
    assert metadata["tags"] == ["whisper", "accel-asr", "lora"]
    assert metadata["model-index"][0]["results"][0]["metrics"]
    for words in (
        '.from_pretrained("openai/whisper-tiny", revision="v1")',
        'PeftModel.from_pretrained(base, "lab/adapter")',
        "- lora.r: 8",
        "The adapter in this repository is that of `best`",
    ):
        assert words in card.text
    assert "not on the Hub" not in card.text


def test_the_card_of_an_adapter_whose_base_is_not_on_the_hub_says_so(make_run) -> None:
    card = make_model_card(with_lora(make_run()), hub_model_id="lab/adapter", adapter=True)
    assert not {"base_model", "base_model_relation"} & set(card.data.to_dict())
    assert "not on the Hub" in card.text


def test_local_names_are_not_given_out_as_hub_names(make_run) -> None:
    metadata = card_of(make_run()).data.to_dict()  # the quickstart's model and clips are in the package
    assert "base_model" not in metadata
    assert "datasets" not in metadata
    assert metadata["model-index"][0]["results"][0]["dataset"]["type"] == "local"


def test_names_with_special_letters_leave_valid_metadata(make_run) -> None:
    names = {"name_or_path": 'a: "b" #c', "subset": "é'", "train_split": "x: y", "eval_rows": 3}
    metadata = card_of(make_run(file={"data": names})).data.to_dict()
    assert yaml.safe_load(yaml.safe_dump(metadata)) == metadata
    dataset = metadata["model-index"][0]["results"][0]["dataset"]
    assert (dataset["name"], dataset["config"], dataset["split"]) == ('a: "b" #c', "é'", "x: y (held out)")


def test_several_sources_and_languages(make_run) -> None:
    sources = [{"name_or_path": "lab/dutch", "weight": 1.0}, {"name_or_path": "lab/german", "weight": 2.0}]
    scores = {"utterances": 90, "wer": 0.3, "wer_ortho": 0.4, "cer": 0.1}
    summary = best_with(by_language={"de": scores, "nl": scores})
    run = make_run(file={"data": {"sources": sources, "eval_rows": 5}}, summary=summary)
    write_rows(run, 30, score_pairs([("a b c d", "a b c x")], language="de") + score_pairs([("a", "a")], language="nl"))
    card = card_of(run)
    assert card.data.to_dict()["datasets"] == ["lab/dutch", "lab/german"]
    assert card.data.to_dict()["language"] == ["de", "nl"]
    assert "\n| language: de | 1 | 25.00 | 14.29 |\n| language: nl | 1 | 0.00 | 0.00 |\n" in (card.text)
    assert "fine-tuned on lab/dutch, lab/german" in card.text


def test_a_language_whose_token_is_anothers(make_run) -> None:
    model = {"language": "ckb-IQ", "language_stand_ins": {"ckb": "Persian", "dv": "si"}}
    card = card_of(make_run(file={"model": model, "data": CLIPS}))
    assert card.data.to_dict()["language"] == "ckb"
    assert "no token for the language `ckb`: that of `fa` takes its place" in card.text
    assert "`dv`" not in card.text


@pytest.mark.parametrize(
    ("file", "licence", "row"),
    [
        ({"data": CLIPS}, None, "| lab/calls |  |  | not stated |"),
        (
            {"data": CLIPS | {"license": "cc-by-4.0"}, "hub": {"license": "apache-2.0"}},
            *("apache-2.0", "| lab/calls |  |  | cc-by-4.0 |"),
        ),
    ],
)
def test_licences_are_those_of_the_settings_and_none_is_made_up(
    make_run, file: dict[str, Any], licence: str | None, row: str
) -> None:
    card = card_of(make_run(file=file))
    assert card.data.to_dict().get("license") == licence
    assert f"\n{row}\n" in card.text


# -- the text


def test_the_tables_hold_the_numbers_of_the_run(make_run) -> None:
    text = card_of(make_run()).text
    for row in (
        "| baseline | 0 | 75.00 | 81.25 | 50.00 |",
        "| best | 30 | 25.00 | 31.25 | 12.35 |",
        "| last | 60 | 26.00 | 32.00 | 13.00 |",
        "| training | 450 | 0.91 |",
        "| validation | 113 | 0.23 |",
        "- left out: 3 (no text)\n- left out: 1 (longer than 30 s)",
        "- learning_rate: 0.0005",
        "- num_processes: 2",
        "- trained_parameters: 7 of 1,507 (encoder 0 of 1,500, decoder 7 of 7)",
    ):
        assert f"\n{row}\n" in text, row
    for unused in (
        "label_smoothing",
        "early_stopping",
        "lr_scheduler_kwargs",
        "multipliers",
        "freeze",
        "checkpointing",
    ):
        assert unused not in text
    for words in ("113 validation utterances", "torch 2.13.0", 'model="lab/whisper-bank"'):
        assert words in text
    assert "None" not in text.split("Versions:")[1]
    assert "![" not in text


@pytest.mark.parametrize(
    ("settings", "summary", "present", "absent"),
    [
        ([], {name: SUMMARY[name] for name in ("best", "last")}, ["| best | 30 |"], "| baseline |"),
        (
            *([], best_with(wer_interval=[0.21, 0.29], wer_ortho_interval=[0.28, 0.34], cer_interval=[None, None])),
            *(["| best | 30 | 25.00 (21.00 to 29.00) | 31.25 (28.00 to 34.00) | 12.35 |"], "nan"),
        ),
        ([], best_with(wer=1.5957), ["Above 100 there are more errors than words"], "nan"),
        ([], best_with(wer=1.0), [], "Above 100"),
        ([], SUMMARY, ["The model in this repository is `best`."], "average"),
        ([], SUMMARY, ["Decoding: greedy"], "merged"),
        ([], best_with(audio_context="merged"), [" tokens, with merged padding."], "average"),
        (
            *([], {**best_with(**AVERAGE), "ema": EMA, "average": {**SUMMARY["best"], **AVERAGE}}),
            [
                "| moving average at step 60 | 60 | 24.00 |",
                "| mean of steps 20, 40 and 60 | 60 | 23.00 |",
                "`best`: not the model of a step, but the mean of steps 20, 40 and 60.",
            ],
            "nan",
        ),
        (
            *(
                [],
                {
                    **best_with(**ALPHA),
                    "last": {**SUMMARY["last"], "step": 60},
                    "alpha-0.375": {**SUMMARY["best"], **ALPHA},
                },
            ),
            [
                "| interpolation at alpha 0.375 to step 60 | 60 | 22.00 |",
                "`best`: not the model of a step, but the interpolation at alpha 0.375 to step 60.",
                "0.625 x those of the base model + 0.375 x those after step 60",
                "`checkpoint.interpolate`",
            ],
            "adapter",
        ),
        (
            ["--data.text.lowercase", "true", "--data.text.remove_punctuation", "true"],
            *(SUMMARY, ["validation texts alike: punctuation removed; lower case."], "replaced"),
        ),
        (
            *(["--data.text.replacements", "{'&': and}"], SUMMARY),
            *(["validation texts alike: replaced '&' by 'and'."], "lower case"),
        ),
        (
            [*QUICKSTART, "--training.label_smoothing_factor", "0.1", "--model.freeze", "[encoder_layers: 2]"],
            *(SUMMARY, ["- label_smoothing_factor: 0.1", "- freeze: [{'encoder_layers': 2}]"], "early_stopping"),
        ),
        (
            ["--data.name_or_path", "https://me:secret@example.org/shards/{0..3}.tar?token=secret"],
            *(SUMMARY, ["https://(hidden)@example.org/shards/"], "secret"),
        ),
    ],
)
def test_the_card_follows_settings_and_scores(
    make_run, settings: list[str], summary: dict[str, Any], present: list[str], absent: str
) -> None:
    card = card_of(make_run(*(settings if "--config" in settings else [*QUICKSTART, *settings]), summary=summary))
    assert not [words for words in present if words not in card.text]
    assert absent not in str(card)


@pytest.mark.parametrize(
    ("before", "after", "present", "absent"),
    [
        # of 140 words all were wrong, and 20 still are
        (
            [("pay the bill now", "x"), ("freeze my card", "x")] * 20,
            [("pay the bill now", "pay a bill now"), ("freeze my card", "freeze my card")] * 20,
            *("Against the untouched base model: -85.71 points of WER (95% interval ", "chance;"),
        ),
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
    write_rows(run, 30, []).write_text(lines)
    text = card_of(run).text
    assert "| best | 30 | 25.00 |" in text
    assert "Against" not in text


def test_what_went_wrong_is_counted_among_the_limits(make_run) -> None:
    run = make_run(summary=best_with(cut_off=4))
    write_rows(run, 30, score_pairs([("pay", "pay " * 8), ("pay the bill", "please pay the bill")], silent=True))
    text = card_of(run).text
    for limit in (
        "4 of 113 transcripts stopped at the length limit",
        "2 of 113 references are empty after normalisation and are not in the normalised rates",
        "2 of 113 transcripts hold all that was said, and words that were not",
        "1 of 113 transcripts repeat a piece of text over and over",
        "2 of 113 recordings in which nothing can be heard got words",
    ):
        assert f"\n- {limit}\n" in text, limit


def test_scores_by_a_column_are_published_but_not_by_that_of_the_groups(make_run) -> None:
    scored = [
        score_pairs([("a", "a")], columns={"speaker": speaker, "intent": f"of {speaker}"})[0]
        for speaker in ("ann", "bob | <b>")
    ]
    run = make_run("--data.train_rows", "null", "--data.eval_rows", "3", "--data.group_column", "speaker")
    write_rows(run, 30, scored)
    text = card_of(run).text
    assert "| speaker:" not in text
    assert "| intent: of bob \\| &lt;b> | 1 |" in text


def test_cells_are_one_line_and_no_links_pictures_or_html(make_run) -> None:
    run = make_run()
    values = ["![x](http://a.b/c.png)", "<img src=x>", "a|b", "one\u2028two", "three\x85four"]
    write_rows(run, 30, by_column("in|tent", *values))
    text = card_of(run).text
    for cell in (r"!\[x\](http://a.b/c.png)", "&lt;img src=x>", r"a\|b", "one two", "three four"):
        assert rf"| in\|tent: {cell} | 1 |" in text


def test_a_value_as_long_as_a_book_does_not_fill_the_card(make_run) -> None:
    table = {f"word{number}": "other" for number in range(60)} | {"x": "y" * 9000}
    run = make_run("--data.breakdown_columns", "[speaker]", "--data.text.replacements", json.dumps(table))
    write_rows(run, 30, by_column("speaker", "letter " * 15_000, "ann"))
    text = card_of(run).text
    row = next(line for line in text.splitlines() if "letter letter" in line)
    assert len(row) < 300
    assert "more)" in row
    assert "11 more replacements" in text
    assert len(text) < 20_000


def test_pictures_of_curves_are_shown_if_the_run_has_them(make_run) -> None:
    run = make_run()
    (run / "plots").mkdir()
    for name in ("loss.png", "word_error_rate.png", "wer_by_speaker.png"):
        (run / "plots" / name).write_bytes(b"png")
    text = card_of(run).text
    assert text.count("![") == 2
    assert "![word error rate](plots/word_error_rate.png)" in text
    planned = [file.path_in_repo for file in plan_upload(run, include_tensorboard=False)]
    assert planned == ["README.md", "config.json", "plots/loss.png", "plots/word_error_rate.png"]


def test_names_in_the_card_do_not_act_on_a_screen(make_run) -> None:
    run = make_run()
    (run / "environment.json").write_text(json.dumps(ENVIRONMENT | {"command": ["a\x1b[2J\u202eb"]}))
    text = str(make_model_card(run, hub_model_id="lab/whisper-bank"))
    assert not set(text) & {"\x1b", "\u202e"}
    assert r"a\x1b[2J\u202eb" in text


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


# -- runs without a card


@pytest.mark.parametrize("missing", ["summary.json", "best/config.json"])
def test_what_is_no_finished_run_is_not_pushed(make_run, missing: str) -> None:
    run = make_run()
    (run / missing).unlink()
    with refused("RUN_DIR", missing, value=run):
        push_run(run, hub_model_id="lab/x", private=False)
    assert not (run / "best" / "README.md").exists()


@pytest.mark.parametrize("name", ["config.yaml", "summary.json", "data_summary.json", "environment.json"])
def test_a_record_that_was_cut_off_is_named(make_run, name: str) -> None:
    run = make_run()
    (run / name).write_text('{"a": [1,')
    with refused("RUN_DIR", value=run / name, remedy="copy"):
        make_model_card(run, hub_model_id="lab/whisper-bank")
