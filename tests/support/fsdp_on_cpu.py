"""ccutils.training.launch for a test of FSDP without GPUs: accelerate splits a model over GPUs alone."""

import sys
from typing import Any

from accelerate import PartialState
from accelerate.utils import DistributedType

from ccutils.training.launch import main

make = PartialState.__init__


def pretend(state: PartialState, *rest: Any, **more: Any) -> None:
    make(state, *rest, **more)
    if state.distributed_type == DistributedType.MULTI_CPU:
        state.distributed_type = DistributedType.MULTI_GPU


PartialState.__init__ = pretend
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
