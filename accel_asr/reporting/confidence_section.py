"""Whether the confidences of words mean what they say: a picture of reliability, and its figures."""

import math
from dataclasses import dataclass
from typing import Any

from accel_asr.console.printing import percent
from accel_asr.reporting.chart_figures import INK, LINE_COLOURS, QUIET, Chart, chart_style, new_axes
from accel_asr.reporting.run_records import RunRecords
from accel_asr.reporting.wording import percent_tick

HEIGHT_INCHES = 2.9


@dataclass(frozen=True)
class ConfidenceSection:
    """`record` as `confidence_record` makes it, `sentence` about it, and the picture."""

    record: dict[str, Any]
    sentence: str
    chart: Chart


def confidence_section(records: RunRecords) -> ConfidenceSection | None:
    """The section; None where no confidences were kept."""
    record = records.chosen.record.get("word_confidence") if records.chosen is not None else None
    if not record:
        return None
    return ConfidenceSection(record, _sentence(record), reliability_chart(record))


def reliability_chart(record: dict[str, Any]) -> Chart:
    """The share of right words over their mean confidence, by tenths, as given and at the fitted temperature."""
    with chart_style("reliability"):
        figure, axes = new_axes(HEIGHT_INCHES)
        axes.plot([0, 1], [0, 1], ":", color=QUIET, linewidth=1, label="exactly as confident as right")
        kinds = (("uncalibrated", "as given"), ("calibrated", f"at temperature {record['temperature']:.2f}"))
        for (kind, label), colour, style in zip(kinds, LINE_COLOURS, ("-", "--"), strict=False):
            if record[kind]["bins"]:
                confidence, right, words = zip(*record[kind]["bins"], strict=True)
                axes.plot(confidence, right, style, color=colour, linewidth=1.2, label=label)
                sizes = [4 + 60 * count / max(words) for count in words]
                axes.scatter(confidence, right, s=sizes, color=colour, edgecolors=INK, linewidths=0.3)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_xlabel("Mean confidence of the words")
        axes.set_ylabel("Share of them that is right")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda share, _: percent_tick(share))
        figure.legend(loc="outside lower center", ncols=1)
    return Chart("reliability", "Reliability of word confidences", _sentence(record), figure)


def _sentence(record: dict[str, Any]) -> str:
    auroc = record["auroc"]
    is_known = auroc is not None and math.isfinite(auroc)
    tells = f" A right word has the higher one in {auroc:.0%} of the pairs with a wrong one." if is_known else ""
    return (
        f"Of {record['words']:,} written words {percent(record['right'])} are right; their confidence is off by "
        f"{percent(record['ece'])} on average (expected calibration error).{tells}"
    )
