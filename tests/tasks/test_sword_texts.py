"""Verses of modules of the SWORD Project, without their markup."""

from pathlib import Path

import pytest

from tasks.sword_texts import Place, plain, read_verses
from tests.tasks.sword_modules import module

NOTE = (
    '<note placement="foot"><reference type="annotateRef">1:1 </reference>The <rdg>x</rdg></note>'
)


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        (f'<w lemma="x">God</w>{NOTE}<w lemma="y">created</w> the', "God created the"),
        (f"said,{NOTE}“Go”{NOTE}, he{NOTE} went{NOTE}.", "said, “Go”, he went."),
        (f"Beth{NOTE}-el (he{NOTE}) “{NOTE}Go", "Beth-el (he) “Go"),
        ('<q marker="" who="J">born</q><note>a</note><q marker="" who="J">Son</q>', "born Son"),
        ("<note>a <note>b</note> c</note>d", "d"),
        ('<l level="1" sID="a"/>One,<l eID="a" level="1"/><l sID="b"/>two', "One, two"),
        ('one<lb type="x-p"/>two <div eID="gen1" type="x-p"/>', "one two"),
        ('<title canonical="true" type="psalm">By <w>David</w>.</title><lg/>My', "By David. My"),
        ('<title level="1" type="main">A <w>B</w></title>My', "My"),
        ("<speaker>Beloved</speaker> <lg sID='a'/>Let", "Let"),
        ('<milestone n="Glossary" type="x"/>Let', "Let"),
        ("x</item> <item>the sons of <w>Harim</w>", "x the sons of Harim"),
        ("coins ? me?\u2019 ”", "coins? me?\u2019”"),
        ("Tom &amp; &lt;b&gt;", "Tom & <b>"),
        ("<w>que</w><transChange type='added'>es</transChange><w>su</w>", "que es su"),
        ("<w>oyéndo</w><transChange type='added'>lo</transChange><w>Jesús</w>", "oyéndo lo Jesús"),
        ("(<transChange type='added'>dijo</transChange>) <w>yo</w>", "(dijo) yo"),
    ],
)
def test_the_words_of_a_verse_are_whole_and_alone(markup: str, text: str) -> None:
    assert plain(markup) == text.replace("oyéndo lo", "oyéndolo")


def test_each_verse_is_read_at_its_place(tmp_path: Path) -> None:
    written = {
        ("Gen", 1, 1): "a <w>b</w>",
        ("Gen", 50, 26): "c",
        ("Mal", 4, 6): "d",
        ("Matt", 1, 1): "é",
        ("Rev", 22, 21): "f",
    }
    found = read_verses(module(tmp_path, written))
    assert {place: text for place, text in found.items() if text} == {
        Place(*place): text.replace("<w>", "").replace("</w>", "")
        for place, text in written.items()
    }
    assert [place for place in found if place.book == "Jude"][-1] == ("Jude", 1, 25)
    assert len(found) == 31_102


def test_a_folder_with_another_number_of_modules_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"0 modules of SWORD where one is read; allowed: one, by"):
        read_verses(tmp_path)
    for name in ("a", "b"):
        module(tmp_path, {("Gen", 1, 1): "a"}, name=name)
    with pytest.raises(ValueError, match="2 modules of SWORD where one is read"):
        read_verses(tmp_path)


@pytest.mark.parametrize("damage", ["blank", "no testament", "packed otherwise"])
def test_a_module_that_is_not_whole_is_refused(tmp_path: Path, damage: str) -> None:
    module(tmp_path, {} if damage == "blank" else {("Gen", 1, 1): "a"})
    for path in tmp_path.rglob("?t.bz*"):
        if damage == "packed otherwise" and path.suffix == ".bzz":
            path.write_bytes(b"x" * path.stat().st_size)
        elif damage == "no testament" and path.stem == "nt":
            path.unlink()
    with pytest.raises(ValueError, match=f"{tmp_path.name} holds no module with both testaments"):
        read_verses(tmp_path)
