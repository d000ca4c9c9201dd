"""JSON as models write it: after their thoughts, between their words, with LaTeX as it is. Used by `llm`; pure."""

from __future__ import annotations

import re

#: The LaTeX commands that begin as a line break or a tab in JSON, without their first letter: whole words, as what
#: follows may be a line's own text. Those in `b`, `f` and `r` need no list: no text has a backspace, a form feed or a
#: lone carriage return before a letter.
_AFTER_N = (
    r"abla|atural|e|earrow|eg|eq|ewline|exists|geq|leftarrow|leq|less|mid|o(?:indent|number|rmalsize|t|tag|tin)"
    r"|parallel|prec|rightarrow|sim|subseteq|succ|supseteq|u|warrow"
)
_AFTER_T = (
    r"ag|an|anh|au|binom|ext(?:bf|color|degree|it|md|normal|rm|sc|sf|style|superscript|tt|up)?|frac|herefore|heta"
    r"|hickapprox|hicksim|hinspace|ilde|imes|iny|o|op|riangle(?:down|left|lefteq|q|right|righteq)?"
    r"|woheadleftarrow|woheadrightarrow"
)
#: A backslash, with what makes an escape of it if it is one: a letter of JSON's that begins no LaTeX command.
_BACKSLASH = re.compile(
    rf'\\(?:(["\\/]|u[0-9a-fA-F]{{4}}|[bfr](?![A-Za-z])|n(?!(?:{_AFTER_N})(?![A-Za-z]))|t(?!(?:{_AFTER_T})(?![A-Za-z])))|)'
)


def found_in(text: str) -> str:
    """The JSON object in a reply, its LaTeX escaped; the whole reply where there is none."""
    if not text.lstrip().startswith("{"):
        # Thoughts may hold braces of their own.
        text = text.rpartition("</think>")[2]
    start, end = text.find("{"), text.rfind("}") + 1
    found = text[start:end] if 0 <= start < end else text
    return _BACKSLASH.sub(lambda match: match.group() if match.group(1) else r"\\", found)
