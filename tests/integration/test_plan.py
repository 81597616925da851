"""`accel-asr plan` on the embedded quickstart and on a source without training data."""

import json
from pathlib import Path

import pytest

from tests.integration.launching import console

QUICKSTART = Path(__file__).parents[2] / "accel_asr" / "quickstart" / "clips.parquet"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plan")
    guards = "[{name: silence, name_or_path: silence, margin: 100}]"
    options = ["--sample", "24", "--minutes", "30", "--json", "plan.json", "--page", "plan.html"]
    options += ["--training.per_device_train_batch_size", "4", "--training.gradient_accumulation_steps", "1"]
    options += ["--training.max_steps", "30"]
    planned = console(
        ["plan", *options, "--evaluation.guards", guards, "--evaluation.keywords", "[account]"], cwd=folder
    )
    assert planned.code == 0, planned.out + planned.err
    return folder


def test_the_quickstart_is_worth_training_and_each_way_has_its_cost(folder: Path) -> None:
    found = json.loads((folder / "plan.json").read_text())
    assert found["answer"] != "do nothing"
    assert found["reasons"]
    own = found["models"][0]
    assert own["utterances"] == found["sample"] == 24
    assert own["wer_interval"][0] < own["wer"] < own["wer_interval"][1]
    assert own["prompted"]["wer"] == pytest.approx(own["wer"] + own["prompt_difference"]["difference"])
    assert own["no_speech"]["clips"] == 39
    ways = {way["way"]: way for way in found["ways"]}
    assert set(ways) == {"full", "encoder", "adapters", "merged"}
    assert ways["full"]["after"]["wer"] < own["wer"]
    assert ways["full"]["run_steps"] == 30
    for way in ways.values():
        assert (way["steps"], way["utterances_a_step"]) == (20, 4)
        assert way["hours"] * 3600 > way["step_s"] * way["run_steps"]
        assert way["largest_micro_batch"] >= 1
        assert way["guards"]["silence"]["held"]
        assert way["change"]["difference"] == pytest.approx(way["after"]["wer"] - own["wer"])
    assert (
        ways["adapters"]["trained_parameters"]
        < ways["encoder"]["trained_parameters"]
        < ways["full"]["trained_parameters"]
    )
    assert ways["adapters"]["disk_bytes"] < ways["full"]["disk_bytes"]


def test_the_page_has_the_answer_and_nothing_of_a_run_is_left(folder: Path) -> None:
    assert "<h1>Fine-tune " in (folder / "plan.html").read_text()
    assert sorted(path.name for path in folder.iterdir()) == ["plan.html", "plan.json"]


def test_without_training_data_it_says_how_good_the_model_is_and_where_it_fails(folder: Path) -> None:
    sets = ["--dataset", f"{QUICKSTART}@train", "--data.text_column", "english_transcription"]
    planned = console(["plan", "--models", "quickstart", *sets, "--sample", "20", "--json", "-"], cwd=folder)
    assert planned.code == 0, planned.err
    found = json.loads(planned.out[planned.out.index("{\n") :])
    assert (found["answer"], found["ways"]) == ("do nothing", [])
    assert [model["model"] for model in found["models"]] == ["quickstart"]
    assert found["models"][0]["utterances"] == 20
    assert found["models"][0]["worst"]
    assert "nothing to train on" in " ".join(found["reasons"])


def test_bad_input_ends_in_one_line(folder: Path) -> None:
    planned = console(["plan", "--sample", "1", "--minutes", "0"], cwd=folder)
    assert planned.code == 2
    assert "--sample" in planned.err
    assert "--minutes" in planned.err
    assert "Traceback" not in planned.err
