"""Which encoding a run reads, and the columns that encoded examples lie in. Loads no torch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finegrid.records.encoded import ENCODED_FOLDER, Encoding
from finegrid.records.specification import Model, Task
from kinds.contract import Example, Kind

if TYPE_CHECKING:
    import pyarrow as pa


def encoding_of(kind: Kind, task: Task, model: Model, max_length: int) -> Encoding:
    """What decides how a task of the kind is encoded for the model, cut to `max_length` units."""
    inputs = kind.inputs
    return Encoding(
        task=task.key,
        max_length=inputs.longest(max_length, model),
        processor=inputs.planned(model),
    )


def encoded_folder(prepared: Path, encoding: Encoding) -> Path:
    """Where the encoding lies in the folder of what is prepared."""
    return prepared / ENCODED_FOLDER / encoding.key


def encoded_rows(
    kind: Kind, ids: Sequence[str], inputs: Sequence[Example], targets: Sequence[Example]
) -> pa.RecordBatch:
    """Encoded examples as Arrow has them: id, size, weight, inputs and targets.

    The ids are those of rows: each of several examples of a row has the row's. Raises ValueError
    for examples whose values are not all of the same names.
    """
    import pyarrow as pa

    sizes = [kind.inputs.size(one) for one in inputs]
    weights = [kind.output.weight(one) for one in targets]
    columns = {
        "id": pa.array(_repeated(kind, ids, inputs), pa.string()),
        "size": pa.array(sizes, pa.int32()),
        "weight": pa.array(weights, pa.int32()),
        "inputs": _column(inputs, kind.inputs.encoded(inputs[0])),
        "targets": _column(targets, kind.output.encoded(targets[0])),
    }
    return pa.record_batch(columns)


def _repeated(kind: Kind, ids: Sequence[str], inputs: Sequence[Example]) -> Sequence[str]:
    """The id of the row of each example."""
    if not kind.inputs.divides:
        return ids
    rows = accumulate(int(kind.inputs.begins(one)) for one in inputs)
    return [ids[row - 1] for row in rows]


def _column(examples: Sequence[Example], schema: pa.Schema) -> Any:
    import pyarrow as pa

    values: dict[str, list[Any]] = {name: [] for name in schema.names}
    for example in examples:
        if example.keys() != values.keys():
            raise ValueError(f"an example has {sorted(example)}, another {sorted(values)}")
        for name, value in example.items():
            values[name].append(value)
    arrays = [_array(values[field.name], field.type) for field in schema]
    return pa.StructArray.from_arrays(arrays, fields=list(schema))


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    """The values as Arrow has them; tables of fixed sizes are lists in lists, copied once."""
    import numpy as np
    import pyarrow as pa

    lengths = []
    while pa.types.is_fixed_size_list(kind):
        lengths.append(kind.list_size)
        kind = kind.value_type
    if len(lengths) < 2:
        return pa.array(values, pa.list_(kind, lengths[0]) if lengths else kind)
    array = pa.array(np.stack(values).reshape(-1), kind)
    for length in reversed(lengths):
        array = pa.FixedSizeListArray.from_arrays(array, length)
    return array
