"""Print the report of `accel-asr check-data` for a person: tables and histograms, then findings and what to do next."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from accel_asr.console.printing import standard_output, table_console
from accel_asr.console.public_text import visible
from accel_asr.data.checking.messages import findings_of, next_steps
from accel_asr.data.checking.words import SHOWN, Report, number_of_hours, shortened, size_told

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
    for side, size in report["utterances"].items():
        console.print(f"{side:<10} {size_told(size)}")
    cut_or_dropped = "cut" if limits["long_labels"] == "cut" else "dropped"
    _print_histogram(console, report["durations"], title="durations", unit="s", over="dropped: longer than")
    _print_histogram(
        console,
        report["label_lengths"],
        title="labels",
        unit="tokens",
        over=f"{cut_or_dropped}: more than",
    )
    console.print()
    console.print(_languages(report))
    if report["dropped"]:
        console.print()
        console.print(_dropped(report))
    for refusal in report["refusals"]:
        lines = refusal.split("\n")  # the first says what and how many, and examples stand in the tables above
        more = ["  ... --json FILE names more"] if len(lines) > 1 + SHOWN else []
        told = "\n".join(map(_line, [*lines[: 1 + SHOWN], *more]))
        heading = Text("\ntraining would refuse: ", style="bold red")
        console.print(heading.append(told, style="not bold default"), soft_wrap=False)
    console.print()
    for finding in findings_of(report):
        console.print(_line(finding), soft_wrap=finding.startswith(" "))  # names of files stay in one piece
    console.print()
    for line in next_steps(report):
        console.print(visible(line))


def _table(title: str, *columns: str, left: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="left" if column in left else "right", overflow="fold")
    return table


def _line(text: str) -> str:
    return shortened(visible(text), _LONGEST_LINE, keep_end=False)


def _cell(text: str) -> str:
    """Text of the data as a screen only prints it, and no page of it."""
    return shortened(visible(text), _LONGEST_CELL, keep_end=False)


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
            number_of_hours(source["hours"]),
            *("-" if length is None else f"{length:.2f} s" for length in lengths),
            _most(source["sampling_rates_hz"]),
            _most(source["channels"]),
            _share(source["kept"], source["rows"]),
        )
    return table


def _share(part: int, whole: int) -> str:
    """`100%` is all of it, and nothing less."""
    percent = 100 * part / whole
    return f"{percent:.0f}%" if part in (0, whole) else f"{min(max(percent, 0.1), 99.9):.1f}%"


def _last_part(source: str) -> str:
    """Of a path: what the reports of a run call a source."""
    return shortened(source.rstrip("/").rpartition("/")[2], _SOURCE_WIDTH)


def _most(counts: Mapping[str, int]) -> str:
    """The most frequent values, and how many more there are."""
    more = f" +{len(counts) - _SHOWN_COUNTS}" * (len(counts) > _SHOWN_COUNTS)
    return ", ".join(list(counts)[:_SHOWN_COUNTS]) + more or "-"


def _languages(report: Report) -> Table:
    table = _table("languages", "language", "rows", "hours", "said by", left=("language", "said by"))
    if not all(language["known"] for language in report["languages"]):
        table.add_column("")
    unknown = Text("the model does not know it", style="bold red")
    for language in report["languages"]:
        table.add_row(
            _cell(language["language"] or "none"),
            f"{language['rows']:,}",
            number_of_hours(language["hours"]),
            "each row" if language["said"] else "the settings" if language["language"] else "nothing",
            *([] if language["known"] else [unknown if language["language"] else ""]),
        )
    return table


def _dropped(report: Report) -> Table:
    table = _table("dropped", "of", "reason", "rows", "such as", left=("of", "reason", "such as"))
    for source in report["sources"]:
        for reason, dropped in source["dropped"].items():
            several = len(report["sources"]) > 1
            of = f"{_last_part(source['source'])} {source['split']}" if several else source["split"]
            examples = [f"{name}: {detail}" if detail else name for name, detail in dropped["examples"][:SHOWN]]
            table.add_row(_cell(of), _cell(reason), f"{dropped['count']:,}", "\n".join(map(_cell, examples)))
    return table


# -- histograms


def _print_histogram(console: Console, binned: Report, *, title: str, unit: str, over: str) -> None:
    bounds, counts = binned["bounds"], binned["counts"]
    has_blocks = standard_output().can_show(_FULL + _EIGHTHS)
    if not counts:
        return
    console.print(Text(f"\n{title}", style="italic"))
    digits = max((len(f"{bound:.6f}".rstrip("0").partition(".")[2]) for bound in bounds[:2]), default=0)
    digits = min(digits, 3)
    width = max(len(f"{bound:,.{digits}f}") for bound in bounds)
    for number, count in enumerate(counts):
        is_over = binned["over"] and number == len(counts) - 1
        last = bounds[number + 1] - (unit == "tokens" and not is_over)  # whole numbers: the next bin begins one later
        low, high = (f"{bound:,.{digits}f}" for bound in (bounds[number], last))
        label = f"{low:>{width}} - {high:>{width}} {unit}" if low != high else f"{low:>{2 * width + 3}} {unit}"
        console.print(f"  {label}  {bar(count, max(counts), has_blocks=has_blocks):<{_BAR_WIDTH}}  {count:>9,}", end="")
        limit = bounds[number] - 1 if unit == "tokens" else bounds[number]
        console.print(Text(f"  {over} {limit:g} {unit}" if is_over else "", style="bold red"))


def bar(count: int, most: int, *, has_blocks: bool = True) -> str:
    """A bar as long as `count` against `most`; what is there at all can be seen.

    Args:
        has_blocks: The terminal can show parts of a character; else the bar is of whole `#`.
    """
    if not has_blocks:
        return "#" * max(round(_BAR_WIDTH * count / max(most, 1)), 1 if count else 0)
    eighths = max(round(8 * _BAR_WIDTH * count / max(most, 1)), 1 if count else 0)
    return _FULL * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
