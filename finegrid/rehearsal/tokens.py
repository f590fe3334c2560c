"""What encodes for a tiny model: its real processor where the files are here, else a made one."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finegrid.models.processing import FILE
from finegrid.prepare.model import BESIDE, taken_of_folder
from finegrid.prepare.sources import is_local, local_files
from finegrid.prepare.tokenizer_file import SETTINGS_FILE, TOKENIZER_FILE
from finegrid.records.identity import file_sha256
from finegrid.records.specification import Checkpoint, RandomModel, Source, model_key
from finegrid.rehearsal.sizes import Configuration

_ROLES = ("pad", "unk", "bos", "eos", "cls", "sep", "mask")
_LEFT = (".gguf", ".onnx", ".safetensors", ".safetensors.index.json", "manifest.json")
_CONFIGURATIONS = ("config.json", "generation_config.json")
_VOCABULARY = 512
_KEPT_IDS = 16
"""Ids of special tokens below that stay as they are: some architectures count positions by one."""
_CHAT = (
    "{% for one in messages %}{{ one['role'] + ' : ' + one['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant : ' }}{% endif %}"
)
_CHAT_FILE = "chat_template.jinja"


def processor_files(model: Checkpoint | RandomModel, prepared: Path) -> dict[str, Path]:
    """The files of a model's own processor that lie on this machine; empty where none do.

    They are those of the prepared model, of a local source, or of what the Hub's library keeps.
    """
    folder = prepared / "models" / model_key(model)
    source = model.source if isinstance(model, Checkpoint) else model.tokenizer
    if folder.is_dir():
        found = {path.name: path for path in folder.iterdir()}
    elif is_local(source.uri):
        found = local_files(source, taken_of_folder(source))
    elif source.uri.startswith("hub:"):
        found = dict(_of_cache(source))
    else:  # an archive is fetched when its model is prepared
        found = {}
    return {
        name: path
        for name, path in found.items()
        if not name.endswith(_LEFT) and name not in _CONFIGURATIONS
    }


def _of_cache(source: Source) -> Iterator[tuple[str, Path]]:
    from huggingface_hub import try_to_load_from_cache

    for name in BESIDE:
        path = try_to_load_from_cache(
            source.uri.partition(":")[2], name, revision=source.revision, repo_type="model"
        )
        if isinstance(path, str):
            yield name, Path(path)


def gathered(files: Mapping[str, Path], folder: Path) -> None:
    """Copy a processor's files to a folder."""
    folder.mkdir(parents=True)
    for name, path in files.items():
        shutil.copyfile(path, folder / name)


def pinned_folder(folder: Path) -> Source:
    """The folder as a source, by the content of its files."""
    hashes = {path.name: file_sha256(path) for path in sorted(folder.iterdir())}
    return Source(uri=f"path:{folder.absolute()}", sha256=hashes)


def write_processor(settings: Mapping[str, Any], folder: Path) -> None:
    """How images or sounds are processed, as a benchmark says it."""
    (folder / FILE).write_text(json.dumps(dict(settings)), encoding="utf-8")


@dataclass
class MadeTokens:
    """A word-level tokenizer with the special tokens that a configuration names."""

    configuration: Configuration
    """A whole one."""
    texts: Sequence[str]
    follows: bool
    """Whether texts go on: none then has a token at its end."""
    tokens: dict[int, str] = field(default_factory=dict)
    """New id -> special token."""
    ids: dict[int, int] = field(default_factory=dict)
    """Id of the configuration -> new id."""
    roles: dict[str, str] = field(default_factory=dict)
    """Role -> its token."""

    def __post_init__(self) -> None:
        for role in _ROLES:
            given = self.configuration.get(f"{role}_token_id")
            old = given[0] if isinstance(given, list) and given else given
            if isinstance(old, int) and not isinstance(old, bool) and old >= 0:
                self.roles[role] = self.tokens[self._new(old, role)]
        for role in ("unk", "eos"):
            if role not in self.roles:
                self.roles[role] = f"<{role}>"
                self.tokens[self._free()] = f"<{role}>"

    def _new(self, old: int, role: str) -> int:
        """The new id of a special token, which may have several roles."""
        if old not in self.ids:
            self.ids[old] = old if old < _KEPT_IDS else self._free()
            self.tokens[self.ids[old]] = f"<{role}>"
        return self.ids[old]

    def _free(self) -> int:
        return next(one for one in range(_VOCABULARY) if one not in self.tokens)

    def changes(self) -> Configuration:
        """The keys of the configuration that say other ids than those of its own tokenizer."""
        changed: Configuration = {}
        size = self.configuration.get("vocab_size")
        if isinstance(size, int):
            changed["vocab_size"] = min(size, _VOCABULARY)
        for key, value in self.configuration.items():
            if key.endswith(("token_id", "token_ids")) and value is not None:
                changed[key] = self._mapped(value)
        return changed

    def _mapped(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._mapped(one) for one in value]
        if not isinstance(value, int) or value < 0:
            return value
        unknown = next(number for number, one in self.tokens.items() if one == self.roles["unk"])
        return self.ids.get(value, value if value < _KEPT_IDS else unknown)

    def write(self, folder: Path) -> None:
        """The tokenizer's files."""
        from tokenizers import Tokenizer, pre_tokenizers
        from tokenizers.models import WordLevel

        vocabulary = self._vocabulary()
        made = Tokenizer(WordLevel(vocabulary, unk_token=self.roles["unk"]))
        made.pre_tokenizer = pre_tokenizers.Whitespace()
        made.add_special_tokens(list(self.tokens.values()))
        self._frame(made, vocabulary)
        made.save(str(folder / TOKENIZER_FILE))
        options = {f"{role}_token": token for role, token in self.roles.items()}
        options["tokenizer_class"] = "PreTrainedTokenizerFast"
        (folder / SETTINGS_FILE).write_text(json.dumps(options), encoding="utf-8")
        (folder / _CHAT_FILE).write_text(_CHAT, encoding="utf-8")

    def _vocabulary(self) -> dict[str, int]:
        """Special tokens at their ids, and the most frequent words of the texts at all others."""
        size = min(self.configuration.get("vocab_size") or _VOCABULARY, _VOCABULARY)
        words = iter(_frequent(self.texts, _VOCABULARY))
        taken = dict(self.tokens)
        for number in range(size):
            if number not in taken:
                taken[number] = next(words, f"<{number}>")
        return {token: number for number, token in sorted(taken.items())}

    def _frame(self, made: Any, vocabulary: Mapping[str, int]) -> None:
        """What stands about every text."""
        from tokenizers import processors

        start = self.roles.get("bos" if self.follows else "cls") or self.roles.get("bos")
        end = "" if self.follows else self.roles.get("sep", self.roles["eos"])
        about = [one for one in (start, end) if one]
        if about:
            made.post_processor = processors.TemplateProcessing(
                single=" ".join(filter(None, (start, "$A", end))),
                pair=" ".join(filter(None, (start, "$A", end, "$B:1", end and f"{end}:1"))),
                special_tokens=[(one, vocabulary[one]) for one in dict.fromkeys(about)],
            )


def _frequent(texts: Iterable[str], most: int) -> list[str]:
    """The most frequent words of the texts, as the tokenizer parts them."""
    from tokenizers import pre_tokenizers

    parts, counts = pre_tokenizers.Whitespace(), Counter[str]()
    for text in texts:
        counts.update(word for word, _ in parts.pre_tokenize_str(text))
    return [word for word, _ in counts.most_common(most)]
