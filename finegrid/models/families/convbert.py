"""ConvBERT: half of the heads are convolutions whose kernels depend on the input."""

from dataclasses import dataclass
from typing import ClassVar

from finegrid.models.families.bert import Bert
from finegrid.models.family import register


@register("convbert")
@dataclass(frozen=True)
class ConvBert(Bert):
    """`conv_kernel_layer` makes the kernels, `conv_out_layer` what they run over."""

    padding_reason: ClassVar = "its convolutions run over it"
    words: ClassVar = {"conv_kernel_layer": "kernel", "conv_out_layer": "kernel_input"}
