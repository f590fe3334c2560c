"""What runs import, in one place: before any time of theirs is taken, or before they are forked."""

from contextlib import suppress
from importlib import import_module

from finegrid.training.tracking import mirror_mode


def load_libraries(*, for_transformers: bool = True) -> None:
    """Import what runs use, what those of transformers alone use where it is wanted.

    Left to their first use, imports would count as seconds of the set-up or of the first step.
    Nothing is computed, no thread and no tracker is started, and no device is looked at: a child
    that is forked afterwards is as free as a fresh process.
    """
    from finegrid.training.evaluation import import_evaluate

    import_evaluate()
    import_module("finegrid.training.job")
    import_module("sklearn.metrics")
    import_module("torch._dynamo")  # the optimizers' first step asks for it
    _import_tracker()
    if for_transformers:
        import_module("transformers.models.auto.modeling_auto")
        import_module("transformers.models.auto.tokenization_auto")


def _import_tracker() -> None:
    """Import what mirrors runs, where they are mirrored; the mirror tells where it cannot be."""
    with suppress(Exception):
        if mirror_mode() != "disabled":
            import_module("wandb")
            import_module("wandb.apis.public")  # its start imports these
            import_module("wandb.sdk.launch")
