"""Model folders whose tokenizer is complete, in files that declare less than those on the Hub today."""

import json
import shutil
from pathlib import Path

KINDS = ("unflagged", "added_tokens.json", "vocab.json")


def with_tokenizer(model_folder: Path, folder: Path, kind: str) -> Path:
    """A copy of a model folder.

    `unflagged`: no added token is flagged as special. `added_tokens.json`: vocab.json, merges.txt and that, as older
    folders have it. `vocab.json`: all tokens in that one, and merges.txt.
    """
    shutil.copytree(model_folder, folder)
    path = folder / "tokenizer.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    added = {token["content"]: token["id"] for token in facts["added_tokens"]}
    if kind == "unflagged":
        for token in facts["added_tokens"]:
            token["special"] = False
        path.write_text(json.dumps(facts), encoding="utf-8")
        return folder
    path.unlink()
    vocabulary = facts["model"]["vocab"]
    if kind == "added_tokens.json":
        (folder / kind).write_text(json.dumps(added), encoding="utf-8")
    else:
        vocabulary |= added
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    merges = [" ".join(pair) for pair in facts["model"]["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "WhisperTokenizer"}), encoding="utf-8")
    return folder
