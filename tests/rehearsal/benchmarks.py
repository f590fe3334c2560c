"""A benchmark of each kind of which nothing is on this machine: rows and models are of the Hub."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.models.pictures import PROCESSOR

_FILES = {name: [f"{name}.parquet"] for name in ("train", "validation", "test")}
_REVISION = "0" * 40
_ROWS = {
    "uri": "hub:someone/rows",
    "revision": _REVISION,
    "sha256": {f"{name}.parquet": "0" * 64 for name in _FILES},
}
_BERT = {
    "model_type": "bert",
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
}
_T5 = {
    "model_type": "t5",
    "vocab_size": 32128,
    "d_model": 512,
    "d_kv": 64,
    "d_ff": 2048,
    "num_layers": 6,
    "num_heads": 8,
    "decoder_start_token_id": 0,
    "pad_token_id": 0,
    "eos_token_id": 1,
}
_BART = {
    "model_type": "bart",
    "vocab_size": 50265,
    "d_model": 768,
    "encoder_layers": 6,
    "decoder_layers": 6,
    "encoder_attention_heads": 12,
    "decoder_attention_heads": 12,
    "encoder_ffn_dim": 3072,
    "decoder_ffn_dim": 3072,
    "decoder_start_token_id": 2,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
_GPT2 = {
    "model_type": "gpt2",
    "vocab_size": 50257,
    "n_embd": 1024,
    "n_layer": 24,
    "n_head": 16,
    "n_positions": 1024,
    "bos_token_id": 50256,
    "eos_token_id": 50256,
}
_VIT = {
    "model_type": "vit",
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "image_size": 224,
    "patch_size": 16,
}
_SWIN = {
    "model_type": "swin",
    "image_size": 224,
    "patch_size": 4,
    "window_size": 7,
    "embed_dim": 96,
    "depths": [2, 2, 6, 2],
    "num_heads": [3, 6, 12, 24],
}
_SQUARE = PROCESSOR | {"size": {"height": 224, "width": 224}}
_WAV2VEC2 = {
    "model_type": "wav2vec2",
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
}
_WAVEFORM = {
    "do_normalize": True,
    "feature_extractor_type": "Wav2Vec2FeatureExtractor",
    "feature_size": 1,
    "padding_side": "right",
    "padding_value": 0.0,
    "return_attention_mask": False,
    "sampling_rate": 16000,
}
_NUMBERS = {"features": ["age", "height", "pulse", "dose", "days"], "label": "label"}


@dataclass(frozen=True)
class Case:
    """A kind with its columns, and a model that reads its rows."""

    kind: str
    columns: dict[str, Any]
    configuration: dict[str, Any] = field(default_factory=lambda: _BERT)
    processor: dict[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    asked: dict[str, Any] = field(default_factory=dict)
    layers: tuple[int, ...] = ()
    """The widths of a network, in the place of a configuration."""
    max_length: int = 48
    """Tokens, or seconds."""

    def benchmark(self, **training: Any) -> dict[str, Any]:
        """One cell, whose learning rate is as it is."""
        variant = {"method": "lora", "settings": {"rank": 4, "targets": ["q", "v"]}}
        if self.layers:
            variant = {"method": "full"}
        settings = {"epochs": 1, "batch_size": 8, "learning_rate": 1e-3}
        return {
            "name": "small",
            "seeds": [0, 1],
            "training": settings | {"max_length": self.max_length} | training,
            "tasks": {"rows": self._task()},
            "models": {"model": self._model()},
            "grids": [{"tasks": ["rows"], "models": ["model"], "variants": {"one": variant}}],
        }

    def _task(self) -> dict[str, Any]:
        options: dict[str, Any] = {"splits": _FILES, "columns": self.columns, "kind": self.kind}
        said: Mapping[str, Any] = {"labels": list(self.labels), "asked": self.asked}
        options |= {key: value for key, value in said.items() if value}
        return {"task": "table-files", "source": _ROWS, "options": options}

    def _model(self) -> dict[str, Any]:
        if self.layers:
            return {"kind": "network", "layers": list(self.layers)}
        source = {"uri": "hub:someone/model", "revision": _REVISION}
        model = {"kind": "checkpoint", "source": source, "configuration": self.configuration}
        return model | ({"processor": self.processor} if self.processor else {})


CASES: dict[str, Case] = {
    "question-answering": Case(
        "question-answering",
        {"context": "context", "question": "question", "answers": "answers"},
    ),
    "image-classification": Case(
        "image-classification",
        {"image": "image", "label": "label"},
        _VIT,
        _SQUARE,
        labels=("cat", "dog", "owl"),
    ),
    "image-classification in stages": Case(
        "image-classification",
        {"image": "image", "label": "label"},
        _SWIN,
        _SQUARE,
        labels=("cat", "dog"),
    ),
    "audio-classification": Case(
        "audio-classification",
        {"audio": "audio", "label": "label"},
        _WAV2VEC2,
        _WAVEFORM,
        labels=("high", "low"),
        max_length=2,
    ),
    "text-classification": Case(
        "text-classification",
        {"text": "text", "text_pair": "other", "label": "label"},
        labels=("no", "maybe", "yes"),
    ),
    "text-regression": Case("text-regression", {"text": "text", "label": "label"}),
    "token-classification": Case(
        "token-classification",
        {"tokens": "tokens", "tags": "tags"},
        labels=("B-PER", "I-PER", "I-LOC", "B-LOC", "O"),
        asked={"scheme": "IOB2"},
    ),
    "multiple-choice": Case(
        "multiple-choice",
        {"question": "goal", "choices": ["sol1", "sol2"], "answer": "label"},
        asked={"choices": 2},
    ),
    "seq2seq": Case("seq2seq", {"source": "de", "target": "en"}, _T5),
    "seq2seq with a beginning": Case("seq2seq", {"source": "de", "target": "en"}, _BART),
    "causal-lm that packs": Case(
        "causal-lm",
        {"prompt": "question", "target": "answer"},
        _GPT2,
        asked={"encoding": {"packing": True}, "answer": r"#### (\d+)", "selects_by": "metric"},
    ),
    "tabular-classification": Case(
        "tabular-classification", _NUMBERS, labels=("ill", "well"), layers=(5, 16, 2)
    ),
    "tabular-regression": Case("tabular-regression", _NUMBERS, layers=(5, 16, 1)),
}
