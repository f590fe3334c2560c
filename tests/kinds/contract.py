"""What every kind promises: tests that a kind's own inherit, those of a plug-in as well.

A subclass names the kind, gives eight rows of different sizes, and a tiny model of it.
"""

import io
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress, pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from finegrid.metrics.registry import METRICS
from finegrid.models.live import anatomy_of
from finegrid.training.data import Examples
from finegrid.training.encoding import encoded_rows
from finegrid.training.evaluation import compute_rows, predict, predictions
from kinds.contract import Batch, Row
from kinds.outputs.cross_entropy import CrossEntropy, training_loss
from kinds.registry import kind_named
from methods.registry import METHODS, training_methods

CPU = torch.device("cpu")
ROWS, STEPS = 8, 60


@dataclass(frozen=True)
class Bench:
    """The rows, their examples, and the model that reads them."""

    rows: pa.Table
    processor: Any
    examples: Examples
    """What is learnt: one of each row."""
    whole: Examples
    """What is predicted: all that each row is made into."""
    model: nn.Module

    def loss(self, *indices: int, smoothing: float = 0.0) -> torch.Tensor:
        """The summed loss of these examples."""
        output, batch = self.examples.kind.output, self.examples.batch(indices)
        return training_loss(output, self.model, batch, smoothing)

    def said(self, batch_size: int) -> list[Row]:
        """What the model says, in batches of that size."""
        metrics = self.examples.kind.output.metrics
        return predict(self.model, self.whole, batch_size, CPU, "fp32", metrics=metrics)

    def gradient(self, sizes: Sequence[int], smoothing: float = 0.0) -> dict[str, torch.Tensor]:
        """The gradient of the mean over all terms, in micro-batches of these sizes."""
        self.model.zero_grad()
        ends = np.cumsum([0, *sizes]).tolist()
        for start, end in pairwise(ends):
            loss = self.loss(*range(start, end), smoothing=smoothing)
            (loss / sum(self.examples.weights)).backward()  # type: ignore[no-untyped-call]
        found = self.model.named_parameters()
        return {name: p.grad.clone() for name, p in found if p.grad is not None}


class KindContract(ABC):
    """The tests. All but the last two leave the model as it is."""

    kind: ClassVar[str]
    """Its registered name."""
    labels: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[dict[str, Any]] = {}
    """What a task says of the kind."""
    columns: ClassVar[dict[str, list[Any]]]
    """Eight values of each column, the ids left out."""
    max_length: ClassVar[int] = 16

    @abstractmethod
    def model(self) -> nn.Module:
        """A tiny model with a head for the labels, in evaluation mode."""

    @abstractmethod
    def folder(self, root: Path) -> Path:
        """What the kind's processor reads, written below `root`."""

    def record(self) -> Any:
        """The model as a specification has it, where a kind reads anything of it."""
        return None

    def longest(self) -> int:
        """The units that an example may have, as an encoding has them."""
        return kind_named(self.kind, self.options).inputs.longest(self.max_length, self.record())

    @pytest.fixture(scope="class")
    def bench(self, tmp_path_factory: pytest.TempPathFactory) -> Bench:
        kind = kind_named(self.kind, self.options)
        known = [pa.field("id", pa.string()), *kind.inputs.schema(), *kind.output.schema()]
        given = {"id": [str(number) for number in range(ROWS)]} | self.columns
        fields = [field for field in known if field.name in given]
        rows = pa.table({one.name: pa.array(given[one.name], one.type) for one in fields})
        folder = self.folder(tmp_path_factory.mktemp("kind"))
        processor = kind.inputs.processor(folder)
        inputs = kind.inputs.encode(rows, processor, self.longest())
        targets = kind.output.encode(rows, inputs, processor, self.longest())
        table = pa.Table.from_batches([encoded_rows(kind, given["id"], inputs, targets)])
        whole = Examples(kind, table, kind.inputs.fillers(processor), folder)
        learnt = [at for at, target in enumerate(targets) if kind.output.is_learnt(target)]
        examples = replace(whole, table=table.take(learnt)) if len(learnt) < len(whole) else whole
        return Bench(rows, processor, examples, whole, self.model())

    def test_its_rows_are_what_it_says(self, bench: Bench) -> None:
        inputs, output = bench.examples.kind.inputs, bench.examples.kind.output
        assert set(inputs.optional) <= set(inputs.schema().names)
        assert not set(inputs.schema().names) & set(output.schema().names)
        assert {*inputs.schema().names, *output.schema().names} >= set(self.columns)
        rows = predictions(bench.whole, bench.said(ROWS))
        assert all(set(row) == set(output.predicted().names) for row in rows)
        assert output.label_problem(self.labels) is None
        assert list(inputs.problems(bench.rows)) == []
        assert list(output.problems(bench.rows, self.labels)) == []
        assert set(output.metrics) <= set(METRICS)

    def test_encoding_is_pure(self, bench: Bench) -> None:
        """An example depends on its own row alone."""
        examples = bench.examples
        inputs, output = examples.kind.inputs, examples.kind.output
        backwards = bench.rows.take(list(reversed(range(ROWS))))
        again = inputs.encode(backwards, bench.processor, self.longest())
        targets = output.encode(backwards, again, bench.processor, self.longest())
        learnt = list(map(output.is_learnt, targets))
        for found, known in ((again, examples.inputs), (targets, examples.targets)):
            kept = list(compress(found, learnt))
            assert_equal(kept[::-1], [known[at] for at in range(ROWS)])

    def test_encoded_examples_are_read_from_a_file_as_they_were(
        self, bench: Bench, tmp_path: Path
    ) -> None:
        """In one piece or in several, and without a copy of their arrays."""
        file, table = tmp_path / "encoded.arrow", bench.examples.table
        with pa.ipc.new_file(str(file), table.schema) as writer:
            writer.write_table(table, max_chunksize=3)
        with pa.memory_map(str(file)) as source:
            stored = replace(bench.examples, table=pa.ipc.open_file(source).read_all())
        assert stored.table["inputs"].num_chunks == 3
        for found, expected in (
            (stored.inputs, bench.examples.inputs),
            (stored.targets, bench.examples.targets),
        ):
            read = [found[at] for at in range(ROWS)]
            assert_equal(read, [expected[at] for at in range(ROWS)])
            arrays = [one for row in read for one in row.values() if isinstance(one, np.ndarray)]
            assert all(one.base is not None and not one.flags.writeable for one in arrays)
        assert (list(stored.sizes), list(stored.weights)) == (
            list(bench.examples.sizes),
            list(bench.examples.weights),
        )
        for index in range(ROWS):
            one, other = stored.batch([index, 0]), bench.examples.batch([index, 0])
            for part, known in ((one.inputs, other.inputs), (one.targets, other.targets)):
                assert part.keys() == known.keys()
                assert all(torch.equal(part[name], known[name]) for name in part)

    def test_sizes_stay_within_their_bounds(self, bench: Bench) -> None:
        inputs, sizes = bench.examples.kind.inputs, bench.examples.sizes
        assert 1 <= min(sizes) <= max(sizes) <= self.longest()
        assert sum(sizes) <= inputs.units(ROWS, bench.rows.nbytes, self.max_length, self.record())
        assert min(bench.examples.weights) >= 1

    def test_padding_changes_no_loss(self, bench: Bench) -> None:
        sizes = list(bench.examples.sizes)
        short, long = sizes.index(min(sizes)), sizes.index(max(sizes))
        padded = bench.loss(short, long) - bench.loss(long)
        torch.testing.assert_close(padded, bench.loss(short), atol=1e-5, rtol=1e-5)

    def test_the_loss_of_a_batch_is_the_sum_over_its_examples(self, bench: Bench) -> None:
        whole, single = bench.loss(*range(ROWS)), [bench.loss(index) for index in range(ROWS)]
        assert (whole.dtype, whole.shape) == (torch.float32, ())
        torch.testing.assert_close(whole, torch.stack(single).sum(), atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize("sizes", [(3, 5), (1,) * ROWS], ids=str)
    def test_any_cut_into_micro_batches_gives_the_same_gradient(
        self, bench: Bench, sizes: tuple[int, ...]
    ) -> None:
        expected, found = bench.gradient([ROWS]), bench.gradient(sizes)
        assert expected.keys() == found.keys()
        assert any(gradient.abs().max() > 1e-4 for gradient in expected.values())
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name], gradient, atol=1e-6, rtol=1e-4, msg=name)

    def test_smoothed_targets_are_those_of_the_definition(self, bench: Bench) -> None:
        """In fp64, over the classes that an example has; exact over any cut, as the plain loss."""
        output, batch = bench.examples.kind.output, bench.examples.batch(range(ROWS))
        if not isinstance(output, CrossEntropy):
            with pytest.raises(ValueError, match=r"no cross-entropy; allowed: 0$"):
                bench.loss(0, smoothing=0.1)
            return
        assert torch.equal(bench.loss(*range(ROWS)), output.loss(bench.model, batch))
        whole = bench.loss(*range(ROWS), smoothing=0.1)
        expected = smoothed(output.forward(bench.model, batch), batch, 0.1)
        assert whole.item() == pytest.approx(expected, rel=1e-5)
        found, other = (bench.gradient(sizes, 0.1) for sizes in ((3, 5), (ROWS,)))
        for name, gradient in other.items():
            torch.testing.assert_close(found[name], gradient, atol=1e-6, rtol=1e-4, msg=name)

    def test_predictions_do_not_depend_on_the_batch(self, bench: Bench) -> None:
        together, alone = bench.said(ROWS), bench.said(1)
        assert together[0] != together[1]
        for one, other in zip(together, alone, strict=True):
            assert one.keys() == other.keys()
            for name, value in one.items():
                assert other[name] == pytest.approx(value, abs=1e-5), name

    def test_a_blank_batch_has_the_shapes_and_types_of_a_real_one(self, bench: Bench) -> None:
        examples, kind = bench.examples, bench.examples.kind
        real = examples.batch(range(ROWS))
        config: Any = bench.model.config
        inputs = kind.inputs.blank(ROWS, max(examples.sizes), config)
        for found, expected in (
            (inputs, real.inputs),
            (kind.output.blank(inputs, max(examples.weights)), real.targets),
        ):
            shapes = {name: (tensor.shape, tensor.dtype) for name, tensor in expected.items()}
            assert {name: (t.shape, t.dtype) for name, t in found.items()} == shapes

    def test_predictions_survive_a_file_and_score_again_to_the_bit(self, bench: Bench) -> None:
        output, said = bench.examples.kind.output, bench.said(ROWS)
        rows, file = predictions(bench.whole, said), io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, output.predicted()), file)
        stored = pq.read_table(file).to_pylist()
        for row, decided in zip(rows, output.decide(stored), strict=True):
            assert row | decided == row
        for name in output.metrics:
            again = compute_rows(name, output.restored(stored))
            assert again == compute_rows(name, rows)

    def test_what_does_without_inputs_is_a_prediction(self, bench: Bench) -> None:
        output, truths = bench.examples.kind.output, bench.examples.truths
        if output.predictor is None:
            pytest.skip("nothing is said without inputs")
        (found,) = output.trivial(truths, self.labels).values()
        assert all(type(found) in map(type, truth.values()) for truth in truths)

    def test_eight_examples_are_learnt(self, bench: Bench) -> None:
        bench = replace(bench, model=self.model())
        optimizer = torch.optim.Adam(bench.model.parameters(), lr=3e-3)
        first = bench.loss(*range(ROWS)).item()
        for _ in range(STEPS):
            optimizer.zero_grad()
            bench.loss(*range(ROWS)).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        assert bench.loss(*range(ROWS)).item() < 0.05 * first

    @pytest.mark.parametrize("name", [name for name in training_methods() if ":" not in name])
    def test_every_method_takes_a_step_or_says_why_not(self, bench: Bench, name: str) -> None:
        method = METHODS.build(name, {})
        if reason := method.not_applicable(anatomy_of(bench.model)):
            assert reason.strip()
            return
        bench = replace(bench, model=self.model())
        method.apply(bench.model, torch.Generator().manual_seed(0))
        trained = [p for p in bench.model.parameters() if p.requires_grad]
        before = [parameter.detach().clone() for parameter in trained]
        bench.loss(*range(ROWS)).backward()  # type: ignore[no-untyped-call]
        torch.optim.SGD(trained, lr=0.1).step()
        assert any(not torch.equal(*pair) for pair in zip(before, trained, strict=True))
        assert all(parameter.isfinite().all() for parameter in trained)


def smoothed(logits: torch.Tensor, batch: Batch, smoothing: float) -> float:
    """- sum_k q_k log p_k over all terms, q being (1 - s) of the true class and s / K of each.

    Of an answer's start and end each is half a term.
    """
    labels = batch.targets.get("labels")
    if labels is None:
        labels = torch.stack([batch.targets[side] for side in ("start", "end")], dim=1)
        logits = logits.transpose(1, 2)
    loss = 0.0
    for row, label in zip(logits.flatten(0, -2), labels.flatten().tolist(), strict=True):
        if label >= 0:
            own = row[row > -torch.inf].double()  # those of no example stand behind
            targets = torch.full_like(own, smoothing / len(own))
            targets[label] += 1 - smoothing
            loss -= (targets * own.log_softmax(dim=0)).sum().item()
    return loss if "labels" in batch.targets else loss / 2


def assert_equal(found: Any, expected: Any) -> None:
    """Equal values, whether lists or arrays hold them."""
    assert plain(found) == plain(expected)


def plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {name: plain(below) for name, below in value.items()}
    return [plain(below) for below in value] if isinstance(value, list | tuple) else value
