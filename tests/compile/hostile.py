"""Projects made to hang, crash, fill the memory of or get out of a compiler, by name."""

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from folders import MINIMAL, project

Content = str | bytes
Place = Callable[[Path], object]
"""Puts what is no regular file at a path."""


@dataclass(frozen=True)
class Case:
    """A project; `silent` marks one that is odd and may still compile."""

    files: Mapping[str, Content]
    places: Mapping[str, Place] = field(default_factory=dict)
    silent: bool = False

    def make(self, root: Path) -> None:
        project(root, self.files)
        for path, place in self.places.items():
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            place(target)


def _socket(path: Path) -> None:
    # The address of a socket is short: it is bound from its own folder.
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


def _link(target: str) -> Place:
    return lambda path: path.symlink_to(target)


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(50_000_000_000)


def _many_links(path: Path) -> None:
    path.mkdir()
    for number in range(200):
        (path / f"l{number}").symlink_to(f"l{number + 1}")


NO_FILES: Mapping[str, Place] = {
    "fifo": os.mkfifo,
    "socket": _socket,
    "folder": Path.mkdir,
    "loop": _link("loop"),
    "itself": _link("."),
    "dangling": _link("nowhere"),
    "dev-zero": _link("/dev/zero"),
    "dev-stdin": _link("/dev/stdin"),
    "proc-mem": _link("/proc/self/mem"),
    "proc-environ": _link("/proc/self/environ"),
    "out": _link("/etc/hostname"),
    "sparse": _sparse,
}


def _yaml() -> dict[str, Content]:
    deep = ["[" * 60 + "x" + "]" * 60]
    deep += ["[" * 60 + f"*a{n}" + "]" * 60 for n in range(30)]
    chain = "".join(f"a{n}: &a{n} {text}\n" for n, text in enumerate(deep))
    maps = "".join(
        f"m{n}: &m{n} " + "{k: " * 60 + (f"*m{n - 1}" if n else "x") + "}" * 60 + "\n"
        for n in range(30)
    )
    laugh = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(20)
    )
    merges = "m0: &m0 {k0: 1}\n" + "".join(
        f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 9)}], k{n}: 1}}\n" for n in range(1, 25)
    )
    wide = (
        "b: &b {" + ", ".join(f"k{n}: 1" for n in range(90)) + "}\n"
        + "".join(f"m{n}: {{<<: *b}}\n" for n in range(100))
    )  # fmt: skip
    keys = "".join(f"k{n}: 1\n" for n in range(100_000))
    return {
        "flow-lists": "[" * 100_000,
        "flow-maps": "{" * 100_000,
        "flow-lists-closed": "a: " + "[" * 20_000 + "]" * 20_000,
        "flow-mixed": "[{a: " * 30_000,
        "flow-keys": "{a: " * 50_000,
        "flow-key-of-key": "{" + "{" * 1000 + "a: 1" + "}: 1" * 1000 + "}",
        "block-lists": "- " * 100_000,
        "block-lists-lines": "".join(" " * n + "-\n" for n in range(1200)),
        "block-maps": "".join(" " * n + "a:\n" for n in range(1200)),
        "complex-keys": "? " * 100_000,
        "complex-key-lines": "? a\n" * 20_000,
        "list-as-key": "? [a, b]\n: 1\n",
        "map-as-key": "{a: 1}: 2\n",
        "alias-as-key": "a: &a x\n*a : 1\n",
        "anchor-in-key": "&a a: 1\n&a b: *a\n",
        "anchors-many": "&a " * 50_000,
        "anchors-distinct": "".join(f"k{n}: &a{n} x\n" for n in range(4000)) + "z: *b\n",
        "anchor-long": "a: &" + "a" * 500_000 + " x\n",
        "anchor-reused": "".join("- &a [*a]\n" if n else "- &a x\n" for n in range(2000)),
        "alias-unknown": "a: [" + "*z, " * 3000 + "]",
        "alias-long": "a: *" + "a" * 500_000 + "\n",
        "alias-to-itself": "a: &a [" + "*a, " * 1000 + "]",
        "alias-to-root": "&r {a: *r}\n",
        "alias-chain-of-lists": chain,
        "alias-chain-of-few": "".join(chain.splitlines(keepends=True)[:15]) + MINIMAL,
        "alias-chain-in-place": "model: x\ninstructions: y\nlimits: {timeout: &a0 "
        + deep[0] + "".join(f", k{n}: &a{n + 1} {text}" for n, text in enumerate(deep[1:14]))
        + "}\n",
        "alias-chain-of-maps": maps,
        "laughs": laugh,
        "laughs-of-texts": "a: &a '" + "x" * 900_000 + "'\nb: [" + "*a, " * 3000 + "]\n",
        "laughs-in-model": "model: x\ninstructions: hi\nmcp_servers: {a: {command: c, args: &a ["
        + "x, " * 2000 + "]}, " + ", ".join(f"s{n}: {{command: c, args: *a}}" for n in range(4))
        + "}\ncolour: red\n",
        "merge-laughs": merges,
        "merge-wide": wide,
        "merge-itself": "a: &a {<<: *a, b: 1}\n",
        "merge-list": "<<: [" + "{a: 1}, " * 2000 + "]\n",
        "merge-many": "b: &b {x: 1}\n" + "<<: *b\n" * 3000,
        "merge-text": "<<: hello\n",
        "merge-nested": "<<: " + "{<<: " * 60 + "{a: 1}" + "}" * 60 + "\n",
        "tags-many": "!" * 100_000,
        "tag-long": "a: !" + "t" * 500_000 + " x\n",
        "tag-python": "a: !!python/object/apply:os.system ['true']\n",
        "tag-binary": "a: !!binary aGVsbG8=\n",
        "tag-on-each": "a: [" + "!x y, " * 3000 + "]\n",
        "tag-uri": "a: !<tag:yaml.org,2002:python/name:os.system> x\n",
        "tag-percent": "a: !%ff%fe x\n",
        "directives": "%" * 100_000,
        "directive-tag": "%TAG ! tag:x,2026:\n---\na: 1\n",
        "directive-version": "%YAML 99999999999999999999.1\n---\na: 1\n",
        "directive-unknown": "%FOO bar\n" * 2000 + "---\na: 1\n",
        "documents": "---\n" * 50_000,
        "documents-with-values": "--- a\n" * 20_000,
        "documents-ended": "...\n" * 50_000,
        "comments": "#" * 900_000,
        "comment-lines": "#\n" * 300_000,
        "blank-lines": "\n" * 900_000,
        "spaces": " " * 900_000,
        "tabs": "\t" * 900_000,
        "only-colons": ":" * 100_000,
        "colons-and-blanks": ": " * 100_000,
        "dashes": "-" * 500_000,
        "question-marks": "?" * 500_000,
        "commas": "[" + "," * 100_000,
        "quotes": '"' * 100_000,
        "quotes-single": "'" * 100_000,
        "quotes-of-lines": '"' + "a\n" * 100_000,
        "escapes": 'a: "' + "\\u0041" * 100_000 + '"\n',
        "escape-nul": 'model: "a\\0b"\ninstructions: "\\0"\n',
        "escape-surrogate": 'model: x\ninstructions: "\\ud83d\\ude00"\n',
        "escape-lone-surrogate": 'model: x\ninstructions: "\\ud800"\n',
        "escape-too-large": 'a: "\\UFFFFFFFF"\n',
        "escape-line-separators": 'model: "a\\Lb\\Pc\\Nd"\ninstructions: ""\n',
        "escape-controls": 'model: "\\e[31m\\a\\b"\ninstructions: "\\e]0;x\\a"\ncolour: "\\e[2J"\n',
        "escape-in-key": '"\\e[31m\\0\\ud800": 1\n',
        "key-with-escapes": '"\\e[31m\\n\\x9b": 1\n',
        "number-long": "a: " + "9" * 100_000,
        "number-hex": "a: 0x" + "f" * 100_000,
        "number-float": "a: 1e" + "9" * 100_000,
        "number-dots": "a: " + "1." * 100_000,
        "number-exponents": "a: " + "1e" * 100_000,
        "number-tiny": "model: x\ninstructions: x\nlimits: {timeout: 1e-400}\n",
        "number-negative-zero": "model: x\ninstructions: x\nlimits: {max_turns: -0}\n",
        "number-in-limits": "model: x\ninstructions: x\nlimits: {max_turns: " + "9" * 99 + "}\n",
        "numbers-not-finite": "model: x\ninstructions: x\nlimits: {timeout: .inf, a: .nan}\n",
        "version-huge": "version: " + "1" * 99 + "\n" + MINIMAL,
        "duration-long": "model: x\ninstructions: x\nlimits: {timeout: " + "9" * 50_000 + "s}\n",
        "key-long": "k" * 900_000 + ": 1",
        "key-long-explicit": "? " + "k" * 900_000 + "\n: 1\n",
        "key-long-quoted": '"' + "k" * 1000 + '": 1\n' + MINIMAL,
        "keys-100k": keys[:999_000],
        "keys-flow-100k": "{" + ", ".join(f"k{n}" for n in range(100_000)) + "}",
        "keys-4000": "".join(f"k{n}: 1\n" for n in range(4000)),
        "keys-alike": "".join(f"mod{'e' * (n % 50)}l{n}: 1\n" for n in range(4000)),
        "keys-duplicate": "a: 1\n" * 4000,
        "keys-duplicate-nested": "{a: {a: 1, a: 2}, a: {a: 1, a: 2}}",
        "keys-empty": ": 1\n" * 4000,
        "scalar-long": "model: " + "x" * 900_000 + "\ninstructions: hi\n",
        "scalar-lines": "model: " + "x\n  " * 200_000 + "\ninstructions: hi\n",
        "block-scalar": "a: |\n" + "  x\n" * 50_000,
        "block-scalar-folded": "a: >\n" + "  x\n\n" * 50_000,
        "block-scalar-indicator-0": "a: |0\n  x\n",
        "block-scalar-indicator-99": "a: |99\n  x\n",
        "block-scalar-indicators": "a: |+-+\n  x\n",
        "block-scalar-under-indented": "a: |9\n  x\nb: 1\n",
        "block-scalar-tab": "a: |\n\tx\n",
        "block-scalar-growing": "a: |\n" + "".join(" " * (n + 1) + "x\n" for n in range(1300)),
        "plain-over-lines": "a: b\n" + "  c\n" * 100_000,
        "plain-then-colon": "a " * 1000 + ": b\n" + "a\n" * 50_000,
        "indentation": "".join(" " * (n % 1000) + "a: 1\n" for n in range(1500)),
        "staircase-down": "".join(" " * n + "a:\n" for n in range(60)) + "b: 1\n" * 3000,
        "byte-order-mark-inside": "model: x\ninstructions: a\ufeffb\n",
        "byte-order-mark-twice": b"\xef\xbb\xbf\xef\xbb\xbfmodel: x\n",
        "line-separators": "model: x\u2028instructions: y\u2029",
        "next-lines": "model: x\u0085instructions: y\n",
        "form-feeds": "model: x\x0cinstructions: y\n",
        "bidi": "model: x\ninstructions: y\n\u202ecolour\u202c: red\n",
        "invisible-key": "model: x\ninstr\u200bctions: y\n",
        "confusable-key": "m\u043edel: x\ninstructions: y\n",
        "emoji-keys": "\U0001f600" * 1000 + ": 1\n" + MINIMAL,
        "combining": "a" + "\u0301" * 100_000 + ": 1\n",
        "nul": b"\x00" * 1000,
        "nul-inside": b"model: x\x00\ninstructions: y\n",
        "latin-1": b"\xff" * 1000,
        "truncated-utf8": b"model: \xf0\x9f\x98",
        "overlong-utf8": b"model: \xc0\xaf\n",
        "surrogate-utf8": b"model: \xed\xa0\x80\n",
        "beyond-unicode": b"model: \xf5\x80\x80\x80\n",
        "utf-16": "model: x\n".encode("utf-16"),
        "utf-16-be-no-mark": "model: x\n".encode("utf-16-be"),
        "utf-32": "model: x\n".encode("utf-32"),
        "utf-32-be": b"\x00\x00\xfe\xff" + "model: x\n".encode("utf-32-be"),
        "utf-7": b"+AG0-odel: x\n",
        "gzip": b"\x1f\x8b\x08\x00" + bytes(range(256)) * 4,
        "elf": b"\x7fELF" + bytes(range(256)) * 4,
        "png": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
        "carriage-returns": "model: x\rinstructions: y\rcolour: red\r",
        "line-ends-mixed": "model: x\r\n\rinstructions: y\n\r\ncolour: red\n\r",
        "empty": "",
        "only-null": "~",
        "only-true": "true",
        "only-end": "...",
        "too-large": "x" * 2_000_000,
        "just-under": "model: x\ninstructions: |\n" + "  x\n" * 249_000,
        "html": "<html>" + "<div>" * 20_000,
        "json-broken": '{"model": "x", "instructions": "y",, }',
        "json-deep": '{"a":' * 50_000 + "1" + "}" * 50_000,
        "toml": '[agent]\nmodel = "x"\n',
        "merge-conflict": "<<<<<<< HEAD\nmodel: x\n=======\nmodel: y\n>>>>>>> b\n",
    }  # fmt: skip


def _fields() -> dict[str, Content]:
    secret = "eyJ-" * 200_000
    return {
        "references-unclosed": "a: ${" * 50_000,
        "references-nested": "model: " + "${env." * 20_000 + "}" * 20_000 + "\ninstructions: x\n",
        "references-many": "model: x\ninstructions: '" + "${env.A}" * 20_000 + "'\n",
        "references-defaults": "model: '" + "${env.A:-" * 20_000 + "x" + "}" * 20_000
        + "'\ninstructions: x\n",
        "references-dollars": "model: '" + "$" * 900_000 + "'\ninstructions: x\n",
        "references-escaped": "model: '" + "$${" * 200_000 + "'\ninstructions: x\n",
        "reference-long": "model: ${env." + "A" * 500_000 + "}\ninstructions: x\n",
        "reference-kinds": "model: x\ninstructions: '"
        + "".join(f"${{k{n}.x}}" for n in range(4000)) + "'\n",
        "like-secrets": "model: {name: x, api_key: '" + secret + "'}\ninstructions: x\ncolour: 1\n",
        "like-named-secrets": "model: x\ninstructions: x\ncolour: '" + "password=" * 90_000 + "'\n",
        "like-bearer": "model: x\ninstructions: x\ncolour: 'token:" + " " * 9000 + "bearer'\n",
        "servers-wrong": "model: x\ninstructions: hi\nmcp_servers: {"
        + "".join(f"s{n}: {{url: x, urll: y}}, " for n in range(900)) + "}",
        "servers-named": "model: x\ninstructions: hi\nmcp_servers: {'" + "s" * 900 + "': {url: x}}",
        "server-url-long": "model: x\ninstructions: hi\nmcp_servers: {s: {url: 'http://"
        + "a." * 200_000 + "'}}",
        "server-url-odd": "model: x\ninstructions: hi\nmcp_servers: {s: {url: 'http://[::1'},"
        " t: {url: 'http://a:99999999999'}, u: {url: 'http://\\'}, v: {url: 'http://%'}}",
        "server-globs": "model: x\ninstructions: hi\nmcp_servers: {s: {url: 'http://x', tools: "
        "{include: ['" + "*a" * 50_000 + "', '" + "[" * 5000 + "']}}}\ncolour: 1\n",
        "server-headers": "model: x\ninstructions: hi\nmcp_servers: {s: {url: 'http://x', headers: "
        '{"a\\r\\nb": "c\\r\\nd"}}}\ncolour: 1\n',
        "server-env": "model: x\ninstructions: hi\nmcp_servers: {s: {command: 'a\0b', env: {"
        "'A=B': c}}}",
        "variables-many": "model: x\ninstructions: {text: '{{ a }}', variables: {"
        + "".join(f"v{n}: 1, " for n in range(3000)) + "}}",
        "variables-odd": "model: x\ninstructions: {text: '{{ a }}', variables: {__class__: 1,"
        " class: 1, 'a b': 1, '': 1, self: 1, ªº: 1}}",
        "extra-deep": "model: {name: x, settings: {extra: " + "{a: " * 60 + "1" + "}" * 60
        + "}}\ninstructions: hi\n",
        "extra-wide": "model: {name: x, settings: {extra: {"
        + ", ".join(f"k{n}: 1" for n in range(4900)) + "}}}\ninstructions: hi\ncolour: 1\n",
        "skills-many": "model: x\ninstructions: hi\nskills: [" + "a, " * 3000 + "]",
        "skills-odd": "model: x\ninstructions: hi\nskills: [.., ., /, /etc, '../..', 'a/../..', '',"
        ' "a\\0b", ' + "x" * 5000 + ", '~', '*', -, {name: {}}]",
        "prompt-path-long": "model: x\ninstructions: {file: " + "p/" * 300_000 + "}",
        "prompt-path-up": "model: x\ninstructions: {file: " + "../" * 200 + "etc/passwd}",
        "prompt-path-root": "model: x\ninstructions: {file: /etc/passwd}",
        "prompt-path-nul": 'model: x\ninstructions: {file: "a\\0b"}',
        "prompt-path-surrogate": 'model: x\ninstructions: {file: "\\ud800"}',
        "prompt-path-unicode": "model: x\ninstructions: {file: '" + "é" * 300 + "'}",
        "prompt-path-name": "model: x\ninstructions: {file: " + "n" * 300 + "}",
        "prompt-path-itself": "model: x\ninstructions: {file: agents/a.yaml}\ncolour: 1\n",
        "prompt-path-proc": "model: x\ninstructions: {file: /proc/self/environ}",
        "name-odd": "name: ../../etc\n" + MINIMAL,
        "name-long": "name: " + "a-" * 100_000 + "a\n" + MINIMAL,
        "name-hyphens": "name: " + "-" * 20 + "\n" + MINIMAL,
        "description-long": "description: " + "d" * 500_000 + "\n" + MINIMAL,
        "model-long": "model: " + "a/" * 200_000 + "\ninstructions: hi\ncolour: 1\n",
    }  # fmt: skip


def _prompts() -> dict[str, Content]:
    bars = "{{ a" + "|upper" * 15_000 + " }}"
    return {
        "names": "".join(f"{{{{ v{n} }}}}" for n in range(12_000)),
        "one-name": "{{ a }}" * 18_000,
        "delimiters": "{{" * 50_000,
        "delimiters-of-blocks": "{%" * 50_000,
        "delimiters-closed": "}}" * 50_000,
        "parentheses": "{{ " + "(" * 20_000,
        "parentheses-closed": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
        "lists": "{{ " + "[" * 20_000 + " }}",
        "dicts": "{{ " + "{1:" * 20_000 + " }}",
        "dots": "{{ " + "a." * 40_000 + "b }}",
        "subscripts": "{{ a" + "[0]" * 30_000 + " }}",
        "calls": "{{ a" + "()" * 30_000 + " }}",
        "filters": bars,
        "filters-unknown": "{{ a" + "|b" * 30_000 + " }}",
        "filters-many": "".join(f"{{{{ a|f{n} }}}}" for n in range(8000)),
        "tests": "{{ a" + " is defined" * 8000 + " }}",
        "nots": "{{ " + "not " * 20_000 + "a }}",
        "minuses": "{{ " + "-" * 100_000 + "1 }}",
        "sums": "{{ 1" + "+1" * 50_000 + " }}",
        "powers": "{{ 9" + "**9" * 5000 + " }}",
        "comparisons": "{{ 1" + "<1" * 50_000 + " }}",
        "ands": "{{ a" + " and a" * 15_000 + " }}",
        "concatenations": "{{ 'a'" + "~'a'" * 20_000 + " }}",
        "ternaries": "{{ " + "a if a else " * 8000 + "a }}",
        "raws": "{% raw %}" * 10_000,
        "ifs": "{% if a %}" * 10_000,
        "ifs-closed": "{% if a %}" * 3000 + "{% endif %}" * 3000,
        "elifs": "{% if a %}" + "{% elif a %}" * 8000 + "{% endif %}",
        "fors": "{% for a in a %}" * 8000,
        "fors-closed": "{% for a in b %}" * 20 + "{% endfor %}" * 20,
        "withs": "{% with a=1 %}" * 8000,
        "sets": "{% set a = b %}" * 8000,
        "whitespace-control": "{%- if a -%}" * 5000,
        "blanks": "{{" + " " * 120_000 + "}}",
        "newlines": "{{ a }}" + "\n" * 100_000 + "{% if %}",
        "comments": "{# " * 10_000,
        "comments-closed": "{# #}" * 20_000,
        "string-unclosed": "{{ '" + "x" * 100_000,
        "string-long": "{{ '" + "x" * 120_000 + "' }}",
        "string-escapes": "{{ '" + "\\x" * 40_000 + "' }}",
        "string-escape-bad": "{{ '\\N{NO SUCH NAME}' }}{{ '\\ud800' }}",
        "strings": "{{ " + "'a' " * 25_000 + "}}",
        "integer-long": "{{ " + "9" * 100_000 + " }}",
        "integer-5000": "{{ " + "9" * 5000 + " }}",
        "integer-hex": "{{ 0x" + "f" * 100_000 + " }}",
        "integer-underscores": "{{ 1" + "_1" * 50_000 + " }}",
        "float-long": "{{ 1." + "9" * 100_000 + "e99999 }}",
        "float-infinite": "{{ 1e999999 }}{{ b }}",
        "identifier-long": "{{ " + "a" * 100_000 + " }}",
        "identifier-unicode": "{{ \U0001d4ea }}{{ ª }}{{ ﬁ }}{{ µ }}",
        "identifier-combining": "{{ a" + "\u0301" * 50_000 + " }}",
        "argument-twice": "{{ 'a'.strip(x=1, x=2) }}{{ 'a'|replace(old='a', old='b') }}",
        "operand-deep": "{{ " + "(1<" * 40 + "1" + ")" * 40 + " }}",
        "arguments": "{{ a(" + "1," * 20_000 + ") }}",
        "arguments-named": "{{ a(" + ",".join(f"a{n}=1" for n in range(10_000)) + ") }}",
        "stars": "{{ a(*b, **c) }}",
        "assign-loop": "{% for loop in a %}{% endfor %}",
        "assign-attribute": "{% set a.b = 1 %}",
        "assign-none": "{% set none = 1 %}{% set true = 2 %}",
        "assign-self": "{% set self = 1 %}{{ self }}{{ context }}{{ environment }}",
        "statements": "{% block a %}{% endblock %}{% macro b() %}{% endmacro %}{% call b() %}"
        "{% endcall %}{% extends 'x' %}{% import 'x' as y %}{% from 'x' import y %}"
        "{% filter upper %}{% endfilter %}",
        "statements-of-extensions": "{% do a %}{% trans %}{% endtrans %}{% debug %}{% break %}",
        "autoescape": "{% autoescape true %}{{ a }}{% endautoescape %}",
        "walks": "{{ ''.__class__.__mro__[1].__subclasses__() }}{{ a.__init__.__globals__ }}"
        "{{ ''['__class__'] }}{{ self.__init__ }}{{ ''|attr('__class__') }}"
        "{{ a|map(attribute='__class__')|list }}{{ cycler.__init__ }}{{ lipsum.__globals__ }}",
        "recursive-loop": "{% for a in b recursive %}{{ loop(a) }}{% endfor %}",
        "include-itself": "{% include 'p.md' %}",
        "include-many": "{% include 'q.md' %}" * 5000,
        "include-missing": "".join(f"{{% include 'm{n}.md' %}}" for n in range(4000)),
        "include-list": "{% include ['a', 'b'] %}",
        "include-up": "{% include '../databricks.yml' %}{% include '/etc/passwd' %}",
        "include-long": "{% include '" + "x" * 100_000 + "' %}",
        "include-nul": "{% include 'a\\0b' %}",
        "include-computed": "{% include a ~ b %}",
        "line-statements": "# for a in b\n## x\n{{ c }}",
        "windows-1252": b"{{ a }} \x93quoted\x94",
        "utf-16": "{{ a }}".encode("utf-16"),
        "nul": b"{{ a }}\x00{{ b }}",
        "too-large": "x" * 200_000,
        "byte-order-mark": b"\xef\xbb\xbf{{ a }}",
        "blank": " \n\t\r\n ",
        "empty": "",
    }  # fmt: skip


def _rendered() -> dict[str, str]:
    """Prompts that pass: rendering them has to stop or fail, or give a small text."""
    numbers = "{% set n = [" + "1," * 1000 + "] %}"
    return {
        "loops": numbers + "{% for a in n %}{% for b in n %}{% for c in n %}x{% endfor %}"
        "{% endfor %}{% endfor %}",
        "loops-silent": numbers + "{% for a in n %}{% for b in n %}{% for c in n %}{% set d = a %}"
        "{% endfor %}{% endfor %}{% endfor %}",
        "loop-over-text": "{% for a in 'a' * 60000 %}{% for b in 'b' * 60000 %}{% endfor %}"
        "{% endfor %}",
        "loop-filtered": numbers + "{% for a in n if a > 1 %}{% for b in n if b %}{% endfor %}"
        "{% endfor %}" * 2,
        "times": "{{ 'a' * 10**9 }}",
        "times-list": "{{ [1] * 10**9 }}",
        "times-chain": "{{ 'a'" + " * 9999" * 12 + " }}",
        "power": "{{ 9 ** 9 ** 9 ** 9 }}",
        "power-negative": "{{ 2 ** -(9 ** 9) }}",
        "power-float": "{{ 9.0 ** 9999 }}",
        "shift": "{{ 2 ** 4000 * 2 ** 4000 }}",
        "doubling": "{% set a = 'x' * 60000 %}" + "{% set a = a ~ a %}" * 40 + "{{ a }}",
        "doubling-plus": "{% set a = 'x' * 60000 %}" + "{% set a = a + a %}" * 40 + "{{ a }}",
        "doubling-list": "{% set a = [1] %}" + "{% set a = [a, a] %}" * 40 + "{{ a }}",
        "doubling-dict": "{% set a = {} %}" + "{% set a = {'a': a, 'b': a} %}" * 40 + "{{ a }}",
        "doubling-compared": "{% set a = [1] %}{% set b = [1] %}"
        + "{% set a = [a, a] %}{% set b = [b, b] %}" * 40 + "{{ a == b }}",
        "doubling-json": "{% set a = [1] %}" + "{% set a = [a, a] %}" * 40 + "{{ a|tojson }}",
        "doubling-string": "{% set a = [1] %}" + "{% set a = [a, a] %}" * 40 + "{{ a|string }}",
        "doubling-length": "{% set a = [1] %}" + "{% set a = a + a %}" * 60 + "{{ a|length }}",
        "replace": "{{ ('a' * 30000)|replace('a', 'b' * 30000) }}",
        "replace-empty": "{{ ('a' * 60000)|replace('', 'b' * 60000) }}",
        "join": "{{ ('a' * 60000)|join('b' * 60000) }}",
        "join-attribute": "{{ [{'a': 'x' * 60000}] * 1000 | join(attribute='a') }}",
        "urlencode": "{{ ('\u20ac' * 60000)|urlencode }}",
        "escape": "{{ ('<' * 60000)|escape|escape|escape }}",
        "title": "{{ ('a ' * 30000)|title|upper|lower|capitalize|trim|wordcount }}",
        "truncate": "{{ ('a' * 60000)|truncate(10**18, true, 'x' * 60000) }}",
        "sort": "{{ ('ab' * 30000)|sort|reverse|unique|list|length }}" * 50,
        "sort-many": "{% for a in 'ab' * 30000 %}{{ ('ab' * 30000)|sort|length }}{% endfor %}",
        "sum": "{{ ['a' * 60000] * 1000 | sum(start='') }}",
        "sum-lists": "{% set a = [['x'] * 1000] * 60 %}{{ a|sum(start=[])|sum(start='')|length }}",
        "map": "{{ ('a' * 60000)|map('upper')|map('lower')|list|length }}",
        "map-replace": "{{ ('a' * 60000)|map('replace', 'a', 'b' * 60000)|list|length }}",
        "map-of-joins": "{{ ('a' * 6000)|map('list')|map('join', 'b' * 6000)|list|length }}",
        "round": "{{ 1.5|round(10**9) }}{{ 1|round(-(10**9)) }}",
        "int": "{{ ('9' * 60000)|int }}",
        "int-base": "{{ ('f' * 60000)|int(0, 16) }}",
        "float": "{{ ('9' * 60000)|float }}",
        "max": "{{ ('a' * 60000)|max }}{{ ('a' * 60000)|min }}" * 30,
        "dictsort": "{{ {}|dictsort }}{{ {'a': 1, 2: 3}|dictsort }}",
        "format": "{{ '%' ~ '9' * 9 ~ 's' }}{{ ('%0' ~ '9' * 9 ~ 'd') % 1 }}",
        "format-method": "{{ '{0.__class__}'.format(1) }}",
        "format-map": "{{ '{a}'.format_map({}) }}",
        "center": "{{ 'a'.center(10**9) }}",
        "zfill": "{{ 'a'.zfill(10**9) }}{{ 'a'.ljust(10**9) }}{{ 'a\t'.expandtabs(10**9) }}",
        "split": "{{ ('a ' * 30000).split() * 30000 }}",
        "split-loops": "{% for a in ('a ' * 30000).split() %}{% for b in ('a ' * 30000).split() %}"
        "{% endfor %}{% endfor %}",
        "count": "{% for a in 'a' * 60000 %}{{ ('a' * 60000).count('a' * 30000 ~ 'b') }}"
        "{% endfor %}",
        "find": "{% for a in 'a' * 60000 %}{{ ('a' * 60000).find('a' * 30000 ~ 'b') }}{% endfor %}",
        "in": "{% for a in 'a' * 60000 %}{{ 'b' in 'a' * 60000 }}{% endfor %}",
        "encode": "{{ 'a'.encode('zip') }}",
        "translate": "{{ 'a'.translate({97: 'b' * 60000}) }}",
        "update": "{{ {}.update(a=1) }}{{ [].append(1) }}",
        "dict-keys": "{% for a in {'a': 1}.items() %}{{ a.__class__ }}{% endfor %}",
        "loop-attributes": "{% for a in [1] %}{{ loop.__init__ }}{{ loop._iterator }}{% endfor %}",
        "loop-called": "{% for a in [1] %}{{ loop(a) }}{% endfor %}",
        "loop-cycle": "{% for a in 'a' * 60000 %}{{ loop.cycle('b' * 60000, 'c') }}{% endfor %}",
        "loop-changed": "{% for a in 'a' * 60000 %}{{ loop.changed('b' * 60000) }}{% endfor %}",
        "zero": "{{ 1 / 0 }}",
        "modulo": "{{ 1 % 0 }}{{ 2 ** 4000 % 3 }}",
        "slice": "{{ ('a' * 60000)[::-1][0:10**9] * 60000 }}",
        "slice-huge": "{{ 'abc'[10**99:] }}{{ [1][-(10**99)] }}",
        "compare-kinds": "{{ 'a' < 1 }}",
        "add-kinds": "{{ 'a' + 1 }}",
        "undefined": "{{ [].x.y.z }}",
        "select": "{{ ('a' * 60000)|select('in', 'b' * 60000)|list|length }}" * 30,
        "rejectattr": "{{ [{}]|rejectattr('__class__')|list }}",
        "selectattr": "{{ [{'a': {'b': 1}}]|selectattr('a.b.__class__', 'defined')|list }}",
        "map-attribute": "{{ ['a']|map(attribute='__class__.__mro__')|list }}",
        "default": "{{ ''['__class__']|default('x' * 60000) }}" * 2,
        "test-in": "{{ ('a' * 60000) is in ('b' * 60000) }}" * 100,
        "test-divisible": "{{ 1 is divisibleby 0 }}",
        "test-filter": "{{ 'x' is filter }}{{ 'x' is test }}{{ 'x' is callable }}",
        "huge-power-string": "{{ (2 ** 4000)|string * 1000 }}",
        "namespace": "{% set ns = {'a': 1} %}{% for a in 'a' * 60000 %}{% set ns = {'a': ns} %}"
        "{% endfor %}{{ ns }}",
    }  # fmt: skip


def _skills() -> dict[str, Content]:
    def front(fields: str) -> str:
        return f"---\n{fields}\n---\nBody.\n"

    return {
        "bracket-bomb": front("name: " + "[" * 50_000),
        "brace-bomb": front("name: s\ndescription: " + "{a: " * 20_000),
        "alias-bomb": front(
            "description: &a [x]\n"
            + "".join(f"a{n}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20))
        ),
        "alias-chain": front("\n".join(_yaml()["alias-chain-of-lists"].split("\n"))),  # type: ignore[arg-type]
        "keys": front("description: x\n" + "".join(f"k{n}: b\n" for n in range(9000))),
        "colons": front("description: " + "a: " * 20_000),
        "quotes": front("description: " + "'" * 60_000),
        "quote-fix": front("\n".join(f"k{n}: a: b" for n in range(6000))),
        "tabs": front("\tname:\ts\n\tdescription:\tx"),
        "fences": "---\n" * 100_000,
        "no-end": "---\nname: s\ndescription: x\n" * 20_000,
        "one-line": "---" + "x" * 900_000,
        "tags": front("name: !!python/object/apply:os.system [x]\ndescription: {}"),
        "nul": b"---\nname: s\x00\ndescription: \x00\n---\n",
        "utf-16": front("name: s\ndescription: x").encode("utf-16"),
        "latin-1": front("name: s\ndescription: gr\u00fcn").encode("latin-1"),
        "description-list": front("description: [" + "x, " * 10_000 + "]"),
        "too-large": front("description: x") + "x" * 2_000_000,
        "empty": "",
        "only-fence": "---",
        "binary": bytes(range(256)) * 1000,
    }


def _bundles() -> dict[str, Content]:
    big = "".join(f"  v{n}: {{default: '${{var.v{n + 1}}}${{var.v{n + 1}}}'}}\n" for n in range(60))
    return {
        "doubling": f"variables:\n  a: {{default: '${{var.v0}}'}}\n{big}",
        "wide-doubling": "variables:\n  a: {default: '" + "${var.b}" * 3000 + "'}\n  b: {default: '"
        + "${var.c}" * 3000 + "'}\n  c: {default: " + "x" * 3000 + "}\n",
        "itself": "variables: {a: {default: '${var.a}'}}",
        "ring": "variables: {a: {default: '${var.b}'}, b: {default: '${var.a}${var.a}'}}",
        "lists": "[" * 100_000,
        "include-all": "include: ['*', '*/*', '*/*/*', '../*', '/*', '**/*', '[', '~/*']",
        "include-many": "include: [" + "'*.yml', " * 3000 + "]",
        "include-itself": "include: [databricks.yml]",
        "include-kinds": "include: {a: 1}\nvariables: [a]\ntargets: x",
        "kinds": "variables: {a: {default: [1, {b: 2}], lookup: {c: d}}}\ntargets: {dev: null}",
        "tags": "variables: {a: !!python/object/apply:os.system ['true']}",
        "utf-16": "variables: {a: 1}".encode("utf-16"),
        "latin-1": b"variables: {a: {default: \xff}}",
        "nul": b"variables: {a: {default: '\x00'}}",
        "laughs": _yaml()["laughs"],
        "chain": _yaml()["alias-chain-of-maps"],
        "keys": _yaml()["keys-4000"],
        "long-default": "variables: {a: {default: " + "x" * 900_000 + "}}",
    }  # fmt: skip


def _folders() -> dict[str, Case]:
    agent = {"agents/a.yaml": MINIMAL}
    prompt = "model: x\ninstructions: {file: prompts/p.md}\n"
    with_skill = {"agents/a.yaml": MINIMAL + "skills: [s]\n"}
    good = "---\nname: s\ndescription: x\n---\n"
    made: dict[str, Case] = {}
    for kind, place in NO_FILES.items():
        made[f"agent-is-{kind}"] = Case(agent, {"agents/b.yaml": place})
        made[f"prompt-is-{kind}"] = Case({"agents/a.yaml": prompt}, {"prompts/p.md": place})
        made[f"include-is-{kind}"] = Case(
            {"agents/a.yaml": prompt, "prompts/p.md": "{% include 'q.md' %}"},
            {"prompts/q.md": place},
        )
        made[f"manifest-is-{kind}"] = Case(with_skill, {"skills/s/SKILL.md": place})
        made[f"skill-is-{kind}"] = Case(with_skill, {"skills/s": place})
        made[f"skill-holds-{kind}"] = Case(
            {**with_skill, "skills/s/SKILL.md": good}, {"skills/s/b/x": place}, silent=True
        )
        made[f"settings-are-{kind}"] = Case(agent, {"retinue.yaml": place}, silent=True)
        made[f"base-is-{kind}"] = Case(
            {"agents/a.yaml": "extends: [base.yaml]\n" + MINIMAL}, {"base.yaml": place}
        )
        made[f"bundle-is-{kind}"] = Case(agent, {"databricks.yml": place}, silent=True)
    made["skill-holds-links"] = Case(
        {**with_skill, "skills/s/SKILL.md": good}, {"skills/s/links": _many_links}
    )
    made["skill-is-deep"] = Case(
        {**with_skill, "skills/s/SKILL.md": good, "skills/s/" + "d/" * 120 + "x": "x"}
    )
    made["settings-too-large"] = Case({**agent, "retinue.yaml": "x" * 2_000_000})
    made["base-too-large"] = Case(
        {"agents/a.yaml": "extends: [base.yaml]\n" + MINIMAL, "base.yaml": "x" * 2_000_000}
    )
    made["bases-in-a-mesh"] = Case(_mesh(32, 600))
    made["sub-agents-in-a-chain"] = Case(
        {f"agents/n{n}.yaml": MINIMAL + f"sub_agents: [n{n + 1}]\n" for n in range(700)}
    )
    made["sub-agents-in-a-ring"] = Case(
        {f"agents/n{n}.yaml": MINIMAL + f"sub_agents: [n{(n + 1) % 400}]\n" for n in range(400)}
    )
    variables = "".join(f"  v{n}: '${{env.UNSET_{n}}}'\n" for n in range(1500))
    made["settings-with-many-unset"] = Case({**agent, "retinue.yaml": "variables:\n" + variables})
    made["prompt-with-nul"] = Case({"agents/a.yaml": prompt, "prompts/p.md": "Hi\0"})
    made["description-with-nul"] = Case(
        {"agents/a.yaml": MINIMAL + "description: {file: d.txt}\n", "d.txt": "a\n\0"}
    )
    made["names-that-lie"] = Case(
        {f"agents/{name}.yaml": MINIMAL for name in ("a\nb", "\x1b[31m", "\u202e", " ")}
    )
    made["skills-is-file"] = Case({**with_skill, "skills": "x"})
    made["prompts-is-file"] = Case({"agents/a.yaml": prompt, "prompts": "x"})
    return made


def _mesh(files: int, keys: int) -> dict[str, Content]:
    """Each file extends all that come after it, and holds keys of its own."""
    made: dict[str, Content] = {"agents/a.yaml": "extends: p0.yaml\n" + MINIMAL}
    for number in range(files):
        below = ", ".join(f"p{n}.yaml" for n in range(number + 1, files))
        extra = ", ".join(f"k{number}x{n}: 1" for n in range(keys))
        made[f"p{number}.yaml"] = (
            f"extends: [{below}]\nmodel: {{settings: {{extra: {{{extra}}}}}}}\n"
        )
    return made


def _includes() -> dict[str, Case]:
    agent = {"agents/a.yaml": "model: x\ninstructions: {file: prompts/p0.md}\n"}
    chain = {f"prompts/p{n}.md": f"{{% include 'p{n + 1}.md' %}}" for n in range(150)}
    fork = {f"prompts/p{n}.md": f"{{% include 'p{n + 1}.md' %}}" * 2 for n in range(40)}
    ring = {f"prompts/p{n}.md": f"{{% include 'p{(n + 1) % 90}.md' %}}" for n in range(90)}
    wide = {f"prompts/q{n}.md": "x" * 1000 + "{{ a }}" for n in range(300)}
    wide["prompts/p0.md"] = "".join(f"{{% include 'q{n}.md' %}}" for n in range(300))
    return {
        "chain": Case({**agent, **chain}),
        "fork": Case({**agent, **fork}),
        "ring": Case({**agent, **ring}),
        "wide": Case({**agent, **wide}),
    }


# Odd, and nevertheless what their authors may have meant.
_SILENT = frozenset(
    {
        "bundle/long-default",
        "bundle/nul",
        "fields/extra-deep",
        "fields/references-dollars",
        "fields/server-url-long",
        "fields/server-url-odd",
        "prompt/delimiters-closed",
        "prompt/string-long",
        "skill/no-end",
        "yaml/escape-nul",
        "yaml/scalar-long",
    }
)


def cases() -> dict[str, Case]:
    """Every project by `kind/name`."""
    prompt = "model: x\ninstructions: {file: prompts/p.md}\n"
    skill = MINIMAL + "skills: [s]\n"
    uses = "model: x\ninstructions: a\nmcp_servers: {s: {url: 'https://${var.a}'}}\n"
    files: dict[str, Mapping[str, Content]] = {}
    files |= {f"yaml/{k}": {"agents/a.yaml": v} for k, v in _yaml().items()}
    files |= {f"fields/{k}": {"agents/a.yaml": v} for k, v in _fields().items()}
    for kind, prompts in (("prompt", _prompts()), ("rendered", _rendered())):
        files |= {
            f"{kind}/{k}": {"agents/a.yaml": prompt, "prompts/p.md": v, "prompts/q.md": "{{ q }}"}
            for k, v in prompts.items()
        }
    files |= {f"skill/{k}": {"agents/a.yaml": skill, "skills/s/SKILL.md": v}
              for k, v in _skills().items()}  # fmt: skip
    files |= {f"bundle/{k}": {"agents/a.yaml": uses, "databricks.yml": v}
              for k, v in _bundles().items()}  # fmt: skip
    made = {name: Case(f, silent=name in _SILENT or name.startswith("rendered/"))
            for name, f in files.items()}  # fmt: skip
    made |= {f"folder/{k}": case for k, case in _folders().items()}
    return made | {f"includes/{k}": case for k, case in _includes().items()}
