"""Bytes of the tensors that are alive, counted while operations make and drop them."""

import weakref
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, Self

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.weak import WeakIdKeyDictionary

from methods.parameters import is_sharded


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the storages that operations make, from their making to their end.

    A storage that is resized counts as it is now: so FSDP frees the weights that it has gathered.
    Of a tensor that is divided among processes the part here counts, which is a tensor itself.
    """

    def __init__(self, rounding: int = 1) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        self._rounding = rounding
        self._known = WeakIdKeyDictionary()
        """What takes the bytes of a storage off again, at its end or before."""
        self._resize: Callable[..., Any] = torch.UntypedStorage.resize_

    def __enter__(self) -> Self:
        def resized(storage: torch.UntypedStorage, size: int) -> Any:
            returned = self._resize(storage, size)
            self._recount(storage)
            return returned

        torch.UntypedStorage.resize_ = resized  # type: ignore[assignment, method-assign]
        entered: Self = super().__enter__()  # type: ignore[no-untyped-call]
        return entered

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)  # type: ignore[no-untyped-call]
        torch.UntypedStorage.resize_ = self._resize  # type: ignore[method-assign]

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """The operation as it is; what it returns is counted.

        One on divided tensors is left to them: they call it again, on the parts.
        """
        if any(is_sharded(kind) for kind in types):
            return NotImplemented
        returned = func(*args, **(kwargs or {}))
        if isinstance(returned, torch.Tensor):
            self.count(returned)
        elif isinstance(returned, (list, tuple)):
            tree_map_only(torch.Tensor, self.count, returned)
        return returned

    def count(self, tensor: torch.Tensor) -> None:
        """Count the storage of a tensor, once."""
        storage = tensor.untyped_storage()
        if storage not in self._known:
            self._recount(storage)

    def leave(self, tensor: torch.Tensor) -> None:
        """Count the storage of a tensor no longer: it is not where the others are."""
        self._known[tensor.untyped_storage()]()

    def take(self, size: int) -> Callable[[], None]:
        """Count a new storage; what is returned is called at its end."""
        size = -(-size // self._rounding) * self._rounding
        self.live += size
        self.peak = max(self.peak, self.live)
        return partial(self._free, size)

    def _recount(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            self._known[storage]()
        self._known[storage] = weakref.finalize(storage, self.take(storage.nbytes()))

    def _free(self, size: int) -> None:
        self.live -= size
