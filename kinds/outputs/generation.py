"""A model writes: batched, with a cache, and as `decoding` says alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kinds.contract import Row

if TYPE_CHECKING:
    import torch
    from transformers import GenerationConfig

    from kinds.inputs.text import Tokenizer
    from kinds.outputs.texts import Decoding


def generate(
    model: Any, prompts: dict[str, torch.Tensor], named: Tokenizer, decoding: Decoding
) -> list[Row]:
    """What a model writes after prompts that are padded on the left, or into its decoder.

    A row has the text, its tokens with those that end it, and `end`: `token` where one that ends
    texts, or a turn of a chat, was written, `string` where a stop string was, before which the text
    is cut off, and `length` where the text was cut at `max_new_tokens`.
    """
    import torch

    config = generation_config(model.config, named, decoding)
    start = prompts["input_ids"].shape[1]
    if model.config.is_encoder_decoder:
        start = 1 if named.starts is None else 2
    stops = decoding.stop_strings
    ends = {"stopping_criteria": [_stopping(named, stops, start)]} if stops else {}
    with _alone(model, config), torch.random.fork_rng(enabled=config.do_sample):
        if config.do_sample:
            torch.manual_seed(decoding.seed)
        found = model.generate(**prompts, generation_config=config, **ends)
    return [_row(tokens, named, stops) for tokens in found[:, start:].cpu().tolist()]


def generation_config(config: Any, named: Tokenizer, decoding: Decoding) -> GenerationConfig:
    """All that decides how a model with that configuration writes."""
    from transformers import GenerationConfig

    samples = decoding.temperature is not None
    sampling = {"temperature": decoding.temperature, "top_p": decoding.top_p}
    sampling |= {"top_k": decoding.top_k or 0}
    forced = {} if named.starts is None else {"forced_bos_token_id": named.starts}
    return GenerationConfig(
        do_sample=samples,
        **(sampling if samples else {}),
        **decoding.model_dump(include={"num_beams", "repetition_penalty", "no_repeat_ngram_size"}),
        max_new_tokens=decoding.max_new_tokens + len(forced),
        **forced,
        **({"length_penalty": decoding.length_penalty} if decoding.num_beams > 1 else {}),
        use_cache=True,
        eos_token_id=list(named.ends) if named.ends[1:] else named.end,
        pad_token_id=named.pad,
        bos_token_id=named.tokenizer.bos_token_id,
        decoder_start_token_id=getattr(config, "decoder_start_token_id", None),
    )


@contextmanager
def _alone(model: Any, config: GenerationConfig) -> Iterator[None]:
    """Keep the library from filling what is not set with what the model's own file says."""
    own = model.generation_config
    model.generation_config = config
    try:
        yield
    finally:
        model.generation_config = own


def _stopping(named: Tokenizer, stops: Sequence[str], start: int) -> Any:
    """What the library asks after each token: which texts hold a stop string.

    The library's own criterion reads the prompt as well, whose end may be the start of a string.
    """
    import torch

    def criterion(ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        found = [_holds(text_of(tokens, named), stops) for tokens in ids[:, start:].tolist()]
        return torch.tensor(found, device=ids.device)

    return criterion


def _holds(text: str, stops: Sequence[str]) -> bool:
    return any(one in text for one in stops)


def text_of(tokens: list[int], named: Tokenizer) -> str:
    """The text of tokens, without the special ones."""
    text: str = named.tokenizer.decode(tokens, skip_special_tokens=True)
    return text


def _row(tokens: list[int], named: Tokenizer, stops: Sequence[str]) -> Row:
    last = next((at for at, one in enumerate(tokens) if one in named.ends), None)
    ends, written = last is not None, tokens[:last]
    text = text_of(written, named)
    if _holds(text, stops):
        parts = (text_of(written[:count], named) for count in range(1, len(written) + 1))
        count = next(count for count, part in enumerate(parts, 1) if _holds(part, stops))
        text = text[: min(text.index(one) for one in stops if one in text)]
        return {"text": text, "tokens": count, "end": "string"}
    return {"text": text, "tokens": len(written) + ends, "end": "token" if ends else "length"}
