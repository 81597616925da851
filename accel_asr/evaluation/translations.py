"""BLEU and chrF of translations by sacrebleu, which pip install 'accel-asr[translate]' brings."""

import json
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import zip_longest
from typing import Any

from accel_asr.evaluation.scoring import TRANSLATE, ScoredUtterance

RESAMPLES = 1_000
METRICS = {"bleu": "BLEU", "chrf": "CHRF"}
WITHOUT_SACREBLEU = (
    "translations are scored by WER alone: BLEU and chrF need sacrebleu (pip install 'accel-asr[translate]')"
)


def has_sacrebleu() -> bool:
    """Whether translations can be scored."""
    return find_spec("sacrebleu") is not None


def translation_record(scored: Sequence[ScoredUtterance]) -> dict[str, Any] | None:
    """BLEU and chrF of the rows that are translated, against all their references as written.

    Points from 0 to 100, as sacrebleu gives them, with its signature; the interval is the one it makes by bootstrap
    with its own fixed seed, by utterance. None without translations that have a reference, or without sacrebleu.
    """
    pairs = [
        (transcript.hypothesis, [text for text in (transcript.reference, *transcript.references) if text.strip()])
        for transcript in (utterance.transcript for utterance in scored)
        if transcript.task == TRANSLATE
    ]
    pairs = [(hypothesis, references) for hypothesis, references in pairs if references]
    if not pairs or not has_sacrebleu():
        return None
    import sacrebleu

    hypotheses = [hypothesis for hypothesis, _ in pairs]
    # the first references of all, the second ones, and so on; None where a row has fewer
    references = [list(stream) for stream in zip_longest(*(texts for _, texts in pairs))]
    record: dict[str, Any] = {"utterances": len(pairs)}
    for name, metric_class in METRICS.items():
        metric = getattr(sacrebleu, metric_class)()
        score = metric.corpus_score(hypotheses, references, n_bootstrap=RESAMPLES if len(pairs) > 1 else 1)
        record |= {name: score.score, f"{name}_interval": _interval(score)}
        record[f"{name}_signature"] = str(metric.get_signature())
    return record


def _interval(score: Any) -> list[float]:
    shown = json.loads(score.format(width=4, signature="of:none", is_json=True))
    if "confidence_mean" not in shown:  # of one row, or where every resample has 0
        return [float("nan")] * 2
    middle, half = shown["confidence_mean"], shown["confidence_var"]
    return [middle - half, middle + half]
