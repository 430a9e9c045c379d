"""The common prefixes of prompts as a tree of token segments, each of which is computed once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from torch import Tensor

LEAST = 16  # tokens: caching a shorter segment costs more than computing it again


@dataclass(slots=True)
class PrefixNode:
    """A segment of tokens after its parent's, `start` tokens after the beginning.

    A leaf ends the prompts at positions `prompts` and has at least their last token. Other nodes have no
    prompts; `span` is their keys and values once computed: (layers, 2, heads, tokens, width).
    """

    parent: "PrefixNode | None"
    start: int
    tokens: Sequence[int]
    prompts: Sequence[int] = ()
    span: Tensor | None = field(default=None, repr=False)

    @property
    def end(self) -> int:
        """Tokens from the beginning to the end of this segment."""
        return self.start + len(self.tokens)

    def kept(self) -> Tensor:
        """Return the keys and values, which must have been computed."""
        assert self.span is not None
        return self.span

    def before(self) -> "list[PrefixNode]":
        """List the segments before this one, in order."""
        return [*self.parent.before(), self.parent] if self.parent else []


def grow(prompts: Sequence[Sequence[int]], least: int = LEAST) -> list[list[PrefixNode]]:
    """Build the tree of non-empty prompts in lexicographic order, as lists of nodes by depth.

    A segment is shared if at least two different prompts have it and it has at least `least` tokens.
    """
    depths: list[list[PrefixNode]] = []

    def add(low: int, high: int, parent: PrefixNode | None, depth: int) -> None:
        """Add nodes for the prompts from `low` to `high`, which share everything before."""
        start = parent.end if parent else 0
        first = prompts[low]
        # In sorted order the first and the last have the shortest common prefix.
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
    """Count the tokens of the longest common prefix of two sequences.

    >>> common([1, 2, 3], [1, 2, 4])
    2
    """
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
