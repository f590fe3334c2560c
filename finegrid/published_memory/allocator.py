"""The caching allocator of CUDA as PyTorch documents it, without a device.

Memory is reserved in segments, which are cut into blocks. A block that is freed joins its free
neighbours and stays reserved, so that what is reserved exceeds what is allocated by as much as the
free blocks between are too small for what is asked next. The sizes are those of
`c10/cuda/CUDACachingAllocator` with its default settings; one stream is in use.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from itertools import count

_MIB = 2**20
_BLOCK_BYTES = 512
"""Every size is rounded up to a multiple of this."""
_SMALL_BYTES = _MIB
"""The largest size that comes from the pool of small segments."""
_SMALL_SEGMENT = 2 * _MIB
_LARGE_SEGMENT = 20 * _MIB
"""The segment of a size between small and huge."""
_HUGE_BYTES = 10 * _MIB
"""From this size on, a segment is made for the size alone, in multiples of a small segment."""


@dataclass(eq=False)
class Block:
    """A part of a segment, in use or free; its neighbours are those of the same segment."""

    pool: _Pool
    segment: int
    offset: int
    size: int
    left: Block | None = None
    right: Block | None = None
    free: bool = False

    @property
    def order(self) -> tuple[int, int, int]:
        """What free blocks are sorted by: the smallest that fits is taken, then the first."""
        return self.size, self.segment, self.offset

    @property
    def is_segment(self) -> bool:
        """Whether the block is all of its segment."""
        return self.left is None and self.right is None


@dataclass(eq=False)
class _Pool:
    """The free blocks of the small or of the large segments."""

    least_rest: int
    """The smallest rest for which a block is cut."""
    free: list[Block] = field(default_factory=list)

    def take(self, size: int) -> Block | None:
        """The smallest free block that fits."""
        at = bisect_left(self.free, (size, -1, -1), key=lambda block: block.order)
        return self.free.pop(at) if at < len(self.free) else None

    def put(self, block: Block) -> None:
        insort(self.free, block, key=lambda one: one.order)

    def remove(self, block: Block) -> None:
        self.free.pop(bisect_left(self.free, block.order, key=lambda one: one.order))


class CachingAllocator:
    """Blocks and segments; how many bytes are reserved, and at most were."""

    def __init__(self) -> None:
        self.reserved = self.peak = 0
        self._small, self._large = _Pool(_BLOCK_BYTES), _Pool(_SMALL_BYTES + 1)
        self._segments = count()

    def allocate(self, size: int) -> Block:
        """A block of at least that many bytes."""
        size = max(1, -(-size // _BLOCK_BYTES)) * _BLOCK_BYTES
        pool = self._small if size <= _SMALL_BYTES else self._large
        block = pool.take(size) or self._reserve(size, pool)
        block.free = False
        if block.size - size >= pool.least_rest:
            _cut(block, size)
        return block

    def release(self, block: Block) -> None:
        """Free a block, which joins its free neighbours."""
        block.free = True
        for other in (block.left, block.right):
            if other is not None and other.free:
                block.pool.remove(other)
                block = _joined(*sorted((block, other), key=lambda one: one.offset))
        block.pool.put(block)

    def empty_cache(self) -> None:
        """Give back the segments in which nothing is in use."""
        for pool in (self._small, self._large):
            self.reserved -= sum(block.size for block in pool.free if block.is_segment)
            pool.free = [block for block in pool.free if not block.is_segment]

    def _reserve(self, size: int, pool: _Pool) -> Block:
        """A new segment."""
        if size >= _HUGE_BYTES:
            held = -(-size // _SMALL_SEGMENT) * _SMALL_SEGMENT
        else:
            held = _SMALL_SEGMENT if pool is self._small else _LARGE_SEGMENT
        self.reserved += held
        self.peak = max(self.peak, self.reserved)
        return Block(pool, segment=next(self._segments), offset=0, size=held)


def _cut(block: Block, size: int) -> None:
    """Leave the first bytes to the block; the rest is a free one."""
    rest = Block(block.pool, block.segment, block.offset + size, block.size - size, free=True)
    rest.left, rest.right, block.right = block, block.right, rest
    if rest.right is not None:
        rest.right.left = rest
    block.size = size
    block.pool.put(rest)


def _joined(left: Block, right: Block) -> Block:
    """One free block in the place of two neighbours."""
    left.size += right.size
    left.right = right.right
    left.free = True
    if left.right is not None:
        left.right.left = left
    return left
