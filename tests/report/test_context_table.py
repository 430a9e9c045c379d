"""The table of contexts: every strategy's demonstrations, paraphrases in place, nothing read as HTML."""

from ccutils.contexts import ContextSampler, Strategy, pool_neighbours
from ccutils.report import context_tables
from ccutils.tasks import Example

POOL = [
    Example(f"show <b>{word}</b> in {place}", word) for word in ["rain", "news", "bread"] for place in "AB"
]


def test_the_table_shows_what_each_strategy_draws() -> None:
    inputs = [e.input for e in POOL]
    near = pool_neighbours(inputs, 2)
    samplers = {
        name: ContextSampler(Strategy(name, 2, p, epsilon), near, inputs, seed=0)
        for name, p, epsilon in [("none", 0, 0), ("random", 0, 0), ("contrastive", 0.0, 1.0)]
    }
    page = context_tables(POOL, samplers, lambda row: f"paraphrase of {row}")
    assert page.count("<table>") == 1  # with epsilon 1 the contrastive slot holds one thing in every context
    assert "paraphrase of 0 → rain" in page and "(empty)" in page
    assert "<b>rain" not in page and "&lt;b&gt;rain&lt;/b&gt;" in page
    assert page.count("&lt;b&gt;") >= 3  # the target, two random demonstrations, one beside the paraphrase
