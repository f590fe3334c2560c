"""Translation memories in TMX: texts of units, codes inside of them, and entities, all refused."""

import gzip
import json
from pathlib import Path

import pytest

from finegrid.planning.guess import GuessError, Options
from finegrid.planning.guess_parallel import guess_memory
from finegrid.planning.own_files import of_files
from finegrid.planning.schema import TaskEntry
from finegrid.prepare.examined import Examiner
from tasks.table_files import TableError, column_names, read_rows

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
ANY = '<tu><tuv xml:lang="en"><seg>a</seg></tuv><tuv xml:lang="de"><seg>b</seg></tuv></tu>'


def memory(body: str, head: str = HEAD) -> bytes:
    return f'{head}<tmx version="1.4"><header srclang="en"/><body>{body}</body></tmx>'.encode()


def unit(**texts: str) -> str:
    variants = (f'<tuv xml:lang="{one}"><seg>{text}</seg></tuv>' for one, text in texts.items())
    return f'<tu tuid="1"><prop type="x">no text</prop>{"".join(variants)}<note>none</note></tu>\n'


def texts_of(content: bytes, name: str = "a.tmx") -> list[tuple[str, ...]]:
    Path(name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    columns = {"source": "en", "target": "de"}
    return [values for _, values in read_rows(Path(name), columns, "train")]


SEGMENTS = {
    "plain": ("one &amp; two &lt;b&gt; &#228;", "one & two <b> \u00e4"),
    "codes of a program": (
        'A <bpt i="1">&lt;b></bpt>bold<ept i="1">&lt;/b></ept> <ph>{0}<sub>alt</sub></ph>word',
        "A bold word",
    ),
    "what is highlighted is text": (
        'the <hi type="term">bus</hi> is<it pos="begin">x</it>',
        "the bus is",
    ),
    "no markup": ("<![CDATA[a <b> & c]]>", "a <b> & c"),
    "ends of lines that are none": ("a\u2028b\u0085c\nd", "a\u2028b\u0085c\nd"),
}


@pytest.mark.parametrize("name", SEGMENTS)
@pytest.mark.parametrize("file", ["a.tmx", "a.tmx.gz"])
def test_the_texts_of_units_are_read_without_codes(folder: Path, name: str, file: str) -> None:
    """Elements by the specification of TMX 1.4b, section 3."""
    written, text = SEGMENTS[name]
    content = memory(unit(en=written, de="eins") + unit(de="zwei", fr="deux", en="two"))
    assert texts_of(content, file) == [(text, "eins"), ("two", "zwei")]
    assert column_names(Path(file), "train") == ["en", "de", "fr"]


def test_older_and_other_files_are_read(folder: Path) -> None:
    """With `lang`, a document type that is elsewhere, and in UTF-16."""
    old = memory(ANY, f'{HEAD}<!DOCTYPE tmx SYSTEM "tmx11.dtd">').replace(b"xml:lang", b"lang")
    assert texts_of(old) == [("a", "b")]
    assert texts_of(memory(ANY, "").decode().encode("utf-16")) == [("a", "b")]
    many = "".join(unit(en=f"word {n} " * 40, de=f"Wort {n}") for n in range(2000))
    assert [row[1] for row in texts_of(memory(many))] == [f"Wort {n}" for n in range(2000)]


DECLARED = '<!DOCTYPE tmx [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'
OUTSIDE = '<!DOCTYPE tmx [<!ENTITY a SYSTEM "file:///etc/hostname">]>'
PARAMETER = '<!DOCTYPE tmx [<!ENTITY % a SYSTEM "file:///etc/hostname"> %a;]>'
BAD: dict[str, tuple[bytes, str]] = {
    "an entity": (memory(unit(en="&b;", de="x"), HEAD + DECLARED), "a.tmx, line 2: the entity 'a'"),
    "an entity elsewhere": (memory(unit(en="&a;", de="x"), HEAD + OUTSIDE), "the entity 'a'"),
    "an entity of the type": (memory(ANY, HEAD + PARAMETER), "the entity 'a'; allowed: none but"),
    "one that nothing declares": (
        memory(unit(en="a&nbsp;b", de="x"), f'{HEAD}<!DOCTYPE tmx SYSTEM "tmx14.dtd">'),
        "the entity 'nbsp'; allowed: none but those of XML itself, as &amp;",
    ),
    "no XML": (memory("<tu>")[:-9], "a.tmx, line 2: no XML: "),
    "a signs that is no XML": (memory(unit(en="a & b", de="x")), "line 2: no XML: "),
    "no unit": (memory(""), "a.tmx has no unit; allowed: 1 or more"),
    "two texts of a language": (
        memory(ANY.replace("de", "en")),
        "line 2: two texts in 'en'; allowed: one in each language",
    ),
    "no language": (memory(ANY.replace(' xml:lang="de"', "")), "a text without xml:lang"),
    "another language": (
        memory(unit(en="a", fr="b")),
        "a.tmx has no column 'de'; allowed: 'en', 'fr'",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_one_sentence(folder: Path, name: str) -> None:
    content, words = BAD[name]
    with pytest.raises(TableError) as error:
        texts_of(content)
    assert words in str(error.value)


def test_a_memory_is_guessed_and_units_without_a_text_are_left_out(folder: Path) -> None:
    units = [unit(en=f"one {n}", de="" if n == 3 else f"eins {n}") for n in range(12)]
    Path("a.tmx").write_bytes(memory("".join(units) + unit(en="alone")))
    found = guess_memory({"train": (Path("a.tmx"),)}, Options())
    assert (found.kind, found.columns) == ("seq2seq", {"source": "en", "target": "de"})
    assert found.asked == {"drop": {"target": [""]}}
    said = {"kind": found.kind, "files": "a.tmx", "columns": found.columns, "split": found.shares}
    with pytest.raises(TableError, match=r"blank or wrong in unit 4, unit 13 \(2 in all\)"):
        of_files(TaskEntry.model_validate_json(json.dumps(said)), Examiner())
    checked = TaskEntry.model_validate_json(json.dumps(said | found.asked))
    assert sum(of_files(checked, Examiner()).counts.values()) == 11
    Path("b.tmx").write_bytes(memory(unit(en="a", de="b", fr="c")))
    with pytest.raises(GuessError, match="side by side of de, en, fr; say which: --text for"):
        guess_memory({"train": (Path("b.tmx"),)}, Options())
