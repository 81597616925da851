"""Prints the report of `accel-asr check-data`: tables and histograms, then problems and what to do next."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from accel_asr.console.printing import standard_output, table_console
from accel_asr.console.public_text import visible
from accel_asr.data.checking.data_report import Report
from accel_asr.data.checking.messages import MORE, SHOWN, cut, next_steps, problem_lines, size

WIDTH = 100  # also where the output is no terminal, for which rich takes 80
_BAR_WIDTH = 40
_SOURCE_WIDTH = 18
_SHOWN_COUNTS = 2
_LONGEST_LINE = 2000
_LONGEST_CELL = 300  # characters; --json has the rest
_EIGHTHS, _FULL = " ▏▎▍▌▋▊▉", "█"


def print_report(report: Report) -> None:
    """Print all of it to standard output."""
    console = table_console(width=WIDTH)
    model, limits = report["model"], report["limits"]
    console.print(
        f"model {visible(model['name_or_path'])}: clips of at most {limits['max_duration_s']:g} s, labels of at most "
        f"{model['max_label_tokens']:,} tokens, {model['sampling_rate_hz']:,} Hz"
    )
    for notice in report["notices"]:
        console.print(f"note: {visible(notice)}")
    console.print()
    console.print(_sources(report))
    for side, utterances in report["utterances"].items():
        console.print(f"{side:<10} {size(utterances)}")
    cut_or_dropped = "cut" if limits["long_labels"] == "cut" else "dropped"
    _print_histogram(console, report["durations"], title="durations", unit="s", over="dropped: longer than")
    _print_histogram(
        console, report["label_lengths"], title="labels", unit="tokens", over=f"{cut_or_dropped}: more than"
    )
    console.print()
    console.print(_languages(report))
    if report["dropped"]:
        console.print()
        console.print(_dropped(report))
    for refusal in report["refusals"]:
        lines = refusal.split("\n")  # a headline, then examples, which the tables above show as well
        more = [f"  {MORE}"] if len(lines) > 1 + SHOWN else []
        heading = Text("\ntraining would refuse: ", style="bold red")
        shown = "\n".join(map(_line, [*lines[: 1 + SHOWN], *more]))
        console.print(heading.append(shown, style="not bold default"), soft_wrap=False)
    console.print()
    for line in problem_lines(report):
        console.print(_line(line), soft_wrap=line.startswith(" "))  # file names stay in one piece
    console.print()
    for line in next_steps(report):
        console.print(visible(line))


def _line(text: str) -> str:
    return cut(visible(text), _LONGEST_LINE)


def _cell(text: str) -> str:
    return cut(visible(text), _LONGEST_CELL)


def _table(title: str, *columns: str, left: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="left" if column in left else "right", overflow="fold")
    return table


def _sources(report: Report) -> Table:
    left = ("source", "split")
    columns = ("rows", "hours", "shortest", "median", "longest", "Hz", "channels", "kept")
    table = _table("sources and splits", *left, *columns, left=left)
    for source in report["sources"]:
        lengths = (source["shortest_s"], source["median_s"], source["longest_s"])
        table.add_row(
            visible(_last_part(source["source"])),
            visible(source["split"]),
            f"{source['rows']:,}",
            _hours(source["hours"]),
            *("-" if length is None else f"{length:.2f} s" for length in lengths),
            _most_frequent(source["sampling_rates_hz"]),
            _most_frequent(source["channels"]),
            _percent(source["kept"], source["rows"]),
        )
    return table


def _hours(hours: float) -> str:
    return f"{hours:.3f}" if hours < 1 else f"{hours:,.1f}"


def _percent(part: int, total: int) -> str:
    """`100%` only where it is all of them, and `0%` only where it is none."""
    percent = 100 * part / total
    return f"{percent:.0f}%" if part in (0, total) else f"{min(max(percent, 0.1), 99.9):.1f}%"


def _last_part(source: str) -> str:
    """The end of a path, as a run's reports name a source."""
    name = source.rstrip("/").rpartition("/")[2]
    return name if len(name) <= _SOURCE_WIDTH else "…" + name[1 - _SOURCE_WIDTH :]


def _most_frequent(counts: Mapping[str, int]) -> str:
    """The most frequent values, and how many more there are."""
    more = f" +{len(counts) - _SHOWN_COUNTS}" * (len(counts) > _SHOWN_COUNTS)
    return ", ".join(list(counts)[:_SHOWN_COUNTS]) + more or "-"


def _languages(report: Report) -> Table:
    table = _table("languages", "language", "rows", "hours", "set by", left=("language", "set by"))
    if not all(language["known"] for language in report["languages"]):
        table.add_column("")
    unknown = Text("the model does not know it", style="bold red")
    for language in report["languages"]:
        table.add_row(
            _cell(language["language"] or "none"),
            f"{language['rows']:,}",
            _hours(language["hours"]),
            "each row" if language["said"] else "the settings" if language["language"] else "nothing",
            *([] if language["known"] else [unknown if language["language"] else ""]),
        )
    return table


def _dropped(report: Report) -> Table:
    table = _table("dropped", "from", "reason", "rows", "such as", left=("from", "reason", "such as"))
    for source in report["sources"]:
        prefix = f"{_last_part(source['source'])} " if len(report["sources"]) > 1 else ""
        for reason, dropped in source["dropped"].items():
            examples = [f"{name}: {detail}" if detail else name for name, detail in dropped["examples"][:SHOWN]]
            rows = f"{dropped['count']:,}"
            table.add_row(_cell(prefix + source["split"]), _cell(reason), rows, "\n".join(map(_cell, examples)))
    return table


# -- histograms


def _print_histogram(console: Console, histogram: Report, *, title: str, unit: str, over: str) -> None:
    bounds, counts = histogram["bounds"], histogram["counts"]
    has_blocks = standard_output().can_show(_FULL + _EIGHTHS)
    if not counts:
        return
    console.print(Text(f"\n{title}", style="italic"))
    digits = min(max(len(f"{bound:.6f}".rstrip("0").partition(".")[2]) for bound in bounds[:2]), 3)
    width = max(len(f"{bound:,.{digits}f}") for bound in bounds)
    for number, count in enumerate(counts):
        is_over = histogram["over"] and number == len(counts) - 1
        last = bounds[number + 1] - (unit == "tokens" and not is_over)  # whole numbers: the next bin begins one later
        low, high = (f"{bound:,.{digits}f}" for bound in (bounds[number], last))
        label = f"{low:>{width}} - {high:>{width}} {unit}" if low != high else f"{low:>{2 * width + 3}} {unit}"
        console.print(f"  {label}  {bar(count, max(counts), has_blocks=has_blocks):<{_BAR_WIDTH}}  {count:>9,}", end="")
        limit = bounds[number] - 1 if unit == "tokens" else bounds[number]
        console.print(Text(f"  {over} {limit:g} {unit}" if is_over else "", style="bold red"))


def bar(count: int, most: int, *, has_blocks: bool = True) -> str:
    """A bar whose length is `count` relative to `most`; never empty unless `count` is 0.

    Args:
        has_blocks: The terminal can show fractions of a character; otherwise the bar is made of `#`.
    """
    if not has_blocks:
        return "#" * max(round(_BAR_WIDTH * count / max(most, 1)), 1 if count else 0)
    eighths = max(round(8 * _BAR_WIDTH * count / max(most, 1)), 1 if count else 0)
    return _FULL * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
