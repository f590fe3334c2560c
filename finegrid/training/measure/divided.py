"""The first of the processes among which a model is divided, without the others.

What FSDP gathers, exchanges and frees does not depend on what the others send: a trace divides
the model as a run does, among processes that are not there, and counts what the first one takes.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import distributed
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh


@contextmanager
def first_of(devices: int) -> Iterator[DeviceMesh]:
    """The devices as the first of that many processes sees them. The device is a name: the CPU.

    Raises ValueError in a process that is in a group already.
    """
    from torch.testing._internal.distributed.fake_pg import FakeStore

    distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=devices)
    try:
        yield init_device_mesh("cpu", (devices,))
    finally:
        distributed.destroy_process_group()
