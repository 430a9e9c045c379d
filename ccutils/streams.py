"""Which stream of random numbers a draw comes from: no two kinds of draw share one, whatever their seeds."""

from enum import IntEnum


class Stream(IntEnum):
    """The second word of a generator's seed, behind the run's own: `default_rng([seed, Stream.TOPICS])`.

    The values are part of every result: never change one, take a new number for a new kind of draw.
    """

    TOPICS = 1
    GLOSS = 2
    MTOP = 3
    JSONL = 4
    TEXT_TO_SQL = 5
    TRANSLATION = 6
    PARAPHRASES = 7
    REQUESTS = 8
    REQUESTS_FIXED = 9  # their tests and their long tail, the same for every seed
    TARGET_ORDER = 11
    BARRED_CONTEXTS = 12
    PARAPHRASE_SHOWN = 13
    LABELS_REDRAWN = 14
    QUESTION_CONTEXTS = 17
    QUESTION_TARGETS = 19
    HARD_NEGATIVES = 21
    MISLABELLED = 22
    STORED_LABELS = 23
    COUNTERFACTUAL = 30
    VARIED_K = 31
