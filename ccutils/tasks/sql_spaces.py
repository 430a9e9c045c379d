"""SQL with a space between all tokens, for tokenizers of whole words, and back without a loss.

Quotes stand alone, and what they hold falls into words, so that a word of a question is the same word in a
query: `name='new york'` is written `name = ' new york '`. Within quotes one space lies between two words; any
other blank is shown by BLANK, and the marks of TIGHT have no blank around them but a shown one. So `'% '` is
written `' % ␣ '`, and `'5, it''s'` is `' 5 , ␣ it '' s '`.
"""

import re

BLANK = "␣"
"""A blank within quotes that is not the one between two words."""
TIGHT = r"''|['\[\],?!]"
"""Marks within quotes that are words of their own, as the tiny base's tokenizer has them."""
SQL_TOKEN = re.compile(
    r"""(?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))
    |(?P<blob>[xX]'[^']*')
    |(?P<quoted>'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\])
    |0[xX][0-9a-fA-F_]+
    |(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d[\d_]*)?
    |(?:[?:@$\#]|(?=[^\W\d])|(?=[^\x00-\x7f]))(?:[\w$]|[^\x00-\x7f])+
    |->>|->|\|\||<=|<>|<<|>=|>>|==|!=
    |\S""",
    re.VERBOSE | re.DOTALL,
)
"""SQLite's tokens; a blob literal and whatever else is quoted are one token each."""
PIECE = re.compile(rf"(?P<blanks> +)|{TIGHT}|(?:(?!{TIGHT})[^ ])+")
APART = re.compile(
    r"""(?<![^ ])(?:(?P<blob>[xX])[ ])?(?:(?P<quote>['"`])|\[)
    (?:[ ](?P<inside>.*?))??[ ](?(quote)(?P=quote)|\])(?![^ ])
    |(?<![^ ])![ ]=(?![^ ])""",
    re.VERBOSE | re.DOTALL,
)


def sql_tokens(sql: str) -> list[str]:
    """Return SQLite's tokens of a query without its comments.

    >>> sql_tokens("SELECT a||' '||b->>'$.c' --c")
    ['SELECT', 'a', '||', "' '", '||', 'b', '->>', "'$.c'"]
    """
    return [match[0] for match in SQL_TOKEN.finditer(sql) if not match["comment"]]


def spaced(sql: str) -> str:
    """Put a space between all tokens of a query; comments go.

    >>> spaced("SELECT a FROM b WHERE c>=.25 AND d LIKE '% ';")
    "SELECT a FROM b WHERE c >= .25 AND d LIKE ' % ␣ ' ;"
    """
    parts = []
    for match in SQL_TOKEN.finditer(sql):
        token = match[0]
        if match["blob"]:
            parts.append(f"{token[0]} ' {token[2:-1]} '" if token[2:-1] else f"{token[0]} ' '")
        elif match["quoted"]:
            parts += [token[0], *show_blanks(token[1:-1]), token[-1]]
        elif not match["comment"]:
            parts.append(token)
    return " ".join(parts)


def show_blanks(text: str) -> list[str]:
    """Return the words and marks of a quoted text, and BLANK for each blank not between two words."""
    pieces = list(PIECE.finditer(text))
    shown = []
    for i, piece in enumerate(pieces):
        if not piece["blanks"]:
            shown.append(piece[0])
        elif piece[0] != " " or i in (0, len(pieces) - 1) or is_tight(pieces[i - 1], pieces[i + 1]):
            shown += [BLANK] * len(piece[0])
    return shown


def is_tight(*pieces: re.Match[str]) -> bool:
    """Tell whether one of the pieces is a mark that has no blank around it."""
    return any(re.fullmatch(TIGHT, piece[0]) for piece in pieces)


def unspaced(sql: str) -> str:
    """Return a query whose quoted texts are as they were before `spaced`; other tokens stay apart.

    >>> unspaced("SELECT a FROM b WHERE d LIKE ' % ␣ ' ;")
    "SELECT a FROM b WHERE d LIKE '% ' ;"
    """

    def close(match: re.Match[str]) -> str:
        if match[0] == "! =":
            return "!="
        first = match["quote"] or "["
        return (match["blob"] or "") + first + close_up(match["inside"] or "") + (match["quote"] or "]")

    return APART.sub(close, sql)


def close_up(text: str) -> str:
    """Undo `show_blanks`: return the text of words, marks and shown blanks that a space lies between."""
    found, after_word = "", False
    for piece in filter(None, text.split(" ")):
        word = piece != BLANK and not re.fullmatch(TIGHT, piece)
        found += (" " if word and after_word else "") + (" " if piece == BLANK else piece)
        after_word = word
    return found


def comes_back(sql: str) -> bool:
    """Tell whether a query has the same tokens once it was spaced and closed up again."""
    return sql_tokens(unspaced(spaced(sql))) == sql_tokens(sql)
