"""Results: a row for each comparison, its verdict, and the tables of them."""

import json
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.timing import WIDEST_INTERVAL, Ratio, Times, ratio

TABLE_BEGIN = "<!-- {name}: written by `python -m benchmarks.speed --page docs/speed.md --from RESULTS.md` -->"
TABLE_END = "<!-- end of {name} -->"
RESULTS_NAME = re.compile(r"\d{4}-\d\d-\d\d-(?P<name>\w+)\.md")  # of a file of benchmarks/results
FEWEST_ROUNDS = 5
HOW = """\
`seed` is a plain hand-written loop (`benchmarks/speed/hand_written.py`), `trainer` transformers' Seq2SeqTrainer with
its best settings (`benchmarks/speed/seq2seq_trainer.py`); all have the same weights, batches and labels. Times are CPU
time of the process and its children on one thread (CUDA events on a GPU), but where wall time is said; the ways are
measured in turns, in an order that is turned round each time. A ratio is the median over rounds, with a 95% bootstrap
interval; there is no verdict where that is wider than 15% of it. Times are theirs divided by ours; memory, bytes, the
stall of a checkpoint and the shares of a ceiling or of the time are ours divided by theirs."""
TARGETS: dict[tuple[str, str], tuple[str, float]] = {
    ("fetch", "seed"): (">=", 8.0),
    ("mel", "seed"): (">=", 4.0),
    ("evaluation", "seed"): (">=", 2.2),
    ("mini-epoch", "seed"): (">=", 1.15),
    ("train step, merged", "ours, full context"): (">=", 2.1),
    ("train step, merged", "trainer"): (">=", 2.0),
    ("mini-epoch, merged", "trainer"): (">=", 2.0),
    ("cached encoder step", "ours, not cached"): (">=", 5.0),
    ("head", "seed"): (">=", 1.6),
    ("head, extra memory", "seed"): ("<=", 0.5),
    ("checkpoint stall", "seed"): ("<=", 0.2),
    ("checkpoint stall", "ours, waiting"): ("<=", 0.2),
    ("train step", "trainer"): (">=", 1.0),
    ("evaluation", "trainer"): (">=", 1.8),
    ("evaluation, merged", "trainer"): (">=", 2.5),
    ("bytes of a step, two ranks", "formula"): ("within 1% of", 1.0),
    ("gradient norm of 2x4, ours", "1x8, ours"): ("within 1% of", 1.0),
}
H200 = "H200"  # in the name of the device
# of (row, against, model), beside the others and in place of them; no other device has these
TARGETS_ON_H200: dict[tuple[str, str, str], tuple[str, float]] = {
    ("reference job", "after imports", "whisper-tiny"): ("at most, in seconds", 15.0),
    ("reference epoch", "seed", "whisper-tiny"): (">=", 30.0),
    ("train step, share of matrix-multiply ceiling", "ceiling", "large-v3-turbo"): (">=", 0.45),
}


@dataclass(frozen=True)
class Row:
    """One comparison. `ratio` is theirs divided by ours where faster is meant, ours by theirs where a share is.

    Where there is nobody to compare with, `theirs` and `ratio` are None. `gpu` is empty where a CPU was measured.
    """

    row: str
    against: str
    unit: str
    ours: float | None = None
    theirs: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    rounds: int = 0
    note: str = ""
    commit: str = ""
    command: str = ""
    model: str = ""
    gpu: str = ""

    @property
    def target(self) -> str:
        if self._aim is None:
            return ""
        kind, value = self._aim
        return f"<= {value:g} s" if kind == "at most, in seconds" else f"{kind} {value:g}x"

    @property
    def _aim(self) -> tuple[str, float] | None:
        on_h200 = TARGETS_ON_H200.get((self.row, self.against, self.model)) if H200 in self.gpu else None
        return on_h200 or TARGETS.get((self.row, self.against))

    @property
    def verdict(self) -> str:
        """`met`, `missed`, the reason for neither, or an empty string without a target."""
        if self.ours is None or (self.ratio is None and self.theirs is not None):
            return "not measured"
        if self.low is not None and self.rounds < FEWEST_ROUNDS:
            return f"no verdict: fewer than {FEWEST_ROUNDS} rounds"
        has_interval = self.ratio is not None and self.low is not None and self.high is not None
        if has_interval and not Ratio(self.ratio, self.low, self.high).is_certain:
            return f"no verdict: interval wider than {WIDEST_INTERVAL:.0%}"
        if self._aim is None:
            return ""
        return "met" if self._reaches(*self._aim) else "missed"

    def _reaches(self, kind: str, value: float) -> bool:
        if kind == "at most, in seconds":
            assert self.ours is not None
            return self.ours <= value
        assert self.ratio is not None, f"{self.row}: the target is a ratio"
        if kind == "within 1% of":
            return abs(self.ratio / value - 1) <= 0.01
        return self.ratio >= value if kind == ">=" else self.ratio <= value

    def record(self) -> dict[str, Any]:
        """For the JSON line."""
        return asdict(self) | {"target": self.target, "verdict": self.verdict}


def faster(name: str, times: Times, *, unit: str, share: bool = False, note: str = "") -> list[Row]:
    """A row for each opponent in `times`, where `ours` is one of the ways.

    Args:
        unit: `ms ...` or `s ...`.
        share: Tell ours divided by theirs, not how many times faster ours is.
    """
    scale = 1_000 if unit.startswith("ms") else 1
    rows = []
    ours = times.rounds_s["ours"]
    for way, theirs in times.rounds_s.items():
        if way != "ours":
            share_or_ratio = ratio(ours, theirs) if share else ratio(theirs, ours)
            typical = [float(np.median(values)) * scale for values in (ours, theirs)]
            rows.append(
                Row(
                    name,
                    way,
                    unit,
                    typical[0],
                    typical[1],
                    share_or_ratio.median,
                    share_or_ratio.low,
                    share_or_ratio.high,
                    len(ours),
                    note,
                )
            )
    return rows


def exact(name: str, against: str, unit: str, ours: float, theirs: float, *, note: str = "") -> Row:
    """A row of numbers that are counted, not timed; ours divided by theirs."""
    return Row(name, against, unit, ours, theirs, ours / theirs if theirs else None, rounds=1, note=note)


def table(rows: list[Row]) -> str:
    """All rows, as Markdown."""
    lines = [
        "| what | against | unit | ours | theirs | ratio | 95% interval | rounds | target | verdict | remark |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        interval = f"{row.low:.2f} to {row.high:.2f}" if row.low is not None else ""
        cells = [row.row, row.against, row.unit, _number(row.ours), _number(row.theirs), _times(row.ratio), interval]
        cells += [str(row.rounds or ""), row.target, row.verdict, row.note]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def results_page(line: dict[str, Any], rows: list[Row]) -> str:
    """A file of benchmarks/results: what was measured, on what and how, the table, what missed, the JSON line."""
    hardware, versions = line["hardware"], line["versions"]
    device = f", {hardware['gpu']}" if "gpu" in hardware else ", no GPU"
    missed = [
        f"- {row.row} against {row.against}: {value}, the target is {row.target} ({row.verdict})"
        for row in rows
        if row.target and row.verdict != "met"
        for value in [_times(row.ratio) or f"{_number(row.ours)} {row.unit}"]
    ]
    first_calls = [
        f"- {name}: " + ", ".join(f"{way} {seconds:.3g} s" for way, seconds in ways.items())
        for name, ways in line["first_calls_s"].items()
        if ways
    ]
    parts = [
        f"# Speed beside a hand-written loop and Seq2SeqTrainer, {line['date']}",
        f"{hardware['cpu']}, {hardware['cores']} cores, {hardware['threads_used']} thread used{device}; "
        + ", ".join(f"{name} {version or 'not installed'}" for name, version in versions.items())
        + f".\n{line['model']} Measured by:",
        "\n".join(
            f"- `{command}` at {commit}: {', '.join(names)}" for (commit, command), names in by_run(rows).items()
        ),
        HOW,
        table(rows),
        "Targets that are not met:\n\n" + ("\n".join(missed) or "none"),
        "First calls, which are not measured above:\n\n" + "\n".join(first_calls),
        "```json\n" + json.dumps(line) + "\n```",
    ]
    return "\n\n".join(parts) + "\n"


def by_run(rows: list[Row]) -> dict[tuple[str, str], list[str]]:
    """(commit, command) -> the names of the rows that it measured."""
    rows_of_runs: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        names = rows_of_runs.setdefault((row.commit, row.command), [])
        if row.row not in names:
            names.append(row.row)
    return rows_of_runs


def rows_of_page(page: str) -> list[Row]:
    """The rows of a file of benchmarks/results."""
    names = {field.name for field in fields(Row)}
    return [Row(**{name: value for name, value in row.items() if name in names}) for row in line_of_page(page)["rows"]]


def line_of_page(page: str) -> dict[str, Any]:
    """The JSON line of a file of benchmarks/results."""
    [line] = [line for line in page.splitlines() if line.startswith('{"benchmark": "speed"')]
    results: dict[str, Any] = json.loads(line)
    return results


def page_table(rows: list[dict[str, Any]]) -> str:
    """The columns of docs/speed.md, as Markdown, from the records of a JSON line."""
    lines = ["| what | against | ours | theirs | ratio (95% interval) | target |", "|---|---|---|---|---|---|"]
    for row in rows:
        if row["ours"] is None:
            continue
        interval = f" ({row['low']:.2f} to {row['high']:.2f})" if row["low"] is not None else ""
        verdict = ": ".join(part for part in (row["target"], row["verdict"]) if part)
        values = ["" if row[name] is None else f"{_number(row[name])} {row['unit']}" for name in ("ours", "theirs")]
        lines.append(
            f"| {row['row']} | {row['against']} | {' | '.join(values)} | {_times(row['ratio'])}{interval} | {verdict} |"
        )
    return "\n".join(lines)


def with_page_table(page: str, results: Path) -> str:
    """`page` with the table of a results file in its place, which has the name of the file without its date."""
    match = RESULTS_NAME.fullmatch(results.name)
    assert match is not None, f"{results.name}: a results file is called DATE-NAME.md"
    begin, end = (marker.format(name=match["name"]) for marker in (TABLE_BEGIN, TABLE_END))
    before, rest = page.split(begin)
    _, after = rest.split(end)
    rows = line_of_page(results.read_text(encoding="utf-8"))["rows"]
    return f"{before}{begin}\n{page_table(rows)}\n{end}{after}"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def _times(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}x"
