import io
import tarfile
from pathlib import Path

import pandas as pd
import pytest

from kinds.inputs.words import normalised
from tasks.rated_snippets import RatedSnippets

MOVIE = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"


def archive(folder: Path, text: str, name: str = MOVIE) -> Path:
    with tarfile.open(folder / "hutto_ICWSM_2014.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(text.encode())
        tar.addfile(member, io.BytesIO(text.encode()))
    return folder


def everything(task: RatedSnippets, folder: Path) -> pd.DataFrame:
    return pd.concat(task.read(folder).values()).sort_values("id").reset_index(drop=True)


def tiny(train: int = 1, threshold: float = 0.3) -> RatedSnippets:
    return RatedSnippets(train=train, validation=1, test=1, threshold=threshold)


def test_labels_are_signs_and_unclear_or_repeated_texts_go(tmp_path: Path) -> None:
    text = (
        "1\t2.5\tGood &amp; &quot;great&quot;\r\n"
        "2\t-0.31\t bad &amp;#39;un \r\n"
        "3\t0.3\tunclear\r\n"
        "4\t-2\tGOOD, and great!\r\n"
        "5\t-2\tgood, great.\r\n"
        "6\t3\tfour\r\n"
    )
    rows = everything(tiny(train=2), archive(tmp_path, text))
    assert rows.to_dict("records") == [
        {"id": "1", "text": 'Good & "great"', "label": 1},
        {"id": "2", "text": "bad 'un", "label": 0},
        {"id": "4", "text": "GOOD, and great!", "label": 0},
        {"id": "6", "text": "four", "label": 1},
    ]


def test_the_threshold_itself_is_dropped(tmp_path: Path) -> None:
    text = "1\t1.0\ta\n2\t-1.0\tb\n3\t0.9\tc\n4\t0\td\n"
    folder = archive(tmp_path, text)
    assert len(everything(tiny(threshold=0.5), folder)) == 3
    with pytest.raises(ValueError, match="0 available of 2"):
        tiny(threshold=0.9).read(folder)


def test_quotes_and_words_for_missing_are_text(tmp_path: Path) -> None:
    rows = everything(tiny(), archive(tmp_path, '1\t1\t"half\n2\t1\tNA\n3\t1\tnan\n'))
    assert list(rows["text"]) == ['"half', "NA", "nan"]


def test_an_archive_without_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no file hutto_ICWSM_2014/movie"):
        tiny().read(archive(tmp_path, "1\t1\ta\n", "other.txt"))


def test_a_link_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "hutto_ICWSM_2014.tar.gz", "w:gz") as tar:
        link = tarfile.TarInfo(MOVIE)
        link.type, link.linkname = tarfile.SYMTYPE, "secret.txt"
        tar.addfile(link)
        other = tarfile.TarInfo("hutto_ICWSM_2014/secret.txt")
        tar.addfile(other, io.BytesIO())
    with pytest.raises(ValueError, match="has no file"):
        tiny().read(tmp_path)


@pytest.mark.parametrize(
    ("domain", "kept", "positive", "documents"),
    [
        ("movie", 10309, 5114, 10309),
        ("amazon", 3116, 1829, 298),
        ("nyt", 3476, 1424, 498),
        ("tweets", 3532, 2452, 3532),
    ],
)
def test_the_real_sets(
    snippets: Path, domain: str, kept: int, positive: int, documents: int
) -> None:
    from tasks.rated_snippets import _MEMBERS, _clean, _ratings

    frame = _clean(_ratings(snippets / "hutto_ICWSM_2014.tar.gz", _MEMBERS[domain]), 0.3)
    assert (len(frame), int(frame["label"].sum())) == (kept, positive)
    assert frame["id"].str.partition("_")[0].nunique() == documents
    assert not frame["text"].str.contains(r"&(?:amp|lt|gt|quot|#\d+);", regex=True).any()


@pytest.mark.parametrize("domain", ["movie", "amazon", "nyt", "tweets"])
def test_real_splits_share_no_document_and_no_text(snippets: Path, domain: str) -> None:
    task = RatedSnippets(domain=domain)  # type: ignore[arg-type]
    splits = task.read(snippets)
    assert {name: len(rows) for name, rows in splits.items()} == {
        "train": 1000,
        "validation": 500,
        "test": 1000,
    }
    documents = [set(rows["id"].str.partition("_")[0]) for rows in splits.values()]
    texts = [set(rows["text"].map(normalised)) for rows in splits.values()]
    for sets in (documents, texts):
        assert len(set.union(*sets)) == sum(map(len, sets))


def test_the_movie_split_is_pinned(snippets: Path) -> None:
    train = RatedSnippets(train=3).read(snippets)["train"]
    assert list(train["id"]) == ["3061", "1223", "5595"]


def test_too_few_real_snippets_name_the_option(snippets: Path) -> None:
    with pytest.raises(ValueError, match=r"train: 9000 .* 8809 available of 10309"):
        RatedSnippets(train=9000).read(snippets)


@pytest.mark.parametrize("domain", ["movie", "nyt"])
def test_a_smaller_training_split_is_the_start_of_a_larger_one(snippets: Path, domain: str) -> None:
    small, large = (
        RatedSnippets(domain=domain, train=train).read(snippets)  # type: ignore[arg-type]
        for train in (50, 1500)
    )
    pd.testing.assert_frame_equal(small["train"], large["train"].head(50))
    for split in ("validation", "test"):
        pd.testing.assert_frame_equal(small[split], large[split])
