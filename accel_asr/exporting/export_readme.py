"""README.md of an exported folder."""

from collections.abc import Mapping
from typing import Any

HOW_TO_USE = {
    "faster-whisper": """```python
import json, numpy, faster_whisper  # pip install {requirements}
model = faster_whisper.WhisperModel(".")
samples = faster_whisper.decode_audio("recording.wav")
samples = numpy.pad(samples, (0, max(0, {window_samples} - len(samples))))  # to {window_s:g} s, as in training
segments, _ = model.transcribe(samples, **json.load(open("{settings}")))
print("".join(segment.text for segment in segments).strip())
```

`{settings}` has faster-whisper decode as the model was scored: greedily, once, without timestamps. By
default it pads a short clip's log-mel features with zeros, which are not silence, and a model that was tuned on silence
may hallucinate there: so pad the samples as above. For recordings above {window_s:g} s set
`without_timestamps` to false and leave `max_new_tokens` out (it is large because CTranslate2 makes at most half of
prompt and `max_new_tokens` together).
""",
    "ctranslate2": """```python
import json, ctranslate2, soundfile, transformers  # pip install {requirements} soundfile transformers
processor, model = transformers.WhisperProcessor.from_pretrained("."), ctranslate2.models.Whisper(".")
samples, rate_hz = soundfile.read("recording.wav", dtype="float32")  # mono, {sampling_rate_hz} Hz, {window_s:g} s
features = processor(samples, sampling_rate=rate_hz, return_tensors="np").input_features
settings = json.load(open("{settings}"))
result = model.generate(ctranslate2.StorageView.from_array(features), [settings["start_ids"]], **settings["generate"])
print(processor.decode(result[0].sequences_ids[0]).strip())
```

faster-whisper can't run this model: {why_not_faster_whisper}.
""",
    "whisper.cpp": """`ggml-model.bin` is what whisper.cpp and all that is built on it read;
its `quantize` makes smaller ones. In Python:

```python
import json, numpy, soundfile  # pip install {requirements} soundfile
from pywhispercpp.model import Model
settings = json.load(open("{settings}"))
samples, rate_hz = soundfile.read("recording.wav", dtype="float32")  # mono, {sampling_rate_hz} Hz
samples = numpy.pad(samples, (0, max(0, {window_samples} - len(samples))))  # it ignores less than a second
segments = Model("ggml-model.bin", **settings["model"]).transcribe(samples, **settings["transcribe"])
print(" ".join(segment.text for segment in segments))
```

`{settings}` has whisper.cpp decode as the model was scored: greedily, once, without timestamps. As a command:
`whisper-cli -m ggml-model.bin -f recording.wav -bs 1 -bo 1 -nf -nt`. For recordings above {window_s:g} s set
`no_timestamps` and `single_segment` to false.
""",
    "onnx": """```python
import onnx_greedy, soundfile, transformers  # pip install {requirements} soundfile transformers
processor, model = transformers.WhisperProcessor.from_pretrained("."), onnx_greedy.OnnxWhisper(".")
samples, rate_hz = soundfile.read("recording.wav", dtype="float32")  # mono, {sampling_rate_hz} Hz, {window_s:g} s
features = processor(samples, sampling_rate=rate_hz, return_tensors="np").input_features
print(processor.decode(model.generate(features[0])).strip())
```

`onnx_greedy.py` is the greedy loop, in this folder. `encoder_model.onnx` turns log-mel features into a key and a value
for each decoder layer (`cross_*`); `decoder_model.onnx` takes the new tokens, these, and the keys and values of the
tokens before (`past_*`). Recordings of up to {window_s:g} s, one at a time.
""",
}


def readme_text(record: Mapping[str, Any], *, use: str, **values: Any) -> str:
    """The README.md of an exported folder.

    Args:
        record: The content of export.json.
        use: A key of HOW_TO_USE.
        values: For the names in braces there.
    """
    parity = record["parity"]
    low, high = parity["difference_interval_points"] or (float("nan"), float("nan"))
    difference = (
        f"{parity['difference_points']:+.2f} points, 95% interval {low:+.2f} to {high:+.2f}; "
        f"{parity['transcripts_that_differ']} transcripts differ; up to {parity['most_difference_points']:g} points "
        "were allowed"
    )
    here, there = (f"{100 * parity[name]:.2f}%" for name in ("wer_here", "wer_there"))
    verdict = "" if parity["passed"] else "**That is too far apart: do not use this folder.**"
    return f"""# {record["model"]}, exported to {record["format"]}

Whisper model for {record["runtime"]}; weights: {record["quantization"]}. In this folder:

{HOW_TO_USE[use].format(**values)}
On {parity["utterances"]} utterances of {record["data"]} the model's WER is {here} in transformers and {there} here
({difference}; normaliser: {record["normalizer"]}). {verdict}
Language of the model: {record["language"] or "each recording's own, which must be given"}.
Exported and compared by accel-asr {record["versions"]["accel-asr"]}; `export.json` has all versions and numbers.
"""
