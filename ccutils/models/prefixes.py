"""What prompts have in common, as a tree of stretches of tokens, each of which needs to be computed only
once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from torch import Tensor

LEAST = 16  # tokens: a shorter stretch costs more to keep and put together than to compute again


@dataclass(slots=True)
class PrefixNode:
    """A stretch of tokens behind its parent's, `start` tokens after the beginning.

    A leaf is the end of the prompts at the places `prompts`, with their last token at least. The others have
    no prompts; `span` holds their keys and values once computed: (layers, 2, heads, tokens, width).
    """

    parent: "PrefixNode | None"
    start: int
    tokens: Sequence[int]
    prompts: Sequence[int] = ()
    span: Tensor | None = field(default=None, repr=False)

    @property
    def end(self) -> int:
        """Tokens from the beginning to the end of this stretch."""
        return self.start + len(self.tokens)

    def kept(self) -> Tensor:
        """Return its keys and values, which have been computed."""
        assert self.span is not None
        return self.span

    def before(self) -> "list[PrefixNode]":
        """Return the stretches that come before this one, in order."""
        return [*self.parent.before(), self.parent] if self.parent else []


def grow(prompts: Sequence[Sequence[int]], least: int = LEAST) -> list[list[PrefixNode]]:
    """Return the tree of prompts in lexicographic order, as lists of nodes by depth; prompts are not empty.

    A stretch is shared where at least two different prompts have it and it has at least `least` tokens.
    """
    depths: list[list[PrefixNode]] = []

    def add(low: int, high: int, parent: PrefixNode | None, depth: int) -> None:
        """Return nodes for the prompts from `low` to `high`, which have what comes before in common."""
        start = parent.end if parent else 0
        first = prompts[low]
        # Of sequences in order, the first and the last have least in common.
        shared = common(first, prompts[high - 1])
        while len(depths) <= depth:
            depths.append([])
        if first == prompts[high - 1]:
            depths[depth].append(PrefixNode(parent, start, first[start:], range(low, high)))
            return
        shared = min(shared, len(first) - 1)  # the last token is the leaf's: its logits are needed
        if shared - start >= least:
            parent = PrefixNode(parent, start, first[start:shared])
            depths[depth].append(parent)
            depth += 1
        for _, same in groupby(
            range(low, high), lambda i: (prompts[i][shared], len(prompts[i]) == shared + 1)
        ):
            places = list(same)
            add(places[0], places[-1] + 1, parent, depth)

    if prompts:
        add(0, len(prompts), None, 0)
    return depths


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """Tell how many first tokens two sequences have in common.

    >>> common([1, 2, 3], [1, 2, 4])
    2
    """
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
