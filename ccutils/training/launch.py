"""Start a run in separate processes, with accelerate's notebook_launcher or `accelerate launch`.

Light to import: the launcher starts processes only if neither a GPU nor bitsandbytes has been used yet, and
transformers, peft and trl all import the latter.

On several GPUs, with a JSON object of the fields of Plan:
accelerate launch --config_file workflow/launch/data_parallel.yaml -m ccutils.training.launch '{"k": 4}'
"""

import sys
from collections.abc import Sequence

from ccutils.errors import InputError, command
from ccutils.training.plan import Plan, read_plan


def train_plan(plan: Plan) -> None:
    """Train as planned: the function for `accelerate.notebook_launcher`. Raises what `ic_train` does."""
    from ccutils.training.run import ic_train  # here, in the process that was started

    ic_train(plan)


@command
def main(arguments: Sequence[str]) -> None:
    """Run the plan in the one argument, a JSON object."""
    if len(arguments) != 1:
        raise InputError(
            f"Expected one argument, a JSON object of the plan, got {len(arguments)}; for example "
            '\'{"task": "topics", "settings": {"steps": 400}}\'.'
        )
    train_plan(read_plan(arguments[0]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
