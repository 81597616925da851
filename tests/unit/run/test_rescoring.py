"""`accel-asr evaluate --rescore`: stored transcripts by another normaliser, nothing decoded."""

import json
from pathlib import Path

import pytest

from accel_asr.commands import evaluate_command
from accel_asr.errors import UserError
from accel_asr.evaluation.normalizers import multilingual
from accel_asr.evaluation.scoring import Transcript, score_utterance

YORUBA = ("Ọ̀rọ̀ náà dára", "Ọ̀rọ̀ náà dára púpọ̀")  # (reference, hypothesis): one word too many of three


@pytest.fixture
def transcripts(tmp_path: Path) -> Path:
    path = tmp_path / "evaluations" / "step-00000004.jsonl"
    path.parent.mkdir()
    scored = [score_utterance(Transcript(f"clip-{n}", 1.0, *YORUBA, False), lambda text: "x") for n in range(2)]
    path.write_text("".join(json.dumps(utterance.to_json()) + "\n" for utterance in scored), encoding="utf-8")
    return path


def test_the_rates_are_those_of_the_normaliser_that_is_asked_for(
    transcripts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    asked = ["--rescore", str(transcripts.parent), "--normalizer", "multilingual", "--output_dir", str(out)]
    assert evaluate_command.main(asked) == 0
    assert "33.33%" in capsys.readouterr().out
    record = json.loads((out / "scores.json").read_text())["sets"]["step-00000004.jsonl"]
    assert (record["wer"], record["insertions"], record["reference_words"]) == (pytest.approx(1 / 3), 2, 6)
    (line, _) = (out / "step-00000004.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["reference_normalized"] == multilingual(YORUBA[0])
    assert json.loads(transcripts.read_text().splitlines()[0])["reference_normalized"] == "x"  # left as it was


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], ["--rescore", "nowhere"]),
        (["{folder}", "--normalizer", "english"], ["--normalizer", "--model FOLDER"]),
        (["{folder}", "--normalizer", "english", "--model", "{folder}"], ["--model", "normalizer.json"]),
        (["{folder}", "--output_dir", "{folder}", "--overwrite"], ["--output_dir", "another folder"]),
        (["{text}"], ["--rescore", "text.jsonl"]),
    ],
)
def test_what_can_not_be_rescored_says_why(
    transcripts: Path, tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    (tmp_path / "text.jsonl").write_text("{}\n")
    places = {"folder": transcripts.parent, "text": tmp_path / "text.jsonl"}
    with pytest.raises(UserError) as caught:
        evaluate_command.main(["--rescore", *(argument.format(**places) for argument in arguments)])
    assert all(word in str(caught.value) for word in words), str(caught.value)
