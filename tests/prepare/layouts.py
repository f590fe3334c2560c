"""Tiny models in the layouts of public repositories: what is saved, under which names, with which
tokenizer, and which special tokens the files name. A listed architecture that reads text is one
entry of `LAYOUTS`."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers

Content = dict[str, Any]
SIZES: Content = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 66,
}
WORDS = ["the", "film", "plot", "was", "dull", "great", "warm", "weak", "and", "its", "end"]
END, START, STOP = "<|endoftext|>", "<s>", "</s>"
_BERT_TOKENS = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
_ROBERTA_TOKENS = {
    **{"bos": START, "pad": "<pad>", "eos": STOP, "unk": "<unk>"},
    **{"cls": START, "sep": STOP, "mask": "<mask>"},
}
_LLAMA_TOKENS = {"unk": "<unk>", "bos": START, "eos": STOP}
_QWEN_TOKENS = {"pad": END, "eos": "<|im_end|>"}
_GEMMA_TOKENS = {"pad": "<pad>", "eos": "<eos>", "bos": "<bos>", "unk": "<unk>"}
_T5_TOKENS = {"pad": "<pad>", "eos": STOP, "unk": "<unk>"}
_BERT_TEMPLATE, _ROBERTA_TEMPLATE = "[CLS] $A [SEP]", "<s> $A </s>"
_BERT_IDS = {"pad_token_id": 0}
_ROBERTA_IDS = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
_SEQ2SEQ = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 66,
}
_GROUPED = SIZES | {"num_key_value_heads": 2}


def wordpiece(tokens: Content) -> Any:
    """As BERT has it."""
    from tokenizers import decoders, models, normalizers, pre_tokenizers

    made = _tokenizer(models.WordPiece, tokens, WORDS, unk_token=tokens["unk"])
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    return made


def byte_pairs(tokens: Content) -> Any:
    """As GPT-2 and most later decoders have it."""
    from tokenizers import decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = _tokenizer(models.BPE, tokens, alphabet, merges=[])
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return made


def unigram(tokens: Content) -> Any:
    """As sentencepiece makes them."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    pieces = [*dict.fromkeys(tokens.values()), *(f"\u2581{word}" for word in WORDS)]
    weighted = [(piece, -float(number)) for number, piece in enumerate(pieces)]
    made = Tokenizer(models.Unigram(weighted, pieces.index(tokens["unk"])))
    made.add_special_tokens(list(dict.fromkeys(tokens.values())))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    return made


def _tokenizer(model: Any, tokens: Content, rest: list[str], **options: Any) -> Any:
    from tokenizers import Tokenizer

    special = list(dict.fromkeys(tokens.values()))
    made = Tokenizer(model({word: n for n, word in enumerate([*special, *rest])}, **options))
    made.add_special_tokens(special)
    return made


@dataclass(frozen=True)
class Layout:
    """What a public repository of an architecture holds."""

    saved: str
    """The library's class that the weights are of."""
    configuration: Content
    tokenizer: Callable[[Content], Any]
    tokens: Content
    """Role -> special token, in the order of their ids."""
    tokenizer_class: str = "PreTrainedTokenizerFast"
    named: tuple[str, ...] | None = None
    """The roles that tokenizer_config.json names; None for all."""
    template: str | None = None
    """The tokens that are put around a text."""
    inputs: tuple[str, ...] = ("input_ids", "attention_mask")
    more: Content = field(default_factory=dict)
    """Further keys of tokenizer_config.json."""

    def write(self, folder: Path) -> dict[str, torch.Tensor]:
        """Write the files; returns the weights of the body, under the names of the body alone."""
        size = self._write_tokenizer(folder)
        kind = getattr(transformers, self.saved)
        torch.manual_seed(0)
        model = kind(kind.config_class(vocab_size=size, **self.configuration))
        for parameter in model.parameters():  # biases and gains that do something
            parameter.data += torch.randn_like(parameter) / 20
        model.save_pretrained(folder)
        return {name: tensor.clone() for name, tensor in model.base_model.state_dict().items()}

    def _write_tokenizer(self, folder: Path) -> int:
        from tokenizers.processors import TemplateProcessing

        folder.mkdir(parents=True)
        made = self.tokenizer(self.tokens)
        if self.template:
            used = [part for part in self.template.split() if part != "$A"]
            special = [(token, made.token_to_id(token)) for token in dict.fromkeys(used)]
            made.post_processor = TemplateProcessing(self.template, special_tokens=special)
        made.save(str(folder / "tokenizer.json"))
        names = self.tokens if self.named is None else self.named
        config = {f"{role}_token": self.tokens[role] for role in names}
        config |= {"tokenizer_class": self.tokenizer_class, "model_input_names": self.inputs}
        (folder / "tokenizer_config.json").write_text(json.dumps(config | self.more))
        return int(made.get_vocab_size())


_roberta = partial(
    Layout,
    configuration=SIZES | _ROBERTA_IDS | {"type_vocab_size": 1},
    tokens=_ROBERTA_TOKENS,
    template=_ROBERTA_TEMPLATE,
)
_llama = partial(
    Layout,
    configuration=_GROUPED | {"bos_token_id": 1, "eos_token_id": 2},
    tokenizer=byte_pairs,
    tokens=_LLAMA_TOKENS,
    template="<s> $A",
)
_qwen = partial(
    Layout,
    tokenizer=byte_pairs,
    tokens=_QWEN_TOKENS,
    tokenizer_class="Qwen2Tokenizer",
    more={"add_prefix_space": False},
)
_QWEN_SIZES = _GROUPED | {"bos_token_id": 0, "eos_token_id": 1, "tie_word_embeddings": True}
LAYOUTS: dict[str, Layout] = {
    "bart": Layout(
        "BartForConditionalGeneration",
        _SEQ2SEQ | _ROBERTA_IDS | {"decoder_start_token_id": 2},
        byte_pairs,
        _ROBERTA_TOKENS,
        "BartTokenizer",
        template=_ROBERTA_TEMPLATE,
    ),
    "bert": Layout(
        "BertForPreTraining",
        SIZES | _BERT_IDS,
        wordpiece,
        _BERT_TOKENS,
        "BertTokenizer",
        template=_BERT_TEMPLATE,
        inputs=("input_ids", "token_type_ids", "attention_mask"),
    ),
    "deberta-v2": Layout(
        "DebertaV2ForMaskedLM",
        SIZES
        | _BERT_IDS
        | {
            **{"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "type_vocab_size": 0},
            **{"position_biased_input": False, "norm_rel_ebd": "layer_norm"},
            **{"position_buckets": 8, "share_att_key": True},
        },
        unigram,
        _BERT_TOKENS,
        template=_BERT_TEMPLATE,
        inputs=("input_ids", "token_type_ids", "attention_mask"),
    ),
    "distilbert": Layout(
        "DistilBertForMaskedLM",
        {
            **{"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48},
            **{"max_position_embeddings": 66, **_BERT_IDS},
        },
        wordpiece,
        _BERT_TOKENS,
        "DistilBertTokenizer",
        template=_BERT_TEMPLATE,
    ),
    "gemma3_text": Layout(
        "Gemma3ForCausalLM",
        _GROUPED
        | {
            **{"head_dim": 16, "sliding_window": 8, "query_pre_attn_scalar": 16},
            **{"layer_types": ["sliding_attention", "full_attention"]},
            **{"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2},
        },
        unigram,
        _GEMMA_TOKENS,
        template="<bos> $A",
    ),
    "gpt2": Layout(
        "GPT2Model",  # its repository has the names of the body alone
        {"n_embd": 32, "n_layer": 2, "n_head": 4, "bos_token_id": 0, "eos_token_id": 0},
        byte_pairs,
        {"bos": END, "eos": END, "unk": END},
        "GPT2Tokenizer",
    ),
    "llama": _llama("LlamaForCausalLM"),
    "mistral": _llama(
        "MistralForCausalLM",
        configuration=_GROUPED
        | {"head_dim": 16, "sliding_window": 8, "bos_token_id": 1, "eos_token_id": 2},
    ),
    "modernbert": Layout(
        "ModernBertForMaskedLM",
        SIZES
        | {
            **{"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2},
            **{"eos_token_id": 3, "local_attention": 8, "classifier_pooling": "mean"},
            **{"layer_types": ["full_attention", "sliding_attention"]},
        },
        byte_pairs,
        _BERT_TOKENS,
        template=_BERT_TEMPLATE,
    ),
    "qwen2": _qwen("Qwen2ForCausalLM", configuration=_QWEN_SIZES),
    "qwen3": _qwen("Qwen3ForCausalLM", configuration=_QWEN_SIZES | {"head_dim": 16}),
    "roberta": _roberta(
        "RobertaForMaskedLM", tokenizer=byte_pairs, tokenizer_class="RobertaTokenizer"
    ),
    "t5": Layout(
        "T5ForConditionalGeneration",
        {
            **{"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4},
            **{"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0},
        },
        unigram,
        _T5_TOKENS,
        "T5Tokenizer",
        template="$A </s>",
        more={"extra_ids": 0},
    ),
    "xlm-roberta": _roberta(
        "XLMRobertaForMaskedLM", tokenizer=unigram, tokenizer_class="XLMRobertaTokenizer"
    ),
}
