"""What every process of a run loads, for the server that forks such processes in tests."""

import gc
from importlib import import_module

from finegrid.training.evaluation import import_evaluate

import_evaluate()
for module in ("torch._dynamo", "transformers.models.bert.modeling_bert", "finegrid.training.job"):
    import_module(module)
gc.freeze()
