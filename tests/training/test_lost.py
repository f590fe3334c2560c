"""What examples lose on their way into a model stands in the record, counted by hand."""

from pathlib import Path

from tests.training.assets import SIZES, WRITER
from tests.training.writing import write_assets


def test_a_record_counts_unknown_tokens_and_altered_targets(tmp_path: Path) -> None:
    """Every fourth prompt has a word that the vocabulary lacks, every third answer a line end."""
    rows = [
        {
            "id": f"n{number}",
            "prompt": "the plot was" if number % 4 else "the intrigue was",
            "target": "dull" if number % 3 else "dull \n great",
        }
        for number in range(sum(SIZES.values()))
    ]
    assets = write_assets(tmp_path, rows)
    spec = assets.specification("lora", model=WRITER, epochs=1, evaluations=1)
    assets.encode(spec)
    metrics = assets.run(spec, tmp_path / "results").metrics
    assert metrics is not None
    expected, start = dict[str, int](), 0
    for name, count in SIZES.items():
        numbers = range(start, start := start + count)
        # a token that begins the prompt, its three words, the answer's one or two, and its end
        tokens = sum(6 if number % 3 else 7 for number in numbers)
        unknown = f"of {tokens} {name} tokens are unknown to the tokenizer"
        expected[unknown] = sum(number % 4 == 0 for number in numbers)
        altered = f"{name} targets are altered by the tokenizer: no text that is written is one"
        expected[altered] = sum(number % 3 == 0 for number in numbers)
    assert metrics.counted == expected
