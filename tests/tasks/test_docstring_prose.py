"""What is said in a docstring: hand-made ones, each with what a reader would take of it."""

from inspect import cleandoc

import pytest

from tasks.docstring_prose import Prose, prose_of


def of(text: str) -> Prose:
    return prose_of(cleandoc(text))


NUMPYDOC = """
    Return the order of ``a``
    modulo ``n``.

    The order is the smallest
    integer.

    Explanation
    ===========

    It is found by trial [1]_.

    Parameters
    ----------
    a : int
        The number.

    Notes
    -----
    It is slow.
    """


def test_the_body_ends_at_the_first_section_and_holds_the_explanation() -> None:
    assert of(NUMPYDOC) == Prose(
        "Return the order of ``a`` modulo ``n``.",
        "The order is the smallest integer.\nIt is found by trial [1].",
        is_whole=True,
    )


@pytest.mark.parametrize(
    "section",
    [
        *("Examples\n========", "See Also\n--------", "Singularities\n~~~~~~~~~~~~~", "Usage::"),
        *("Args:", "Returns:", "Example:", ":param x: y", ":returns: y", "    :type x: int"),
    ],
)
def test_a_section_in_any_style_ends_the_body(section: str) -> None:
    assert of(f"Head.\n\nBody.\n\n{section}\n\nNot read.").body == "Body."


@pytest.mark.parametrize(
    "words", ["Returns a list.", "Notes are kept.", "Example: 1.", "Parameters of x:\nthe first."]
)
def test_a_sentence_that_begins_as_a_section_does_is_none(words: str) -> None:
    assert of(f"Head.\n\n{words}").body == words.replace("\n", " ")


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("Before.\n\n>>> f(1)\n2\n\nAfter.", "Before.\nAfter."),
        ("For example:\n>>> f(1)\n2", "For example:"),
        ("Before.\n\n.. math::\n    x^2\n\n    y\n\nAfter.", "Before.\nAfter."),
        ("It is\n\n.. note:: Mind it.\n\nAfter.", "It is\nAfter."),
        ("So::\n\n    x = 1\n\n    y = 2\n\nAfter.", "So:\nAfter."),
        ("::\n\n    x = 1\n\nAfter.", "After."),
        ("+---+---+\n| a | b |\n+---+---+", ""),
        ("a  b\n=  ===\n1  2\n\nAfter.", "After."),
        ("    An indented paragraph.", "An indented paragraph."),
        ("By :class:`~a.b.C` and :py:func:`~.f()`.", "By C and f()."),
        ("By :ref:`QQ(a)`, :doc:`the page <a/b>` and :meth:`!m`.", "By QQ(a), the page and m."),
        ("As in [Knuth97]_ and [1]_, [#a]_.", "As in [Knuth97] and [1], [#a]."),
        ("Literals: ``a``, `b` and *c*.", "Literals: ``a``, `b` and *c*."),
    ],
)
def test_of_a_body_the_sentences_are_taken(body: str, left: str) -> None:
    assert of(f"Head.\n\n{body}") == Prose("Head.", left, is_whole=True)


@pytest.mark.parametrize(
    ("text", "is_whole"),
    [
        ("The transform, defined as\n\n.. math:: F", False),
        ("The transform, defined as:\n\nA sum.", False),
        ("The transform::\n\n    F", False),
        ("The transform is -\n\nA sum.", False),
        ("The transform, defined by\n.. math:: F", False),
        ("The transform.\n\n.. math:: F", True),
        ("The transform\n\n.. [1] A book", True),
        ("The transform\n\nA sum.\n\n.. math:: F", True),
        ("The transform", True),
    ],
)
def test_a_headline_that_a_formula_goes_on_with_is_not_whole(text: str, is_whole: bool) -> None:
    assert of(text).is_whole == is_whole


@pytest.mark.parametrize(
    "text", ["Title\n=====\n\nBody.", "=====\nTitle\n=====\n\nBody.", ">>> f()", ".. note::\n    a"]
)
def test_what_begins_with_no_sentence_has_no_headline(text: str) -> None:
    assert of(text) == Prose("", "", is_whole=False)


def test_a_headline_alone_has_no_body() -> None:
    alone = Prose("Head.", "", is_whole=True)
    assert of("Head.") == of("Head.\n\nParameters\n----------\nx") == alone
    assert prose_of("   ").headline == prose_of(":class:``\n\nBody.").headline == ""
