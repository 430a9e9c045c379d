"""Streams of random numbers: each kind of draw has its own, whatever the seed."""

from enum import IntEnum


class Stream(IntEnum):
    """The second word of a generator's seed, after the run's own: `default_rng([seed, Stream.TOPICS])`.

    The values determine every result: never change one; use a new number for a new kind of draw.
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
