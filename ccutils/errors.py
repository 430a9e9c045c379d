"""The one exception for input that a person can mend."""


class InputError(ValueError):
    """Bad input, told in one sentence: what was wrong, where (file, line or parameter), what to do.

    The command line prints the sentence without a traceback and exits with status 2.
    """
