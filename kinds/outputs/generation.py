"""A model writes: batched, with a cache, and as `decoding` says alone."""

from __future__ import annotations

from collections.abc import Iterator
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

    A row has the text, its tokens with the one that ends it, and `end`: `token` where that one was
    written, `length` where the text was cut at `max_new_tokens`.
    """
    import torch

    config = generation_config(model.config, named, decoding)
    with _alone(model, config), torch.random.fork_rng(enabled=config.do_sample):
        if config.do_sample:
            torch.manual_seed(decoding.seed)
        found = model.generate(**prompts, generation_config=config)
    start = 1 if model.config.is_encoder_decoder else prompts["input_ids"].shape[1]
    return [_row(tokens, named) for tokens in found[:, start:].cpu().tolist()]


def generation_config(config: Any, named: Tokenizer, decoding: Decoding) -> GenerationConfig:
    """All that decides how a model with that configuration writes."""
    from transformers import GenerationConfig

    samples = decoding.temperature is not None
    sampling = {"temperature": decoding.temperature, "top_p": decoding.top_p}
    sampling |= {"top_k": decoding.top_k or 0}
    return GenerationConfig(
        do_sample=samples,
        **(sampling if samples else {}),
        **decoding.model_dump(
            include={"max_new_tokens", "num_beams", "repetition_penalty", "no_repeat_ngram_size"}
        ),
        **({"length_penalty": decoding.length_penalty} if decoding.num_beams > 1 else {}),
        use_cache=True,
        eos_token_id=named.end,
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


def _row(tokens: list[int], named: Tokenizer) -> Row:
    ends = named.end in tokens
    written = tokens[: tokens.index(named.end)] if ends else tokens
    text = named.tokenizer.decode(written, skip_special_tokens=True)
    return {"text": text, "tokens": len(written) + ends, "end": "token" if ends else "length"}
