"""RT-DETR: attention that samples an image, and heads in lists that are no blocks."""

from dataclasses import dataclass
from typing import ClassVar

from finegrid.models.family import Family, register


@register("rt_detr")
@dataclass(frozen=True)
class RTDetr(Family):
    """Deformable attention has offsets and weights in place of queries and keys."""

    words: ClassVar = {
        "encoder_attn.sampling_offsets": "offsets",
        "encoder_attn.attention_weights": "weights",
        "encoder_attn.output_proj": "o",
    }
    apart: ClassVar = ("enc_bbox_head", "query_pos_head", "bbox_embed")
    head: ClassVar = (
        "model.decoder.class_embed",
        "model.enc_score_head",
        "model.denoising_class_embed",
    )
    attention_reason: ClassVar = "its deformable attention samples an image and takes no keys"
