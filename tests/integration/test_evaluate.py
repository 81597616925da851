"""`accel-asr evaluate` as typed: one and two processes, several sets, another model to compare, and refusals."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from accel_asr.commands.evaluate_command import main
from accel_asr.evaluation.scoring import ScoredUtterance, corpus_score
from tests.conftest import forget_accelerate
from tests.integration.launching import ACCELERATE, TWO_PROCESSES, Finished, run
from tests.integration.tones import VALIDATION_CLIPS, TonesJob
from tests.tiny_models import make_tiny_whisper

EVALUATE = [sys.executable, "-m", "accel_asr", "evaluate"]
NOISY = "validation -3 dB"
NOT_OF_THE_SCORES = ("seconds", "rtfx", "rtfx_with")


def evaluate(tones: TonesJob, name: str, *more: str, command: list[str] = EVALUATE) -> Finished:
    (tones.folder / name).mkdir()
    settings = ["--config", str(tones.config), "--output_dir", "scores"]
    return run([*command, "--model", str(tones.folder / "model"), *settings, *more], cwd=tones.folder / name)


def scores_of(tones: TonesJob, name: str) -> dict[str, Any]:
    return json.loads((tones.folder / name / "scores" / "scores.json").read_text(encoding="utf-8"))


def with_noise(tones: TonesJob) -> list[str]:
    return ["--noise_dir", str(tones.folder / "noise"), "--snr", "-3"]


@pytest.fixture(scope="module")
def alone(tones: TonesJob) -> Finished:
    """One process, on the validation rows of the settings, without noise and with, by a column, against a model of
    other weights."""
    noise = tones.folder / "noise"
    noise.mkdir()
    hiss = np.random.default_rng(1).standard_normal(48_000) / 10
    soundfile.write(noise / "hiss.flac", hiss, 16_000)
    other = make_tiny_whisper(tones.folder / "other-model", seed=1, max_source_positions=100)
    finished = evaluate(tones, "alone", "--by", "intent_class", "--against", str(other), *with_noise(tones))
    assert finished.code == 0, finished.out + finished.err[-4000:]
    return finished


def test_the_scores_are_those_of_the_transcripts_beside_them(alone: Finished, tones: TonesJob) -> None:
    scores = scores_of(tones, "alone")["sets"]["validation"]
    lines = (tones.folder / "alone" / "scores" / "validation.jsonl").read_text(encoding="utf-8").splitlines()
    scored = [ScoredUtterance.from_json(json.loads(line)) for line in lines]
    assert len({utterance.transcript.utterance_id for utterance in scored}) == VALIDATION_CLIPS
    score = corpus_score(scored)
    assert (scores["wer"], scores["cer"], scores["utterances"]) == (score.wer, score.cer, VALIDATION_CLIPS)
    low, high = scores["wer_interval"]
    assert low < scores["wer"] < high
    assert scores["audio_seconds"] == pytest.approx(
        sum(utterance.transcript.duration_s for utterance in scored), abs=1e-3
    )
    assert scores["rtfx"] == pytest.approx(scores["audio_seconds"] / scores["seconds"], rel=1e-2)
    assert scores["rtfx_with"] == {"batch_size": 5, "processes": 1, "device": "cpu"}
    intents = {utterance.transcript.columns["intent_class"] for utterance in scored}
    assert {part["value"] for part in scores["breakdowns"]["intent_class"]} == intents
    assert len(intents) > 1


def test_what_is_printed_is_what_is_written(alone: Finished, tones: TonesJob) -> None:
    scores = scores_of(tones, "alone")["sets"]["validation"]
    assert f"{100 * scores['wer']:.2f}% (" in alone.out
    assert "kept 40 of 40 utterances" in alone.out
    assert "validation by intent_class" in alone.out
    assert "points with 95% intervals, paired" in alone.out
    assert "clips without speech" in alone.out


def test_against_another_model(alone: Finished, tones: TonesJob) -> None:
    scores = scores_of(tones, "alone")
    against = scores["against"]
    difference = against["comparisons"]["validation"]["differences"]["wer"]
    wers = [model["sets"]["validation"]["wer"] for model in (scores, against)]
    assert difference["difference"] == pytest.approx(wers[0] - wers[1], abs=1e-12)
    assert difference["interval"][0] <= difference["difference"] <= difference["interval"][1]
    assert against["comparisons"]["validation"]["changed_transcripts"] > 0
    rows = (tones.folder / "alone" / "scores" / "against" / "validation.jsonl").read_text(encoding="utf-8")
    assert len(rows.splitlines()) == VALIDATION_CLIPS


def test_noise_is_a_set_of_its_own(alone: Finished, tones: TonesJob) -> None:
    scores = scores_of(tones, "alone")
    assert list(scores["sets"]) == list(scores["against"]["sets"]) == ["validation", NOISY]
    clean, noisy = (scores["sets"][name] for name in ("validation", NOISY))
    assert "noise" not in clean["dataset"]
    assert noisy["dataset"]["noise"]["snr_db"] == -3
    assert noisy["utterances"] == clean["utterances"] == VALIDATION_CLIPS
    assert noisy["audio_seconds"] == clean["audio_seconds"]
    folder = tones.folder / "alone" / "scores"
    lines = [(folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines() for name in ("validation", NOISY)]
    texts = [[json.loads(line)["hypothesis"] for line in each] for each in lines]
    assert sum(heard != said for heard, said in zip(*texts, strict=True)) > VALIDATION_CLIPS / 2


def test_two_processes_give_the_same_scores_and_transcripts(alone: Finished, tones: TonesJob) -> None:
    command = [*ACCELERATE, *TWO_PROCESSES, "-m", "accel_asr", "evaluate"]
    finished = evaluate(tones, "together", "--by", "intent_class", *with_noise(tones), command=command)
    assert finished.code == 0, finished.out + finished.err[-4000:]
    for set_name in ("validation", NOISY):
        rows = [(tones.folder / name / "scores" / f"{set_name}.jsonl").read_bytes() for name in ("alone", "together")]
        assert rows[0] == rows[1]
        sets = [scores_of(tones, name)["sets"][set_name] for name in ("alone", "together")]
        for scores in sets:
            assert all(scores.pop(name) for name in NOT_OF_THE_SCORES)
        assert sets[0] == sets[1]
    assert scores_of(tones, "together")["environment"]["world_size"] == 2
    assert finished.out.count("scores, with 95% bootstrap intervals") == 1  # only the main process prints


def test_several_sources_by_name(tones: TonesJob) -> None:
    parquet = str(next((tones.folder / "data" / "en-US").glob("*.parquet")))
    sources = ["--dataset", f"{parquet}@train[:5]", "--dataset", f"{parquet}@train[5:]"]
    finished = evaluate(tones, "sources", *sources, "--no_silence")
    assert finished.code == 0, finished.out + finished.err[-4000:]
    sets = scores_of(tones, "sources")["sets"]
    assert sorted(scores["utterances"] for scores in sets.values()) == [5, 35]
    assert {scores["dataset"]["split"] for scores in sets.values()} == {"train[:5]", "train[5:]"}
    assert "no_speech" not in scores_of(tones, "sources")
    assert "clips without speech" not in finished.out
    again = run(
        [*EVALUATE, "--model", str(tones.folder / "model"), "--config", str(tones.config), "--output_dir", "scores"],
        cwd=tones.folder / "sources",
    )
    assert again.code == 2
    assert "--overwrite" in again.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--model: is not set"),
        (["--model", "quickstart", "--utterances", "0"], "--utterances 0: is out of range"),
        (["--model", "quickstart", "--against", "quickstart"], "--against 'quickstart': is what --model names too"),
        (["--model", "quickstart", "--noise_dir", "noise"], "--snr: is not set"),
        (["--model", "quickstart", "--snr", "5"], "--noise_dir: is not set"),
        (["--model", "quickstart", "--noise_dir", "noise", "--snr", "5", "5"], "--snr [5.0, 5.0]: has a level twice"),
        (["--model", "quickstart", "--noise_dir", "noise", "--snr", "inf"], "--snr: inf is out of range"),
        (["--model", "quickstart", "--noise_dir", "noise", "--snr", "5"], "--noise_dir 'noise': is not a folder"),
        (["--model", "quickstart", "--against"], "--against: expected one argument"),
        (["--model", "quickstart", "--dataset", "missing.csv"], "'missing.csv': does not exist"),
        (["--model", "some/folder/of/mine", "--dataset", "quickstart"], "--model 'some/folder/of/mine': "),
        (["--model", "quickstart", "--against", "some/folder/of/mine"], "--against 'some/folder/of/mine': "),
        (["--model", "quickstart", "--output_dir", "/dev/null/scores"], "--output_dir '/dev/null/scores': can't be"),
        (
            ["--model", "quickstart", "--dataset", "quickstart", "--by", "speaker"],
            '("--data.breakdown_columns=[]" for none)',
        ),
        (["--model", "quickstart", "--by", "speaker"], "--data.breakdown_columns 'speaker': there is no such column"),
        (["--model", "quickstart", "--evaluation.num_beam", "2"], "did you mean --evaluation.num_beams"),
    ],
)
def test_bad_input_is_one_message(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    forget_accelerate()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    err = capfd.readouterr().err
    assert caught.value.code == 2
    assert words in err
    assert "Traceback" not in err
    assert not list(tmp_path.rglob("scores.json"))
