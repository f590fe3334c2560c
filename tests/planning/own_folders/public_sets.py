"""The layouts of public data sets, small, under the names that their archives have."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.models.pictures import drawn, encoded
from tests.models.sounds import encoded as recorded
from tests.models.sounds import tone

HEADER = "slice_file_name,fsID,start,end,salience,fold,classID,class"
SPEAKERS = ("0a7c2a8d", "0ab3b47d", "0b56bcfe", "0c40e715")


def picture(number: int) -> bytes:
    """A picture of its own for each number."""
    return encoded(drawn(number), "JPEG")


def recording(number: int) -> bytes:
    """A recording of its own for each number."""
    return recorded(tone(100 + 10 * number, 0.2, seed=number))


def write(root: Path, files: dict[str, bytes | str]) -> Path:
    """The files below a folder."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        (root / name).write_bytes(data)
    return root


def lines(texts: Iterable[str]) -> str:
    """A line each."""
    return "".join(f"{text}\n" for text in texts)


def speech_commands(root: Path) -> Path:
    """As speech_commands_v0.02.tar.gz: two words of four speakers, lists, noise."""
    spoken = [
        f"{word}/{speaker}_nohash_{take}.wav"
        for word in ("bed", "cat")
        for speaker in SPEAKERS
        for take in (0, 1)
    ]
    files: dict[str, bytes | str] = {name: recording(at) for at, name in enumerate(spoken)}
    files["_background_noise_/doing_the_dishes.wav"] = recording(77)
    files["_background_noise_/README.md"] = "noise"
    files["validation_list.txt"] = lines(name for name in spoken if SPEAKERS[2] in name)
    files["testing_list.txt"] = lines(name for name in spoken if SPEAKERS[3] in name)
    return write(root, files | {"README.md": "# Speech Commands", "LICENSE": "CC BY 4.0"})


def food_101(root: Path) -> Path:
    """As food-101.tar.gz: lists without suffixes, beside JSON of the same."""
    every = [f"{food}/{10057 + at}" for food in ("apple_pie", "baklava") for at in range(6)]
    test = [name for name in every if name.endswith(("8", "1"))]
    files: dict[str, bytes | str] = {
        f"food-101/images/{name}.jpg": picture(at) for at, name in enumerate(every)
    }
    files["food-101/meta/test.txt"] = lines(test)
    files["food-101/meta/train.txt"] = lines(name for name in every if name not in test)
    files["food-101/meta/classes.txt"] = "apple_pie\nbaklava\n"
    files["food-101/meta/labels.txt"] = "Apple pie\nBaklava\n"
    files["food-101/meta/test.json"] = "{}"
    files["food-101/license_agreement.txt"] = "agreed"
    return write(root, files)


def cub_200(root: Path) -> Path:
    """As CUB_200_2011.tgz: tables without headers, joined by the number of an image."""
    birds = ("001.Black_footed_Albatross", "002.Laysan_Albatross")
    names = [f"{bird}/{bird[4:]}_{at:04d}_{at + 796}.jpg" for bird in birds for at in range(5)]
    files: dict[str, bytes | str] = {f"images/{name}": picture(at) for at, name in enumerate(names)}
    numbered = list(enumerate(names, 1))
    files["images.txt"] = lines(f"{at} {name}" for at, name in numbered)
    files["train_test_split.txt"] = lines(f"{at} {int(at % 5 != 0)}" for at, _ in numbered)
    labels = (f"{at} {int(name[:3])}" for at, name in numbered)
    files["image_class_labels.txt"] = lines(labels)
    files["classes.txt"] = lines(f"{at} {bird}" for at, bird in enumerate(birds, 1))
    files["attributes/attributes.txt"] = "1 has_bill_shape::curved\n"
    return write(root, files)


def esc_50(root: Path) -> Path:
    """As ESC-50-master.zip: one folder of recordings, a table with folds, tests in Python."""
    header = "filename,fold,target,category,esc10,src_file,take"
    rows, files = [header], dict[str, bytes | str]()
    for at in range(20):
        fold, target = at % 5 + 1, at // 5 % 2
        source, take = 100032 + at // 10 * 5 + at % 5, "AB"[at // 5 % 2]
        name = f"{fold}-{source}-{take}-{target}.wav"
        files[f"audio/{name}"] = recording(at)
        category = ("dog", "rooster")[target]
        rows.append(f"{name},{fold},{target},{category},True,{source},{take}")
    files["meta/esc50.csv"] = lines(rows)
    files["tests/test_dataset.py"] = "import pytest\n"
    return write(root, files | {"README.md": "ESC-50", "audio/.DS_Store": "left"})


def urban_sound_8k(root: Path) -> Path:
    """As UrbanSound8K.tar.gz: a folder a fold, whose number stands in the table alone."""
    rows, files = [HEADER], dict[str, bytes | str]()
    for at in range(20):
        fold, label = at % 10 + 1, at // 10
        name = f"{100032 + at}-{label}-0-0.wav"
        files[f"audio/fold{fold}/{name}"] = recording(at)
        sound = ("air_conditioner", "dog_bark")[label]
        rows.append(f"{name},{100032 + at},0.0,0.3,1,{fold},{label},{sound}")
    files["metadata/UrbanSound8K.csv"] = lines(rows)
    return write(root, files | {"FREESOUNDCREDITS.txt": "credits"})


def dog_breeds(root: Path) -> Path:
    """As Kaggle's dog-breed-identification.zip: a table of names without suffixes."""
    rows = [f"{at:032x},{('boxer', 'pug')[at % 2]}" for at in range(10)]
    files: dict[str, bytes | str] = {f"train/{at:032x}.jpg": picture(at) for at in range(10)}
    return write(root, files | {"labels.csv": lines(["id,breed", *rows])})
