"""The types of the peft library: what the planner has to know of each, without importing it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue

Config = dict[str, JsonValue]
Count = Callable[[int, int, Any], int]
_FACTORS = ("lora_A", "lora_B")


@dataclass(frozen=True)
class Type:
    """What is known of a type of peft without importing it."""

    paper: str
    config: Config = field(default_factory=dict)
    """Our defaults: peft's own, where a form below reads them."""
    count: Count | None = None
    """(in, out, config) -> trained parameters of a layer; None where there is no short form."""
    identity: bool = True
    """Whether the model starts as it was, to the bit."""
    draws: bool = True
    """Whether its start is drawn: not from constants, nor by a seed that `config` holds."""
    transposed: bool = False
    """Whether it works on weights that are kept transposed, as GPT-2's are."""
    biases: bool = False
    """Whether it needs layers with a bias."""
    shared: bool = False
    """Whether `count` is that of all layers together."""
    fp32: bool = False
    """Whether it works on weights in fp32 alone, from which it makes its constants."""
    plain: bool = False
    """Whether peft takes plain layers of torch alone, which hold numbers and no codes."""
    reads: bool = False
    """Whether it reads numbers of the base, or of what it draws, while it is applied."""
    divides: tuple[str, ...] = ()
    """A key of the configuration, and which features of a layer it divides: in, out."""
    either: tuple[str, ...] = ()
    """Keys of the configuration that do the work of `divides`, one at a time: the others are 0."""
    groups: tuple[str, ...] = ()
    """peft's names of what it trains, which may have learning rates of their own."""
    library_type: str | None = None
    """peft's own name where ours differs."""


def _low_rank(i: int, o: int, c: Any) -> int:
    return int(c["r"] * (i + o))


def _lora(i: int, o: int, c: Any) -> int:
    return _low_rank(i, o, c) + (o if c.get("use_dora") else 0)


def _deft(i: int, o: int, c: Any) -> int:
    return int(c["r"] * (o if c.get("para") else i + o))


def _adalora(i: int, o: int, c: Any) -> int:
    """Of each rank a row, a column and a singular value."""
    return int(c["init_r"] * (i + o + 1))


def _oft(i: int, o: int, c: Any) -> int:
    """Skew-symmetric blocks along the inputs."""
    size = c["oft_block_size"] or i // c["r"]
    return int((1 if c.get("block_share") else i // size) * size * (size - 1) // 2)


def _frod(i: int, o: int, c: Any) -> int:
    """A diagonal, and a share of what is off it."""
    return i + (max(1, int(i * i * c["sparse_rate"])) if c["sparse_rate"] else 0)


TYPES: Mapping[str, Type] = {
    "beft": Type(
        "Huang et al. 2025, arXiv:2509.15974", {}, lambda i, o, c: o, draws=False, biases=True
    ),
    "boft": Type(
        "Liu et al. 2023, arXiv:2311.06243",
        {"boft_block_size": 4},
        lambda i, o, c: i * c["boft_block_size"] + o,
        draws=False,
        divides=("boft_block_size", "in"),
    ),
    "c3a": Type(
        "Chen et al. 2024, arXiv:2407.19342",
        {"block_size": 256},
        lambda i, o, c: i * o // c["block_size"],
        identity=False,
        divides=("block_size", "in", "out"),
    ),
    # Its product of projectors rounds at the start.
    "deft": Type(
        "Kumar et al. 2025, arXiv:2509.22793", {"r": 8}, _deft, identity=False, transposed=True
    ),
    "delora": Type(
        "Bini et al. 2025, arXiv:2503.18225", {"r": 8}, lambda i, o, c: c["r"] * (i + o) + 1
    ),
    "dora": Type(
        "Liu et al. 2024, arXiv:2402.09353",
        {"r": 8, "use_dora": True},
        _lora,
        transposed=True,
        groups=(*_FACTORS, "lora_magnitude_vector"),
        library_type="lora",
    ),
    "fourierft": Type(
        "Gao et al. 2024, arXiv:2405.03003",
        {"n_frequency": 1000},
        lambda i, o, c: c["n_frequency"],
        identity=False,
        transposed=True,
    ),
    # Its factors of the weight round at the start.
    "frod": Type(
        "Wan et al. 2025, arXiv:2512.23485",
        {"sparse_rate": 0.01, "progressbar": False},
        _frod,
        identity=False,
        draws=False,
        transposed=True,
        reads=True,
    ),
    "glora": Type("Chavan et al. 2023, arXiv:2306.07967", plain=True),
    "gralora": Type(
        "Jung et al. 2025, arXiv:2505.20355",
        {"r": 32, "gralora_k": 2},
        transposed=True,
        divides=("gralora_k", "in", "out"),
    ),
    "hira": Type("Huang et al. 2025, openreview:TwJrTz9cRS", {"r": 32}, _low_rank, transposed=True),
    # Its reflections cancel in pairs up to rounding.
    "hra": Type(
        "Yuan et al. 2024, arXiv:2405.17484", {"r": 8}, lambda i, o, c: c["r"] * i, identity=False
    ),
    "loha": Type(
        "Hyeon-Woo et al. 2021, arXiv:2108.06098", {"r": 8}, lambda i, o, c: 2 * c["r"] * (i + o)
    ),
    "lokr": Type("Yeh et al. 2023, arXiv:2309.14859", {"r": 8}),
    "lora": Type(
        "Hu et al. 2021, arXiv:2106.09685", {"r": 8}, _lora, transposed=True, groups=_FACTORS
    ),
    "miss": Type(
        "Kang and Yin 2024, arXiv:2409.15371", {"r": 64}, lambda i, o, c: c["r"] * o, draws=False
    ),
    "oft": Type(
        "Qiu et al. 2023, arXiv:2306.07280",
        {"oft_block_size": 32},
        _oft,
        draws=False,
        divides=("oft_block_size", "in"),
        either=("oft_block_size", "r"),
    ),
    # Its singular vectors round at the start.
    "osf": Type("Nayak et al. 2025, arXiv:2504.07097", identity=False, draws=False, fp32=True),
    "peanut": Type("Zhong et al. 2024, arXiv:2410.01870", {"r": 32}),
    "psoft": Type("Wu et al. 2025, arXiv:2505.11235", {"r": 32}, draws=False),
    "pvera": Type(
        "Fillioux et al. 2025, arXiv:2512.07703", {"r": 256}, draws=False, transposed=True
    ),
    "randlora": Type(
        "Albert et al. 2025, arXiv:2502.00987", {"r": 32}, draws=False, transposed=True
    ),
    "road": Type(
        "Liao and Monz 2024, arXiv:2409.00119",
        {"group_size": 64},
        draws=False,
        divides=("group_size", "out"),
    ),
    "shira": Type(
        "Bhardwaj et al. 2024, arXiv:2406.13175",
        {"r": 32, "random_seed": 0},
        _low_rank,
        draws=False,
        reads=True,
    ),
    "supertuning": Type("Ilin et al. 2026, arXiv:2607.09287", {"sparsity": 0.99}, draws=False),
    "tinylora": Type("Morris et al. 2026, arXiv:2602.04118", draws=False, transposed=True),
    "unilora": Type(
        "Li et al. 2025, arXiv:2506.00799",
        {"theta_d_length": 256},
        lambda i, o, c: c["theta_d_length"],
        identity=False,
        shared=True,
    ),
    "vblora": Type(
        "Li et al. 2024, arXiv:2405.15179",
        {"vector_length": 256},
        identity=False,
        transposed=True,
        divides=("vector_length", "in", "out"),
    ),
    "vera": Type(
        "Kopiczko et al. 2023, arXiv:2310.11454",
        {"r": 256},
        lambda i, o, c: c["r"] + o,
        draws=False,
        transposed=True,
    ),
    "waveft": Type(
        "Bilican et al. 2025, arXiv:2505.12532",
        {"n_frequency": 2592},
        lambda i, o, c: c["n_frequency"],
        draws=False,
        transposed=True,
    ),
}
"""Types that adapt linear layers."""
ADALORA = Type(
    "Zhang et al. 2023, arXiv:2303.10512",
    {
        **{"target_r": 8, "init_r": 12, "deltaT": 1},
        **{"beta1": 0.85, "beta2": 0.85, "orth_reg_weight": 0.5},
    },
    _adalora,
    transposed=True,
    groups=(*_FACTORS, "lora_E"),
)
IA3 = Type("Liu et al. 2022, arXiv:2205.05638", draws=False, transposed=True)
LN_TUNING = Type("Zhao et al. 2023, arXiv:2312.11420", draws=False)
TOKENS = Type("Hugging Face 2025, peft 0.15.0", draws=False)
NOT_OFFERED: Mapping[str, str] = {
    "adamss": "how much it trains depends on a clustering of the weights, not on shapes alone",
    "adaption_prompt": "it is for three causal language models; peft cannot inject it",
    "cartridge": "prompt learning for causal language models, from a prefilled cache",
    "cpt": "prompt learning for causal language models, from a tokenizer's ids",
    "lily": "its router averages over the batch, padding included: a row depends on the others",
    "multitask_prompt_tuning": "it needs the task of each example",
    "p_tuning": "prompt learning: peft cannot inject it; p-tuning is a method of its own here",
    "poly": "it needs the task of each example",
    "prefix_tuning": "prompt learning: peft cannot inject it; prefixes are a method of their own",
    "prompt_tuning": "prompt learning: peft cannot inject it; the prompt is a method of its own",
    "shadow": "a second network with a loss of its own; peft cannot inject it",
    "xlora": "it mixes adapters that were trained before",
}
"""The other types of peft 0.21 -> why they are not offered."""
