"""Golden anatomies: what discovery finds in the library's model types, read by a person once.

`python -m tests.models.golden` writes them again, or those that are named, and the table of
`docs/models.md`; what changes then has to be read.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from finegrid.models.anatomy import Anatomy
from finegrid.models.discovery import build, discover
from finegrid.models.family import FAMILIES
from finegrid.models.summary import compact
from finegrid.records.write import write_text

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "golden" / "anatomies"
DOCUMENT = ROOT / "docs" / "models.md"
BEGIN, END = "<!-- the table begins -->", "<!-- the table ends -->"

ENCODERS = (
    *("albert", "bert", "big_bird", "camembert", "canine", "convbert", "data2vec-text", "deberta"),
    *("deberta-v2", "distilbert", "electra", "ernie", "eurobert", "fnet", "funnel", "ibert"),
    *("layoutlm", "layoutlmv3", "longformer", "megatron-bert", "mobilebert", "modernbert"),
    *("mpnet", "nomic_bert", "nystromformer", "rembert", "roberta", "roformer", "squeezebert"),
    *("xlm", "xlm-roberta", "xlnet"),
)
DECODERS = (
    *("biogpt", "bloom", "codegen", "cohere", "cohere2", "ctrl", "exaone4", "falcon", "gemma"),
    *("gemma2", "gemma3_text", "glm", "glm4", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox"),
    *("gptj", "granite", "helium", "llama", "mistral", "mpt", "olmo", "olmo2", "openai-gpt"),
    *("opt", "persimmon", "phi", "phi3", "qwen2", "qwen3", "smollm3", "stablelm", "starcoder2"),
    "xglm",
)
MIXTURES = (
    *("deepseek_v3", "gpt_oss", "granitemoe", "jamba", "mixtral", "olmoe", "phimoe", "qwen2_moe"),
    *("qwen3_moe", "qwen3_next"),
)
RECURRENT = ("bamba", "falcon_mamba", "lfm2", "mamba", "mamba2", "recurrent_gemma", "rwkv")
SEQUENCES = (
    *("bart", "blenderbot", "led", "longt5", "m2m_100", "marian", "mbart", "mt5", "pegasus"),
    *("prophetnet", "switch_transformers", "t5", "umt5"),
)
SEEN_AND_HEARD = (
    *(
        "audio-spectrogram-transformer",
        "beit",
        "blip",
        "clip",
        "convnext",
        "data2vec-audio",
        "deit",
    ),
    *("dinov2", "hubert", "llava", "mobilevit", "pvt", "qwen2_vl", "resnet", "rt_detr"),
    *("segformer", "sew", "sew-d", "siglip", "speech_to_text", "swin", "swinv2", "unispeech"),
    *("unispeech-sat", "vilt", "vit", "wav2vec2", "wavlm", "whisper", "yolos"),
)
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "falcon by groups": (
        "falcon",
        {"new_decoder_architecture": True, "num_kv_heads": 8, "num_attention_heads": 64}
        | {"hidden_size": 4096},
    ),
    "falcon by head": ("falcon", {"multi_query": False}),
    "gpt_bigcode by head": ("gpt_bigcode", {"multi_query": False}),
    "phi3 with few keys": ("phi3", {"num_key_value_heads": 8}),
    "t5 gated": ("t5", {"feed_forward_proj": "gated-gelu"}),
}
"""Name -> model type and what its configuration says beside the defaults."""
TYPES = (*ENCODERS, *DECODERS, *MIXTURES, *RECURRENT, *SEQUENCES, *SEEN_AND_HEARD)
NAMES = (*TYPES, *VARIANTS)


def anatomy(name: str) -> Anatomy:
    """The anatomy of a golden name, on the meta device."""
    from transformers import AutoConfig
    from transformers.utils import logging

    logging.set_verbosity_error()
    model_type, options = VARIANTS.get(name, (name, {}))
    return discover(build(AutoConfig.for_model(model_type, **options)))


def path_of(name: str) -> Path:
    """Where the golden file of a name lies."""
    return FOLDER / f"{name.replace(' ', '-')}.yaml"


def as_text(found: Anatomy) -> str:
    """The golden file of an anatomy; what is empty is left out."""
    lines = {key: value for key, value in compact(found).items() if value not in ([], None, False)}
    return str(yaml.safe_dump(lines, sort_keys=False, width=1000, allow_unicode=True))


def table(found: dict[str, Anatomy]) -> str:
    """The table of the document: one row a golden name."""
    head = "| model type | blocks | roles | a prefix | `targets: [all]` | corrected |"
    rows = [_row(name, one) for name, one in found.items()]
    return "\n".join([head, "|---|---|---|---|---|---|", *rows])


def _row(name: str, found: Anatomy) -> str:
    facts = compact(found)
    blocks = ", ".join(f"{count} {stack}" for stack, count in found.stacks.items())
    prefix = f"no: {found.attention_reason}" if found.attention_reason else "yes"
    corrected = "yes" if found.model_type in set(FAMILIES) else ""
    cells = (name, blocks, " ".join(found.roles), prefix, facts["all"], corrected)
    return f"| {' | '.join(str(cell).replace('*', chr(92) + '*') for cell in cells)} |"


def write(names: tuple[str, ...] = NAMES) -> None:
    """Write the golden files of those names again, and the table where all are named."""
    found = {name: anatomy(name) for name in names}
    for name, one in found.items():
        write_text(path_of(name), as_text(one))
    if names == NAMES:
        before, _, rest = DOCUMENT.read_text().partition(BEGIN)
        after = rest.partition(END)[2]
        write_text(DOCUMENT, f"{before}{BEGIN}\n{table(found)}\n{END}{after}")


if __name__ == "__main__":
    write(tuple(sys.argv[1:]) or NAMES)
