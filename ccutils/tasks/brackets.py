"""MTOP's logical forms: bracketed trees of intents and slots, parsed, compared and renamed."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

ANY = "_"
"""As a label in an expected parse: matches any label."""
MAX_DEPTH = 100


class ParseError(ValueError):
    """Text that is not a logical form, and the reason."""


@dataclass(frozen=True, slots=True)
class Node:
    """An intent (IN:...) or slot (SL:...) over words and further nodes, in the order of the utterance."""

    label: str
    children: "tuple[str | Node, ...]"

    def __str__(self) -> str:
        return f"[{' '.join([self.label, *map(str, self.children)])} ]"


def parse_form(text: str) -> Node:
    """Parse '[IN:X words [SL:Y words ] ]', in any white space, to a tree.

    Raises ParseError for anything but one balanced tree whose root is an intent: answers may be anything.

    >>> parse_form("[IN:CREATE_CALL [SL:CONTACT Ann ] ]").label
    'IN:CREATE_CALL'
    """
    tokens = re.sub(r"\[\s*", " [", text.replace("]", " ] ")).split()
    stack: list[tuple[str, list[str | Node]]] = []
    for i, token in enumerate(tokens):
        if token.startswith("["):
            label = token[1:]
            if not (label.startswith(("IN:", "SL:")) and len(label) > 3) and label != ANY:
                raise ParseError(f"{token!r} opens neither an intent nor a slot")
            if len(stack) == MAX_DEPTH:
                raise ParseError(f"more than {MAX_DEPTH} brackets deep")
            stack.append((label, []))
        elif token == "]":
            if not stack:
                raise ParseError("a bracket closes that was not opened")
            label, children = stack.pop()
            node = Node(label, tuple(children))
            if stack:
                stack[-1][1].append(node)
            elif i < len(tokens) - 1:
                raise ParseError("text behind the last bracket")
            elif label.startswith("SL:"):
                raise ParseError("the root is a slot")
            else:
                return node
        elif not stack:
            raise ParseError("text before the first bracket")
        else:
            stack[-1][1].append(token)
    raise ParseError("a bracket is not closed" if stack else "nothing there")


def labels(node: Node) -> Iterator[str]:
    """Yield every label of the tree, root first.

    >>> list(labels(parse_form("[IN:A [SL:B x ] y ]")))
    ['IN:A', 'SL:B']
    """
    yield node.label
    for child in node.children:
        if isinstance(child, Node):
            yield from labels(child)


def rename_labels(node: Node, names: Mapping[str, str]) -> Node:
    """Replace each label of a tree by names[label], if there is one."""
    children = tuple(rename_labels(c, names) if isinstance(c, Node) else c for c in node.children)
    return Node(names.get(node.label, node.label), children)


def same(given: Node, wanted: Node) -> bool:
    """Check whether two trees are equal; a wanted label ANY matches all. Words must be identical."""
    if wanted.label not in (ANY, given.label) or len(given.children) != len(wanted.children):
        return False
    for g, w in zip(given.children, wanted.children, strict=True):
        if isinstance(g, Node) and isinstance(w, Node):
            if not same(g, w):
                return False
        elif g != w:
            return False
    return True


def blank(given: Node, wanted: Node) -> Node:
    """Replace labels in `given` by ANY where `wanted` has ANY.

    Nodes of one parent are paired by label and words, else by words; the rest are paired in order, so that
    deeper nodes are scored even if words around them differ.
    """
    free = [c for c in wanted.children if isinstance(c, Node)]
    pairs: dict[int, Node] = {}
    alike: tuple[Callable[[Node], object], ...] = (
        lambda n: (n.label, words_below(n)),
        words_below,
        lambda n: None,
    )
    for key in alike:
        for i, child in enumerate(given.children):
            if isinstance(child, Node) and i not in pairs:
                place = next((p for p, goal in enumerate(free) if key(goal) == key(child)), None)
                if place is not None:
                    pairs[i] = free.pop(place)
    children = tuple(
        blank(c, pairs[i]) if isinstance(c, Node) and i in pairs else c for i, c in enumerate(given.children)
    )
    return Node(ANY if wanted.label == ANY else given.label, children)


def words_below(node: Node) -> str:
    """Join the words under a node, nested nodes included."""
    return " ".join(words_below(c) if isinstance(c, Node) else c for c in node.children)


def slots(node: Node, above: str = "") -> Counter[tuple[str, str, str]]:
    """Count the slots of a tree as (intents and slots above, label, words), for slot F1.

    A node labelled ANY is a slot if an odd number of nodes is above it: intents and slots alternate.
    """
    found: Counter[tuple[str, str, str]] = Counter()
    if node.label.startswith("SL:") or (node.label == ANY and above.count("/") % 2):
        found[above, node.label, words_below(node)] += 1
    for child in node.children:
        if isinstance(child, Node):
            found += slots(child, f"{above}/{node.label}")
    return found
