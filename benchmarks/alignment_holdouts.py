"""Recordings that are hard to align, with exact times: `python -m benchmarks.alignment_holdouts REALDATA OUT`.

REALDATA is a folder with `longform` and `speechocean762`. Writes recordings, texts and a manifest to the folder OUT,
for `benchmarks.alignment`.
"""

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from accel_asr.audio.decoding import decode

RATE_HZ = 16_000
NOISE = 3e-4  # of a quiet room
ESPERANTO = (
    "Ĉiuj homoj estas denaske liberaj kaj egalaj laŭ digno kaj rajtoj.",
    "Ili posedas racion kaj konsciencon, kaj devus konduti unu al alia en spirito de frateco.",
    "La suno leviĝis super la malnova urbo, kaj la birdoj komencis kanti en la ĝardeno.",
    "Maljuna viro sidis sur benko antaŭ la domo kaj rakontis al la infanoj pri sia vojaĝo.",
    "Kiam li estis juna, li forlasis sian vilaĝon kaj iris piede ĝis la maro.",
    "Tie li trovis ŝipon, kies kapitano serĉis helpanton por la kuirejo.",
    "Dum tri jaroj li vidis multajn landojn, sed neniam forgesis la montojn de sia infanaĝo.",
    "Unu nokton granda ŝtormo rompis la maston, kaj la ŝipo perdis sian vojon.",
    "Fine ili alvenis al malgranda insulo, kie neniu parolis ilian lingvon.",
    "La loĝantoj donis al ili panon, fiŝojn kaj akvon, kaj kune ili riparis la ŝipon.",
    "Antaŭ ol foriri, la kapitano plantis arbon apud la bordo kiel memoraĵon.",
    "Kaj se la arbo ankoraŭ staras, diris la maljunulo, ĝiaj branĉoj nun ombras la tutan placon.",
)


@dataclass
class Made:
    """A recording under construction."""

    name: str
    language: str
    clips: list[np.ndarray] = field(default_factory=list)
    segments: list[dict[str, Any]] = field(default_factory=list)
    strange: list[dict[str, Any]] = field(default_factory=list)
    unspoken: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    between: str = " "

    @property
    def now_s(self) -> float:
        return sum(map(len, self.clips)) / RATE_HZ

    def pause(self, seconds: float) -> None:
        """Add a room's noise."""
        noise = np.random.default_rng(len(self.clips)).standard_normal(int(seconds * RATE_HZ))
        self.clips.append((NOISE * noise).astype(np.float32))

    def say(self, clip: np.ndarray, text: str, *, in_text: bool = True, pause_s: float = 0.3) -> None:
        """Add a clip with its text and a pause after it."""
        start_s = self.now_s
        self.clips.append(clip)
        record = {"start": round(start_s, 3), "end": round(self.now_s, 3), "text": text}
        (self.segments if in_text else self.strange).append(record)
        if in_text:
            self.text.append(text)
        self.pause(pause_s)

    def write_only(self, text: str) -> None:
        """Add text that is not spoken."""
        self.unspoken.append(text)
        self.text.append(text)

    def save(self, folder: Path) -> str:
        """Write recording and text; returns the manifest's line."""
        soundfile.write(folder / f"{self.name}.flac", np.concatenate(self.clips), RATE_HZ)
        (folder / f"{self.name}.txt").write_text(self.between.join(self.text) + "\n", encoding="utf-8")
        known = {"segments": self.segments, "strange": self.strange, "unspoken": self.unspoken}
        files = {"file": f"{self.name}.flac", "text_file": f"{self.name}.txt", "language": self.language}
        return json.dumps(files | known, ensure_ascii=False)


Clip = tuple[np.ndarray, str]


def chapter(folder: Path) -> list[Clip]:
    """The segments of LJ001.opus."""
    samples = decode(folder / "LJ001.opus", sampling_rate_hz=RATE_HZ)
    records = map(json.loads, (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines())
    [segments] = [record["segments"] for record in records if record["file"] == "LJ001.opus"]
    return [(samples[int(each["start"] * RATE_HZ) : int(each["end"] * RATE_HZ)], each["text"]) for each in segments]


def learners(folder: Path, *, most: int) -> list[Clip]:
    """Clips of the speakers of split test, one speaker after the other, in lower case without punctuation."""
    records = [json.loads(line) for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    chosen = [record for record in records if record["split"] == "test"][:most]
    return [(decode(folder / each["file"], sampling_rate_hz=RATE_HZ), each["text"]) for each in chosen]


def pauses(clips: Sequence[Clip]) -> Made:
    """Pauses of 0 to 2 s, and one of 15 s."""
    made = Made("pauses", "en")
    lengths_s = random.Random(0)
    for number, (clip, text) in enumerate(clips):
        made.say(clip, text, pause_s=15.0 if number == 12 else lengths_s.choice([0.0, 0.1, 0.2, 0.5, 1.0, 2.0]))
    return made


def announced_poem(clips: Sequence[Clip]) -> Made:
    """Lines without punctuation, with an announcement, a remark and a farewell that are not in the text."""
    made = Made("announced_poem", "en", between="\n")
    for number, (clip, text) in enumerate(clips):
        is_line = number not in (0, 1, 13, 14, len(clips) - 1)
        made.say(clip, "".join(letter for letter in text if letter not in ".,;:").lower(), in_text=is_line, pause_s=0.6)
    return made


def unspoken_paragraphs(clips: Sequence[Clip]) -> Made:
    """A title, two sentences, five sentences in the middle and an end that nobody speaks."""
    made = Made("unspoken_paragraphs", "en")
    for number, (clip, text) in enumerate(clips):
        if number in (8, 9, *range(20, 25), *range(len(clips) - 4, len(clips))):
            made.write_only(text)
        else:
            made.say(clip, text)
    made.text.insert(0, "Chapter the First, by the Author of Many Books.")
    made.unspoken.insert(0, made.text[0])
    return made


def excerpt(clips: Sequence[Clip], first: int, last: int) -> Made:
    """The text is a part of what is spoken."""
    made = Made("excerpt", "en")
    for number, (clip, text) in enumerate(clips):
        made.say(clip, text, in_text=first <= number < last)
    return made


def torn(clips: Sequence[Clip], first: int, last: int) -> Made:
    """The recording is a part of the text."""
    made = Made("torn", "en")
    for number, (clip, text) in enumerate(clips):
        if first <= number < last:
            made.say(clip, text)
        else:
            made.write_only(text)
    return made


def several_voices(clips: Sequence[Clip]) -> Made:
    """Learners of English, whose texts have no sentences."""
    made = Made("learners", "en")
    for clip, text in clips:
        made.say(clip, text, pause_s=0.4)
    return made


def esperanto(scratch: Path) -> Made:
    """A language that Whisper does not know, by a synthetic voice; the model takes it for Italian."""
    made = Made("esperanto_as_it", "it")
    for text in ESPERANTO:
        subprocess.run(["espeak-ng", "-v", "eo", "-s", "140", "-w", scratch / "said.wav", text], check=True)
        clip = decode(scratch / "said.wav", sampling_rate_hz=RATE_HZ)
        loud = np.flatnonzero(np.abs(clip) > 1e-3)
        made.say(clip[loud[0] : loud[-1] + 1], text, pause_s=0.5)
    (scratch / "said.wav").unlink()
    return made


def holdouts(realdata: Path, out: Path) -> Iterator[str]:
    """Write all recordings; yields the lines of the manifest."""
    clips = chapter(realdata / "longform")
    for made in (
        pauses(clips[:36]),
        announced_poem(clips[40:66]),
        unspoken_paragraphs(clips[70:110]),
        excerpt(clips[100:160], 20, 40),
        torn(clips[100:160], 20, 40),
        several_voices(learners(realdata / "speechocean762", most=40)),
    ):
        yield made.save(out)
    if shutil.which("espeak-ng"):
        yield esperanto(out).save(out)
    for name in ("udhr-da.mp3", "udhr-da.txt"):  # a voice in a language that the model takes for another
        shutil.copy(realdata / "longform" / name, out / name.replace("da", "da_as_en"))
    yield json.dumps({"file": "udhr-da_as_en.mp3", "text_file": "udhr-da_as_en.txt", "language": "en"})


def main() -> None:
    """Write the folder."""
    realdata, out = map(Path, sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    (out / "manifest.jsonl").write_text("\n".join(holdouts(realdata, out)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
