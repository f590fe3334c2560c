"""Modules of Bible text as the SWORD Project stores them, made by hand."""

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

from pysword.books import BibleStructure

CONF = (
    "[{name}]\nDataPath=./modules/texts/ztext/{name}/\nModDrv=zText\nEncoding=UTF-8\n"
    "BlockType=BOOK\nCompressType=ZIP\nSourceType=OSIS\nVersification={canon}\n"
)
Verses = Mapping[tuple[str, int, int], str]


def module(folder: Path, verses: Verses, canon: str = "KJV", name: str = "made") -> Path:
    """Write a module of these verses, by book (OSIS), chapter and verse; the others are blank."""
    stored = folder / "modules" / "texts" / "ztext" / name
    stored.mkdir(parents=True)
    (folder / "mods.d").mkdir(exist_ok=True)
    conf = CONF.format(name=name, canon=canon)
    (folder / "mods.d" / f"{name}.conf").write_text(conf)
    structure = BibleStructure(canon.lower(), ["ot", "nt"])
    books = {one.osis_name: key for key, of in structure.get_books().items() for one in of}
    for testament in ("ot", "nt"):
        placed = {
            structure.ref_to_indicies(place[0], place[1], place[2])[testament][0]: text
            for place, text in verses.items()
            if books[place[0]] == testament
        }
        write_testament(stored, testament, placed)
    return folder


def write_testament(folder: Path, testament: str, texts: Mapping[int, str]) -> None:
    """The three files of a testament: the texts by their number in the canon, in one block."""
    block, index = b"", bytearray()
    for number in range(max(texts, default=0) + 1):
        content = texts.get(number, "").encode()
        index += struct.pack("<IIH", 0, len(block), len(content))
        block += content
    packed = zlib.compress(block)
    (folder / f"{testament}.bzs").write_bytes(struct.pack("<III", 0, len(packed), len(block)))
    (folder / f"{testament}.bzv").write_bytes(bytes(index))
    (folder / f"{testament}.bzz").write_bytes(packed)
