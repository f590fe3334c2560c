"""Randomness: of one seed, a stream for each purpose, independent of all others.

A run draws its head, its method's initial values, the order of its data and its dropout. A model
that is made draws from streams that bear its name, so that its seed may be that of a run, or of
another model.
"""

import hashlib
from typing import Literal, NewType

import torch

Stream = Literal["head", "method", "order", "dropout"]
STREAMS: tuple[Stream, ...] = ("head", "method", "order", "dropout")
"""Those of a run."""
ModelStream = NewType("ModelStream", str)


def weights_stream(model: str) -> ModelStream:
    """The stream of the initial weights of a model of that name."""
    return ModelStream(f"model/{model}")


def pretraining_stream(model: str, stream: Literal["order", "dropout"]) -> ModelStream:
    """That stream in the pretraining of a model of that name."""
    return ModelStream(f"model/{model}/{stream}")


def derive(seed: int, stream: Stream | ModelStream, rank: int = 0) -> int:
    """The stream's own seed, a 63-bit hash of the seed and the stream's name.

    Of several processes of a run, each but the first hashes its rank as well.
    """
    name = f"{seed}/{stream}/{rank}" if rank else f"{seed}/{stream}"
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, stream: Stream | ModelStream) -> torch.Generator:
    """A CPU generator of that stream: the same draws on every device."""
    return torch.Generator().manual_seed(derive(seed, stream))


def seed_global(seed: int, stream: Stream | ModelStream, rank: int = 0) -> None:
    """Seed torch's global generators, which dropout and the libraries' initialisers draw from."""
    torch.manual_seed(derive(seed, stream, rank))


def make_deterministic(threads: int, device: str) -> bool:
    """Fix the number of threads, ask torch for deterministic algorithms, and let fp32 be fp32.

    New memory is not filled, as it is by default then: that costs a write of all that is allocated,
    and shows nothing but a read of what nobody wrote. Convolutions on CUDA would round what they
    multiply to ten bits (TF32).

    Returns whether every algorithm is deterministic. On CUDA an operation that has no such form
    raises an error that `lacks_determinism` knows: were it a warning instead, attention would take
    its other form, too (torch asks for strictness there), and no run would be repeatable.
    """
    torch.set_num_threads(threads)
    strict = device in ("cpu", "cuda")
    torch.use_deterministic_algorithms(mode=True, warn_only=not strict)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.allow_tf32 = False
    return strict


def tolerate_nondeterminism() -> None:
    """Let operations without a deterministic form go on, with a warning of torch."""
    torch.use_deterministic_algorithms(mode=True, warn_only=True)


def lacks_determinism(reason: str) -> bool:
    """Whether that is what torch says of an operation without a deterministic form."""
    return "does not have a deterministic implementation" in reason
