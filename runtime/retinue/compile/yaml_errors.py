"""What libyaml says of a broken file → our own sentence, where the mistake was made."""

import re
from bisect import bisect_right
from dataclasses import dataclass

from yaml import Mark, MarkedYAMLError

from retinue.compile.report import Report, split_lines
from retinue.diagnostics import Location


@dataclass(frozen=True, slots=True)
class _Sentence:
    """`at_opening`: the mistake is where the construct began, not where the parser gave up."""

    message: str
    hint: str | None = None
    code: str = "yaml-syntax"
    at_opening: bool = False


_QUOTE_IT = "put the value in quotes"
_TAB = _Sentence(
    "a tab is used for indentation", "indent with spaces: YAML does not allow tabs", "tab-indent"
)
_UNCLOSED = _Sentence(
    "the bracket that opens here is never closed", "add the closing bracket", at_opening=True
)
_DIRECTIVE = _Sentence(
    "a line that starts with % is read as a directive", _QUOTE_IT, at_opening=True
)
_AT_END = _Sentence("the file ends where a value was expected", "close the brackets that are open")
_AFTER_QUOTE = _Sentence(
    "the quoted text ends before this",
    "put quotes around the whole value, and none inside that are the same",
)
_NEVER_OPENED = _Sentence("this bracket was never opened", "remove it")
_KEY_HINT = "write 'key: value', or indent a text's further lines"
_NO_COMMA = "put commas between the items, and close the bracket where they end"
_REFERENCE = "put a value that holds ${ in quotes"
_TOP_KEY = re.compile(r"^([a-z_]+):(?=[ \r\n])", re.MULTILINE)
_KEY = re.compile(r"([a-z_]+):")
_MARGIN = re.compile(r"^[^\s#]", re.MULTILINE)
_CONFLICT = re.compile(r"^<{7} ", re.MULTILINE)
_KEY_ALONE = re.compile(r"[ ]*[\w.-]+")
_NO_SPACE = re.compile(r"[ ]*[A-Za-z_][\w-]*(:)[^\s/]")

# Keys are the start of libyaml's `problem` text (src/scanner.c and src/parser.c).
_SENTENCES = {
    "mapping values are not allowed": _Sentence(
        "a ':' is not expected here",
        "put a value that holds ': ' in quotes, or check the indentation",
    ),
    "mapping keys are not allowed": _Sentence("a key is not expected here", "start a new line"),
    "block sequence entries are not allowed": _Sentence(
        "a list item is not expected here", "start the list on a line of its own"
    ),
    "found unexpected end of stream": _Sentence(
        "the quote that opens here is never closed", "add the closing quote", at_opening=True
    ),
    "found unexpected document indicator": _Sentence(
        "the quote that opens here is not closed before the next '---'", at_opening=True
    ),
    "could not find expected ':'": _Sentence(
        "this line is not a key with a value",
        _KEY_HINT,
        at_opening=True,
    ),
    "did not find expected key": _Sentence(
        "this does not fit the lines around it",
        "check the indentation, and put values that hold quotes or ': ' in quotes",
    ),
    "did not find expected '-' indicator": _Sentence(
        "a list item that starts with '- ' was expected", "check the indentation"
    ),
    "did not find expected ',' or '}'": _Sentence("',' or '}' was expected", _NO_COMMA),
    "did not find expected ',' or ']'": _Sentence("',' or ']' was expected", _NO_COMMA),
    "did not find expected node content": _Sentence("a value was expected", _QUOTE_IT),
    "did not find expected alphabetic or numeric": _Sentence(
        "a value that starts with '*' or '&' must be quoted", _QUOTE_IT
    ),
    "found unknown escape character": _Sentence(
        "there is no such escape in a double-quoted string",
        "double the backslash, or use single quotes",
    ),
    "did not find expected hexdecimal": _Sentence(
        "the escape lacks hexadecimal digits", "\\x takes two of them, \\u four and \\U eight"
    ),
    "found invalid Unicode character escape": _Sentence(
        "the escape is no Unicode character", "write the character itself"
    ),
    "found a tab character": _TAB,
    "did not find expected <document start>": _Sentence(
        "nothing may follow here", "check the indentation"
    ),
    "found undefined tag handle": _Sentence(
        "tags are not supported", "quote a value that starts with !", "yaml-tag"
    ),
    "did not find expected whitespace or line break": _Sentence(
        "a space was expected", "quote a value that starts with ! or &"
    ),
    "did not find expected comment or line break": _Sentence(
        "nothing may follow the '|' or '>' on its line", "start the text on the next line"
    ),
    "found an indentation indicator equal to 0": _Sentence(
        "a text's indentation can't be given as 0"
    ),
    "found incompatible YAML document": _Sentence(
        "only the directive %YAML 1.2 is supported", code="yaml-directive"
    ),
    "could not find expected directive name": _DIRECTIVE,
    "found unknown directive name": _DIRECTIVE,
    "found unexpected non-alphabetical character": _DIRECTIVE,
    "found duplicate %YAML directive": _Sentence("%YAML is given twice", code="yaml-directive"),
}


def around(text: str, error: MarkedYAMLError) -> tuple[frozenset[str], str] | None:
    """What may be a key in the block at the left margin that holds the mistake, and the text with
    nothing in its place: what is left can be checked, if it is valid. None where anything else may
    hang on what was taken away.
    """
    marks = [mark.index for mark in (error.context_mark, error.problem_mark) if mark]
    keys = [*_TOP_KEY.finditer(text)]
    starts = [match.start() for match in keys]
    blocks = {bisect_right(starts, index) - 1 for index in marks}
    nth = min(blocks, default=-1)
    if nth < 0 or len(blocks) > 1 or keys[nth][1] == "extends":
        return None
    end = starts[nth + 1] if nth + 1 < len(starts) else len(text)
    block = text[starts[nth] : end]
    if "&" in block or _MARGIN.search(block, len(keys[nth][0])):
        return None
    return frozenset(_KEY.findall(block)), text[: starts[nth]] + re.sub(
        r"[^\r\n]", " ", block
    ) + text[end:]


def explain(file: str, text: str, error: MarkedYAMLError, report: Report) -> None:
    """Report `error`, with the place where the broken construct began, where there is one."""
    problem = error.problem or ""
    mark, opening = error.problem_mark, error.context_mark
    if _told_by_line(file, text, problem, mark, report):
        return
    sentence = _sentence(problem, text, mark)
    bracket = opening is not None and problem.endswith(("or '}'", "or ']'"))
    if bracket and mark is not None and not text[mark.index :].strip():
        sentence = _UNCLOSED
    if sentence.at_opening and opening is not None:
        mark = opening
    related = ((_location(file, opening), "opened here"),) if bracket and mark != opening else ()
    report.error(_location(file, mark), sentence.message, sentence.code, sentence.hint, related)


def _sentence(problem: str, text: str, mark: Mark | None) -> _Sentence:
    if problem.startswith("found character that cannot start any token"):
        character = text[mark.index : mark.index + 1] if mark else ""
        return _TAB if character == "\t" else _cannot_start(character)
    if special := _special(problem, text, mark):
        return special
    for start, sentence in _SENTENCES.items():
        if problem.startswith(start):
            return sentence
    return _Sentence(f"this is not valid YAML: {problem}")


def _special(problem: str, text: str, mark: Mark | None) -> _Sentence | None:
    """What the text around the place tells better than libyaml does."""
    if mark is None:
        return None
    here = text[mark.index : mark.index + 1]
    before = text[: mark.index].rpartition("\n")[2].rstrip()
    if problem.startswith("did not find expected node content") and not text[mark.index :].strip():
        return _AT_END
    if problem.startswith("did not find expected node content") and here == ",":
        return _Sentence("a value was expected before the ','", "remove the ',', or add the value")
    if problem.startswith("did not find expected key") and before:
        if here and here in "]}":
            return _NEVER_OPENED
        return _AFTER_QUOTE if before[-1] in "\"'" else None
    if problem.endswith(("or '}'", "or ']'")) and before.endswith("$") and here == "{":
        return _Sentence(f"{problem[22:]} was expected", _REFERENCE)
    return None


def _told_by_line(file: str, text: str, problem: str, mark: Mark | None, report: Report) -> bool:
    """Whether a line before the place was the mistake, and has been reported."""
    if conflict := _CONFLICT.search(text):
        number = len(split_lines(text[: conflict.start()]))
        hint = "keep one side, and remove the lines with <<<<<<<, ======= and >>>>>>>"
        place = Location(file, number, 1, 7)
        report.error(place, "a merge conflict was left unresolved", "yaml-syntax", hint)
        return True
    if mark is None or mark.line == 0 or not problem.startswith("mapping values are not allowed"):
        return False
    *_, before, line = split_lines(text[: mark.index])
    if not _KEY_ALONE.fullmatch(line) or not before.strip() or re.search(r":(\s|$)", before):
        return False
    indent = len(before) - len(before.lstrip())
    if missing := _NO_SPACE.match(before):
        place = Location(file, mark.line, missing.start(1) + 1)
        report.error(place, "a space is missing after the ':'", "yaml-syntax", "write 'key: value'")
        return True
    place = Location(file, mark.line, indent + 1, len(before.strip()))
    report.error(place, "this line is not a key with a value", "yaml-syntax", _KEY_HINT)
    return True


def _cannot_start(character: str) -> _Sentence:
    return _Sentence(f"a value can't start with '{character}'", _QUOTE_IT)


def _location(file: str, mark: Mark | None) -> Location:
    return Location(file, mark.line + 1, mark.column + 1) if mark else Location(file)
