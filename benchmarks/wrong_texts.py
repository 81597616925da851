"""Does `accel-asr check-data --model` find wrong texts? Puts wrong texts into a manifest, and counts where they rank.

python benchmarks/wrong_texts.py spoil DATA shuffled OUT        # a manifest in the folder OUT; truncated, next, foreign
accel-asr check-data --model MODEL --data.name_or_path OUT ... --json rows.json
python benchmarks/wrong_texts.py count OUT rows.json
"""

import json
import random
import sys
from pathlib import Path

SHARE = 0.05
FOREIGN = (
    "el tren sale a las ocho de la mañana",
    "mañana vamos a comer con mi hermana",
    "no sé dónde está la llave de la casa",
    "la lluvia no ha parado en toda la noche",
    "quiero un café con leche y dos panes",
)


def spoil(data: Path, kind: str, out: Path) -> None:
    """Write manifest.jsonl of `data` to the folder `out`, with wrong texts in 5% of the rows of split train.

    Args:
        kind: `shuffled` among the chosen rows, `next` is the text of the next row, `truncated` the first half of the
            words, `foreign` a Spanish sentence.
    """
    rows = [json.loads(line) for line in (data / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    train = [row for row in rows if row["split"] == "train"]
    chosen = sorted(random.Random(0).sample(range(len(train)), round(SHARE * len(train))))
    texts = [row["text"] for row in train]
    for number, (row, other) in enumerate(zip(chosen, chosen[1:] + chosen[:1], strict=True)):
        words = texts[row].split()
        wrong = {
            "shuffled": texts[other],
            "next": texts[(row + 1) % len(train)],
            "truncated": " ".join(words[: max(1, len(words) // 2)]),
            "foreign": FOREIGN[number % len(FOREIGN)],
        }
        train[row] |= {"text": wrong[kind], "wrong": "yes"}
    out.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row | {"file": str((data / row["file"]).resolve())}) for row in rows]
    (out / "manifest.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def count(out: Path, report: Path) -> str:
    """How many of the wrong texts are in the worst 5, 10 and 20% of the rows."""
    lines = (out / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    wrong = {row["file"] for row in map(json.loads, lines) if row.get("wrong")}
    ranked = json.loads(report.read_text(encoding="utf-8"))["rows"]["ranked"]
    counts = []
    for share in (0.05, 0.1, 0.2):
        worst = ranked[: round(share * len(ranked))]
        counts.append(f"{sum(row['id'] in wrong for row in worst)} in the worst {share:.0%}")
    return f"of {len(wrong)} wrong texts among {len(ranked)} rows: {', '.join(counts)}"


if __name__ == "__main__":
    if sys.argv[1] == "spoil":
        spoil(Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
    else:
        print(count(Path(sys.argv[2]), Path(sys.argv[3])))
