"""P-tuning: a prompt whose vectors come from a trained encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from methods.injection import add_parameters, seeded
from methods.parameters import whole
from methods.peft_form import NoPeftFormError, PeftForm
from methods.prompt import CHILD, Prompt, body_of, width
from methods.registry import register

if TYPE_CHECKING:
    import torch
    from torch import nn

_LSTM_LAYERS = 2


@register("p-tuning")
@dataclass(frozen=True)
class PTuning(Prompt):
    """P-tuning, Liu et al. 2021, section 3.2: P = g(E), with E (length, d) and g trained.

    g is an MLP of three layers with ReLU, d -> m -> m -> d, or the authors' bidirectional LSTM of
    two layers, d -> 2 m, with an MLP on its states, 2 m -> 2 m -> d. P stands before the tokens as
    in prompt tuning, and P alone is kept in the end.
    """

    paper: ClassVar[str] = "Liu et al. 2021, arXiv:2103.10385"
    library_type: ClassVar[str | None] = "p_tuning"
    groups: ClassVar[tuple[str, ...]] = ("E", "g")

    encoder: Literal["mlp", "lstm"] = "lstm"
    """What g is."""
    hidden: Annotated[int, Field(ge=1)] | None = None
    """Width m of the encoder; null for that of the tokens."""

    def body_parameters(self, model: nn.Module) -> int:
        """Of the MLP length d + (d + m + 2) m + (m + 1) d.

        Of the LSTM length d + 8 m (d + m + 2) + 8 m (3 m + 2) + (2 m + 1) (2 m + d).
        """
        d = width(body_of(model)[0])
        m = self.hidden or d
        if self.encoder == "mlp":
            return self.length * d + (d + m + 2) * m + (m + 1) * d
        recurrent = 8 * m * (d + m + 2) + 8 * m * (3 * m + 2)
        return self.length * d + recurrent + (2 * m + 1) * (2 * m + d)

    def finish(self, model: nn.Module) -> None:
        """Put P itself in the place of what it came from.

        Where the weights are sharded they are put together first: no LSTM takes shards.
        """
        import torch
        from torch import nn

        child: Any = model.get_submodule(CHILD)
        weights = {name: whole(tensor) for name, tensor in child.g.state_dict().items()}
        embedded = whole(child.E.detach())
        with torch.device("meta"):
            encoder = nn.ModuleList(
                self._encoder(embedded.shape[1], self.hidden or embedded.shape[1])
            )
        encoder.load_state_dict(weights, assign=True)
        with torch.no_grad():
            prompt = self._encoded(embedded, encoder).clone()
        delattr(model, CHILD)
        add_parameters(model, CHILD, {"P": prompt})

    def peft_form(self, model: nn.Module) -> PeftForm:
        """That of prompt tuning, once the encoder is folded."""
        if hasattr(model.get_submodule(CHILD), "E"):
            raise NoPeftFormError("the encoder is not folded yet")
        return super().peft_form(model)

    def _add(self, model: nn.Module, size: int, generator: torch.Generator) -> None:
        """E and g, drawn as the library draws such layers, but E."""
        import torch
        from torch import nn

        if hasattr(model, CHILD):
            raise ValueError("the model has a prompt already: apply a method once")
        child = nn.Module()
        embedded = torch.empty(self.length, size).normal_(std=self.initial_std, generator=generator)
        child.E = nn.Parameter(embedded)
        with seeded(generator):
            child.g = nn.ModuleList(self._encoder(size, self.hidden or size))
        model.add_module(CHILD, child)

    def _encoder(self, size: int, hidden: int) -> list[nn.Module]:
        from torch import nn

        if self.encoder == "mlp":
            sizes = ((size, hidden), (hidden, hidden), (hidden, size))
            return [nn.Linear(*pair) for pair in sizes]
        lstm = nn.LSTM(size, hidden, _LSTM_LAYERS, bidirectional=True)
        return [lstm, nn.Linear(2 * hidden, 2 * hidden), nn.Linear(2 * hidden, size)]

    def _vectors(self, model: nn.Module) -> torch.Tensor:
        """P: what is kept, or what the encoder makes of E, in fp32 as its weights are."""
        import torch

        child: Any = model.get_submodule(CHILD)
        if not hasattr(child, "E"):
            return super()._vectors(model)
        with torch.autocast(child.E.device.type, enabled=False):
            return self._encoded(child.E, child.g)

    def _encoded(self, embedded: torch.Tensor, layers: nn.ModuleList) -> torch.Tensor:
        """g of E (length, d)."""
        from torch.nn import functional

        first, middle, last = layers
        states = first(embedded)
        states = states[0] if self.encoder == "lstm" else functional.relu(states)
        found: torch.Tensor = last(functional.relu(middle(states)))
        return found
