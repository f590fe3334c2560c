"""The model of the caching allocator, step by step against its documented rules."""

from finegrid.published_memory.allocator import CachingAllocator

MIB = 2**20


def test_small_sizes_share_a_segment_of_two_mebibytes() -> None:
    allocator = CachingAllocator()
    blocks = [allocator.allocate(size) for size in (1, 512, 513)]
    assert [block.size for block in blocks] == [512, 512, 1024]
    assert allocator.reserved == 2 * MIB
    assert allocator.allocate(MIB).size == MIB
    assert allocator.reserved == 2 * MIB
    allocator.allocate(MIB)
    assert allocator.reserved == 4 * MIB


def test_sizes_below_ten_mebibytes_share_segments_of_twenty() -> None:
    allocator = CachingAllocator()
    for count in range(1, 4):
        allocator.allocate(6 * MIB)
        assert allocator.reserved == 20 * MIB, count
    allocator.allocate(6 * MIB)
    assert allocator.reserved == 40 * MIB


def test_from_ten_mebibytes_a_segment_is_as_large_as_the_size() -> None:
    allocator = CachingAllocator()
    allocator.allocate(10 * MIB)
    assert allocator.reserved == 10 * MIB
    allocator.allocate(15 * MIB + 1)
    assert allocator.reserved == (10 + 16) * MIB


def test_a_rest_of_a_mebibyte_stays_with_a_large_block() -> None:
    allocator = CachingAllocator()
    whole = allocator.allocate(11 * MIB)
    assert whole.size == 12 * MIB
    allocator.release(whole)
    assert allocator.allocate(10 * MIB).size == 10 * MIB  # more than one: it is cut


def test_the_smallest_free_block_that_fits_is_taken() -> None:
    allocator = CachingAllocator()
    sizes = (40, 20, 30)
    blocks = [allocator.allocate(size * MIB) for size in sizes]
    for block in blocks:
        allocator.release(block)
    taken = allocator.allocate(18 * MIB)
    assert (taken.segment, taken.offset, taken.size) == (blocks[1].segment, 0, 18 * MIB)
    assert allocator.reserved == sum(sizes) * MIB


def test_neighbours_join_and_other_segments_do_not() -> None:
    allocator = CachingAllocator()
    left, middle, right = (allocator.allocate(6 * MIB) for _ in range(3))
    other = allocator.allocate(6 * MIB)
    for block in (left, right, middle):
        allocator.release(block)
    assert allocator.allocate(20 * MIB - 512).size == 20 * MIB
    allocator.release(other)
    assert allocator.reserved == 40 * MIB


def test_an_emptied_cache_keeps_segments_that_are_in_use() -> None:
    allocator = CachingAllocator()
    kept, freed, alone = (allocator.allocate(size * MIB) for size in (6, 6, 32))
    allocator.release(freed)
    allocator.release(alone)
    assert allocator.reserved == 52 * MIB
    allocator.empty_cache()
    assert (allocator.reserved, allocator.peak) == (20 * MIB, 52 * MIB)
    allocator.release(kept)
    allocator.empty_cache()
    assert allocator.reserved == 0


def test_what_is_free_between_others_is_reserved_all_the_same() -> None:
    """Fragments: 40 MiB are free, and none of them is large enough for 30."""
    allocator = CachingAllocator()
    for block in [allocator.allocate(20 * MIB) for _ in range(2)]:
        allocator.release(block)
    allocator.allocate(30 * MIB)
    assert allocator.peak == 70 * MIB
