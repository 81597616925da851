"""Our word error rate as a metric that `evaluate` loads from this folder, without the Hub.

evaluate.load(accel_asr.evaluation.WER_METRIC).compute(predictions=[...], references=[...])
"""

import datasets
import evaluate
from transformers.models.whisper.english_normalizer import BasicTextNormalizer

from accel_asr.evaluation.scoring import error_rate, word_edits

DESCRIPTION = "Corpus word error rate: all errors / all reference words, after Whisper's basic normaliser."
INPUTS = """
    predictions: transcripts, a list of strings
    references: what was said, a list of strings; those that are empty after normalisation are left out
    normalize: False compares the texts as they are
Returns:
    {"wer": float}, 0.05 for 5 errors in 100 reference words
"""


class WordErrorRate(evaluate.Metric):
    """See DESCRIPTION."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation="",
            inputs_description=INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions: list[str], references: list[str], normalize: bool = True) -> dict[str, float]:
        change = BasicTextNormalizer() if normalize else str
        pairs = zip(references, predictions, strict=True)
        return {
            "wer": error_rate([word_edits(change(reference), change(prediction)) for reference, prediction in pairs])
        }
