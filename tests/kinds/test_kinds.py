"""Our own kinds, each held to the contract."""

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from finegrid.records.specification import RandomModel, Source
from kinds.registry import KINDS
from tests.kinds import (
    test_multiple_choice,
    test_multiple_choice_lm,
    test_question_answering,
    test_tags,
    test_writing,
)
from tests.kinds.contract import KindContract
from tests.methods.architectures import tiny
from tests.models.pictures import PICTURES, PROCESSOR, VIT, tiny_vit, write_vit
from tests.models.sounds import RECORDINGS, SOUNDS
from tests.models.texts import write_tokenizer

TEXTS = [
    "the film was great",
    "warm",
    "",
    "the plot was dull",
    "the film the plot was great was warm",
    "dull dull",
    "great was the plot",
    "the film was dull " * 8,
]
VALUES = torch.rand(8, 32, generator=torch.Generator().manual_seed(0)).tolist()
CLASSES = [0, 1, 2, 0, 1, 2, 2, 1]
NUMBERS = [0.5, -1.0, 2.25, 0.1, 1.5, -0.3, 0.7, 3.0]


def with_head(model_type: str, name: str, width: int) -> nn.Module:
    """The tiny model with a head of its own of that width."""
    model = tiny(model_type)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        setattr(model, name, nn.Linear(64, width))
    return model


class Texts(KindContract):
    """On a tiny encoder."""

    max_length = 12

    def model(self) -> nn.Module:
        return with_head("bert", "classifier", len(self.labels) or 1)

    def folder(self, root: Path) -> Path:
        read = ["input_ids", "token_type_ids", "attention_mask"]
        write_tokenizer(root / "tokens", "<s> $A </s>", model_input_names=read)
        config: Any = tiny("bert").config
        config.save_pretrained(root / "tokens")
        return root / "tokens"


class Numbers(KindContract):
    """On a plain stack."""

    def model(self) -> nn.Module:
        return with_head("linear-stack", "head", len(self.labels) or 1)

    def folder(self, root: Path) -> Path:
        return root


class TestTextClassification(Texts):
    kind = "text-classification"
    labels = ("a", "b", "c")
    columns: ClassVar = {"text": TEXTS, "label": CLASSES}


class TestTextRegression(Texts):
    """Of pairs."""

    kind = "text-regression"
    columns: ClassVar = {"text": TEXTS, "text_pair": TEXTS[::-1], "label": NUMBERS}


class TestFlatImageClassification(Numbers):
    kind = "flat-image-classification"
    labels = ("a", "b", "c")
    columns: ClassVar = {"pixels": VALUES, "label": CLASSES}


class TestTabularClassification(Numbers):
    kind = "tabular-classification"
    labels = ("a", "b", "c")
    columns: ClassVar = {"features": VALUES, "label": CLASSES}


class Pictures(KindContract):
    """On a tiny ViT: files of several formats, sizes and modes."""

    def model(self) -> nn.Module:
        return tiny_vit(len(self.labels))

    def folder(self, root: Path) -> Path:
        return write_vit(root / "vit", len(self.labels))

    def record(self) -> RandomModel:
        return RandomModel(
            kind="random",
            name="vit",
            configuration=VIT,
            tokenizer=Source(uri="path:vit"),
            processor=PROCESSOR,
        )


class TestImageClassification(Pictures):
    kind = "image-classification"
    labels = ("a", "b", "c")
    columns: ClassVar = {"image": PICTURES, "label": CLASSES}


class Recordings(KindContract):
    """On tiny models of sounds: files of several formats, lengths, rates and channels."""

    kind = "audio-classification"
    labels = ("a", "b", "c")
    columns: ClassVar = {"audio": RECORDINGS, "label": CLASSES}
    max_length = 1
    sounds: ClassVar[str]

    def model(self) -> nn.Module:
        return SOUNDS[self.sounds].model(len(self.labels))

    def folder(self, root: Path) -> Path:
        return SOUNDS[self.sounds].write(root / "sounds", len(self.labels))

    def record(self) -> RandomModel:
        return RandomModel(
            kind="random",
            name="sounds",
            configuration=SOUNDS[self.sounds].sizes,
            tokenizer=Source(uri="path:sounds"),
            processor=SOUNDS[self.sounds].processor,
        )


class TestAudioClassification(Recordings):
    """Waveforms, as long as they are, with a mask."""

    sounds = "wav2vec2 layered"


class TestPaddedAudioClassification(Recordings):
    """Waveforms that are padded to one length, and no mask."""

    sounds = "wav2vec2"


class TestAudioClassificationOfSpectrograms(Recordings):
    """Spectrograms of one length, frames first."""

    sounds = "audio-spectrogram-transformer"


class TestAudioClassificationOfBins(Recordings):
    """Spectrograms of one length, bins first."""

    sounds = "whisper"


class TestTabularRegression(Numbers):
    kind = "tabular-regression"
    columns: ClassVar = {"features": VALUES, "label": NUMBERS}


def test_every_kind_of_ours_is_held_to_the_contract() -> None:
    bases: tuple[type[KindContract], ...] = (
        *(Texts, Numbers, Pictures, Recordings),
        test_writing.Writing,
        test_tags.Tagging,
    )
    held = {case.kind for base in bases for case in base.__subclasses__()}
    held |= {test_multiple_choice.TestMultipleChoice.kind}
    held |= {test_multiple_choice_lm.TestMultipleChoiceLM.kind}
    held |= {test_question_answering.TestQuestionAnswering.kind}
    assert held == {name for name in KINDS if not KINDS.distributions(name)}
