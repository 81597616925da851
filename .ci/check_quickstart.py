"""Check that the quickstart still teaches the model: at most half of the errors stay, and less than 15 in 100 words."""

import json
import sys
from pathlib import Path

MOST_OF_BASELINE = 0.5
MOST = 0.15

summary = json.loads((Path(sys.argv[1]) / "summary.json").read_text(encoding="utf-8"))
baseline, best = summary["baseline"]["wer"], summary["best"]["wer"]
print(f"baseline WER {baseline:.4f}, best WER {best:.4f} on {summary['best']['utterances']} utterances")
if not (best <= MOST_OF_BASELINE * baseline and best < MOST and summary["best"]["utterances"] == 113):
    sys.exit(f"the best WER must be at most {MOST_OF_BASELINE} of the baseline and below {MOST}, on 113 utterances")
