"""Runs side by side: what is compared and what is not, settings that differ, seeds, and what is printed and drawn."""

import io
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from accel_asr.commands.compare import main
from accel_asr.evaluation.scoring import ScoredUtterance
from accel_asr.run_comparison.compared_runs import read_runs, short_names
from accel_asr.run_comparison.differences import comparison_of_runs, over_seeds
from tests.refusals import refused
from tests.unit.evaluation.made_up_scores import score_pairs
from tests.unit.reporting.made_up_runs import make_run

TEXT = "a b c d e f g h i j"


def wrong(counts: Sequence[int], **more: Any) -> list[ScoredUtterance]:
    """Utterances of ten words with so many of them wrong."""
    return score_pairs([(TEXT, " ".join(["x"] * count + TEXT.split()[count:])) for count in counts], **more)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two seeds of one recipe with a WER of 20% and 22%, and another recipe, far better than both."""
    rates = {"seed1": [2] * 50, "seed2": [1, 3, 2, 2, 3] * 10, "fast": [0, 1] * 25}
    settings = {"seed1": (), "seed2": ("--training.seed", "7"), "fast": ("--training.learning_rate", "0.001")}
    before = wrong([5] * 50)
    folder = tmp_path_factory.mktemp("runs")
    return [
        make_run(folder / name, {0: before, 4: wrong(counts)}, settings=settings[name])
        for name, counts in rates.items()
    ]


def test_who_is_better_beyond_chance(runs: list[Path]) -> None:
    record = comparison_of_runs(read_runs(runs))
    assert [(run["name"], run["wer"], run["baseline_wer"]) for run in record["runs"]] == [
        ("seed1", pytest.approx(0.2), pytest.approx(0.5)),
        ("seed2", pytest.approx(0.22), pytest.approx(0.5)),
        ("fast", pytest.approx(0.05), pytest.approx(0.5)),
    ]
    pairs = {(pair["run"], pair["other"]): pair for pair in record["differences"]}
    assert {pair: details["verdict"] for pair, details in pairs.items()} == {
        (2, 1): "could be chance",
        (3, 1): "better",
        (3, 2): "better",
    }
    assert pairs[3, 1]["difference"] == pytest.approx(-0.15)
    low, high = pairs[3, 1]["interval"]
    assert low < -0.15 < high < -0.1
    assert pairs[3, 1]["p_value_corrected"] == pytest.approx(3 * 2 / 1001)
    assert record["not_compared"] == []


def test_settings_that_differ(runs: list[Path]) -> None:
    assert comparison_of_runs(read_runs(runs))["settings"].keys() == {"training.seed", "training.learning_rate"}
    assert comparison_of_runs(read_runs(runs[:2]))["settings"]["training.seed"][1] == "7"


def test_seeds_of_one_recipe(runs: list[Path]) -> None:
    (recipe,) = comparison_of_runs(read_runs(runs))["recipes"]
    assert recipe["runs"] == [1, 2]
    assert recipe["seeds"][1] == "7"
    assert recipe["mean"] == pytest.approx(0.21)
    assert comparison_of_runs(read_runs(runs[1:]))["recipes"] == []


def test_over_seeds_by_hand() -> None:
    summary = over_seeds([0.10, 0.12, 0.14])
    assert (summary["mean"], summary["sd"]) == (pytest.approx(0.12), pytest.approx(0.02))
    assert (summary["lowest"], summary["highest"]) == (0.10, 0.14)
    half = 4.302653 * 0.02 / 3**0.5  # Student's t with two degrees of freedom, from a table
    assert summary["interval"] == pytest.approx([0.12 - half, 0.12 + half])
    assert over_seeds([0.01, 0.03])["interval"][0] == 0


def test_other_utterances_or_references_are_not_compared(tmp_path: Path, runs: list[Path]) -> None:
    fewer = make_run(tmp_path / "fewer", {4: wrong([1] * 40)})
    other_text = make_run(tmp_path / "other text", {4: score_pairs([("something else", "something")] * 50)})
    record = comparison_of_runs(read_runs([runs[0], fewer, other_text]))
    assert record["differences"] == []
    reasons = {(pair["run"], pair["other"]): pair["reason"] for pair in record["not_compared"]}
    assert "40 of 50 and 40" in reasons[2, 1]
    assert "evaluation.normalizer" in reasons[3, 1]


def test_differences_are_in_blocks(tmp_path: Path) -> None:
    def by_speakers(scored: list[ScoredUtterance]) -> list[ScoredUtterance]:
        return [
            replace(line, transcript=replace(line.transcript, block=f"s{place // 10}", block_column="speaker"))
            for place, line in enumerate(scored)
        ]

    # all that is better is one speaker of five
    before, after = [2] * 50, [0] * 10 + [2] * 40
    for name, change, verdict in (("plain", list, "better"), ("blocks", by_speakers, "could be chance")):
        folders = [
            make_run(tmp_path / name / side, {4: change(wrong(counts))})
            for side, counts in (("before", before), ("after", after))
        ]
        (pair,) = comparison_of_runs(read_runs(folders))["differences"]
        assert pair["verdict"] == verdict


def test_short_names_tell_apart(tmp_path: Path) -> None:
    assert short_names([Path("a/x"), Path("b/y")]) == ["x", "y"]
    assert short_names([Path("a/run"), Path("b/run")]) == ["a/run", "b/run"]


def test_refusals(tmp_path: Path, runs: list[Path]) -> None:
    with refused("RUN", "two"):
        main([str(runs[0])])
    with refused("RUN", "twice"):
        main([str(runs[0]), str(runs[0] / ".." / runs[0].name)])
    with refused("RUN", "config.yaml", value=tmp_path / "nothing"):
        main([str(runs[0]), str(tmp_path / "nothing")])
    started = make_run(tmp_path / "started", {}, finished=False)
    with refused("RUN", "no evaluation", value=started):
        main([str(runs[0]), str(started)])
    with refused("--chart", remedy=".svg"):
        main([*map(str, runs), "--chart", "chart.pdf"])


def test_everything_is_written(tmp_path: Path, runs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    page, png, svg, numbers = (tmp_path / f"out.{kind}" for kind in ("html", "png", "svg", "json"))
    assert main([*map(str, runs), "--page", str(page), "--chart", str(png), "--json", str(numbers)]) == 0
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("seed1", "training.learning_rate", "could be chance", "Holm"))
    assert main([*map(str, runs), "--chart", str(svg)]) == 0
    assert png.read_bytes().startswith(b"\x89PNG")
    assert "seed2" in svg.read_text()
    text = page.read_text()
    assert "2 of 3 differences are beyond chance" in text
    assert "training.learning_rate" in text
    assert json.loads(numbers.read_text())["runs"][2]["wer"] == pytest.approx(0.05)
    capsys.readouterr()
    assert main([*map(str, runs), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(numbers.read_text())


def test_in_latin_1_and_80_columns(runs: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding="latin-1"))
    assert main([*map(str, runs)]) == 0
    lines = printed.getvalue().decode("latin-1").splitlines()
    assert len(lines) > 20
    assert max(map(len, lines)) <= 80
    assert not any("\\u" in line for line in lines)
