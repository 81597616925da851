"""The model card of a run: its metadata is read back by huggingface_hub, its tables hold the run's numbers."""

import json
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from accel_asr.command_line import parse_config, write_config
from accel_asr.errors import UserError
from accel_asr.publishing.hub import push_run
from accel_asr.publishing.model_card import make_model_card

SCORES = {"utterances": 113, "empty_references": 2, "cut_off": 0, "loss": 1.5}
SUMMARY = {
    "baseline": {"step": 0, "epoch": 0.0, "wer": 0.75, "wer_ortho": 0.8125, "cer": 0.5, **SCORES},
    "best": {"step": 30, "epoch": 1.0, "wer": 0.25, "wer_ortho": 0.3125, "cer": 0.12346, **SCORES},
    "last": {"step": 60, "epoch": 2.0, "wer": 0.26, "wer_ortho": 0.32, "cer": 0.13, **SCORES},
}
DATA = {
    "train": {"utterances": 450, "hours": 0.91},
    "validation": {"utterances": 113, "hours": 0.23},
    "dropped": {"no text": {"count": 3, "examples": []}, "not shorter than 30 s": {"count": 1, "examples": []}},
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
    assert "- left out: 3 (no text)\n- left out: 1 (not shorter than 30 s)" in text
    assert "- learning_rate: 0.0005\n" in text
    assert "- num_processes: 2\n" in text
    assert "113 validation utterances" in text
    assert "torch 2.13.0" in text
    assert "None" not in text.split("Versions:")[1]
    assert 'model="lab/whisper-bank"' in text


def test_a_run_without_a_baseline_has_no_row_for_it(make_run) -> None:
    text = card_of(make_run(summary={name: SUMMARY[name] for name in ("best", "last")})).text
    assert "| baseline |" not in text
    assert "| best | 30 |" in text


def test_names_with_special_letters_leave_valid_metadata(make_run) -> None:
    run = make_run("--data.name_or_path", 'a: "b" #c', "--data.subset", "é'", "--data.train_split", "x: y")
    metadata = card_of(run).data.to_dict()
    assert yaml.safe_load(yaml.safe_dump(metadata)) == metadata
    dataset = metadata["model-index"][0]["results"][0]["dataset"]
    assert (dataset["name"], dataset["config"], dataset["split"]) == ('a: "b" #c', "é'", "x: y (held out)")


@pytest.mark.parametrize("missing", ["summary.json", "best/config.json"])
def test_what_is_no_finished_run_is_not_pushed(make_run, missing: str) -> None:
    run = make_run()
    (run / missing).unlink()
    with pytest.raises(UserError, match=f"RUN_DIR: {str(run)!r} holds no finished run"):
        push_run(run, hub_model_id="lab/x", private=False)
    assert not (run / "best" / "README.md").exists()


def test_the_card_says_what_was_done_to_the_texts(make_run, tmp_path: Path) -> None:
    assert "validation texts alike: none." in card_of(make_run("--config", "whisper_tiny_minds14")).text
    text = {"lowercase": True, "remove_punctuation": True, "replacements": {"&": "and"}}
    (tmp_path / "text.yaml").write_text(yaml.safe_dump({"data": {"name_or_path": "x/y", "eval_rows": 1, "text": text}}))
    (tmp_path / "run").rename(tmp_path / "before")
    told = "validation texts alike: replaced '&' by 'and'; punctuation removed; lower case."
    assert told in card_of(make_run("--config", str(tmp_path / "text.yaml"))).text


def test_the_card_of_several_sources_and_languages(make_run, tmp_path: Path) -> None:
    sources = [{"name_or_path": "lab/dutch", "weight": 1.0}, {"name_or_path": "lab/german", "weight": 2.0}]
    (tmp_path / "mix.yaml").write_text(yaml.safe_dump({"data": {"sources": sources, "eval_rows": 5}}))
    by_language = {
        "de": {"utterances": 90, "wer": 0.3, "wer_ortho": 0.4, "cer": 0.1},
        "nl": {"utterances": 23, "wer": 0.2, "wer_ortho": 0.2, "cer": 0.1},
    }
    summary = {**SUMMARY, "best": {**SUMMARY["best"], "by_language": by_language}}
    card = card_of(make_run("--config", str(tmp_path / "mix.yaml"), summary=summary))
    assert card.data.to_dict()["datasets"] == ["lab/dutch", "lab/german"]
    assert card.data.to_dict()["language"] == ["de", "nl"]
    assert "| language de | 90 | 30.00 | 40.00 | 10.00 |" in card.text
    assert "fine-tuned on lab/dutch, lab/german" in card.text
