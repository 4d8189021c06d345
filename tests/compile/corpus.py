"""Skill folders like the public ones: their violations and oddities, in their proportions.

The weights count how many of 5,063 public folders are so; what is rarer is there at least once.
"""

import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

Content = str | bytes
Place = Callable[[Path], object]
Made = Mapping[str, Content | Place]

_WORDS = (
    *("analyse", "review", "write", "the", "tables", "of", "a", "report", "when", "users"),
    *("charts", "dashboards", "schedules", "migrations", "prompts", "and", "data", "tests"),
)
_FIELDS = (
    "requires:\n  bins: [jq, curl]", "version: 1.2.0", "homepage: https://example.com/a?b=c#d",
    "author: Someone <someone@example.com>", "triggers:\n  - build it\n  - 'ship it'",
    "user-invocable: true", "argument-hint: '[file]'", "model: opus", "tags: [a, b, c]",
    "disable-model-invocation: no", "category: data", "emoji: \U0001f4ca", "context: fork",
    "install: {brew: jq, apt: [jq]}", "hooks:\n  PreToolUse:\n    - matcher: Bash",
)  # fmt: skip


@dataclass(frozen=True)
class Folder:
    """A skill's folder. `expected` is the code of its error, or None where it loads; `warned` are
    codes that its warnings have.
    """

    name: str
    kind: str
    files: Made
    expected: str | None
    warned: frozenset[str]

    def make(self, root: Path) -> None:
        for path, content in self.files.items():
            place = root / self.name / path
            place.parent.mkdir(parents=True, exist_ok=True)
            if callable(content):
                content(place)
            else:
                place.write_bytes(content.encode() if isinstance(content, str) else content)


@dataclass(frozen=True)
class _Kind:
    weight: int
    make: Callable[[random.Random, str], Made]
    expected: str | None = None
    warned: str = ""
    folder: str = "{}"
    """The pattern of the folder's name."""


def corpus(count: int, seed: int = 1) -> list[Folder]:
    """`count` folders, at least one of each kind; the same for the same numbers."""
    rng = random.Random(seed)
    kinds = [*_KINDS.items()]
    chosen = kinds + rng.choices(kinds, [kind.weight for _, kind in kinds], k=count - len(kinds))
    return [_folder(rng, number, *named) for number, named in enumerate(chosen)]


def _folder(rng: random.Random, number: int, kind: str, how: _Kind) -> Folder:
    name = how.folder.format(f"{rng.choice(_WORDS)}-{number}")
    files = {**_extras(rng), **how.make(rng, name)}
    return Folder(name, kind, files, how.expected, frozenset(how.warned.split()))


def _extras(rng: random.Random) -> dict[str, Content | Place]:
    """Scripts and references beside SKILL.md, as many folders have them."""
    paths = ("scripts/run.py", "scripts/run.sh", "references/api.md", "assets/a.svg", "src/x.ts",
             "README.md", "LICENSE.txt", "templates/t.html", ".gitignore", "lib/.keep")  # fmt: skip
    return {path: "x" * rng.randrange(200) for path in rng.sample(paths, rng.randrange(4))}


def _text(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(_WORDS, k=words)).capitalize() + "."


def _skill(fields: str, body: str = "\n# Title\n\nDo it.\n\n---\n\nMore.\n") -> Made:
    return {"SKILL.md": f"---\n{fields}\n---\n{body}"}


def _described(rng: random.Random, name: str, more: str = "") -> str:
    return f"name: {name}\ndescription: {_text(rng, rng.randrange(6, 40))}\n{more}".rstrip("\n")


def _with(more: str) -> Callable[[random.Random, str], Made]:
    """A good skill with more frontmatter."""
    return lambda rng, name: _skill(_described(rng, name, more))


def _value(text: str) -> Callable[[random.Random, str], Made]:
    """A skill whose description is written so."""
    return lambda _, name: _skill(f"name: {name}\ndescription: {text}")


def _named(name: str) -> Callable[[random.Random, str], Made]:
    return lambda rng, given: _skill(_described(rng, name.format(given)))


def _raw(content: Content) -> Callable[[random.Random, str], Made]:
    return lambda *_: {"SKILL.md": content}


def _unknown(rng: random.Random, name: str) -> Made:
    return _skill(_described(rng, name, "\n".join(rng.sample(_FIELDS, rng.randrange(1, 5)))))


def _long(rng: random.Random, name: str) -> Made:
    body = "\n".join(_text(rng, 8) for _ in range(rng.randrange(500, 1200)))
    return _skill(_described(rng, name), body)


def _changed(change: Callable[[str], Content]) -> Callable[[random.Random, str], Made]:
    """A good skill whose whole text is changed."""
    return lambda rng, name: {"SKILL.md": change(str(_skill(_described(rng, name))["SKILL.md"]))}


def _and(more: Made) -> Callable[[random.Random, str], Made]:
    """A good skill with more files."""
    return lambda rng, name: {**_skill(_described(rng, name)), **more}


def _at(path: str) -> Callable[[random.Random, str], Made]:
    return lambda rng, name: {path: _skill(_described(rng, name))["SKILL.md"]}


def _linked(rng: random.Random, name: str) -> Made:
    return {"real.md": _skill(_described(rng, name))["SKILL.md"], "SKILL.md": _link("real.md")}


def _link(target: str) -> Place:
    return lambda path: path.symlink_to(target)


_ARABIC = "\u202b\u062a\u0642\u0631\u064a\u0631\u202c \u200f\u200e"
_NOT_ASCII = {
    "assets/\u56fe\u8868.svg": "x",
    "references/\u00e9t\u00e9.md": "x",
    "a/\U0001f600": "x",
}
_KINDS: dict[str, _Kind] = {
    "clean": _Kind(1900, lambda rng, name: _skill(_described(rng, name))),
    "license": _Kind(100, _with("license: Apache-2.0\ncompatibility: needs git")),
    "tools": _Kind(91, _with("allowed-tools: Bash(git:*) Read Write")),
    "unknown-fields": _Kind(2067, _unknown, warned="skill-field"),
    "metadata": _Kind(300, _with('metadata:\n  author: x\n  version: "1.0"')),
    "metadata-kinds": _Kind(300,
        _with("metadata:\n  version: 1.0\n  public: yes\n  on: 2026-01-02")),
    "metadata-nested": _Kind(
        600, _with("metadata: {openclaw: {emoji: x, requires: {bins: [jq]}}}"), warned="skill-field"
    ),
    "metadata-text": _Kind(5, _with("metadata: none"), warned="skill-field"),
    "metadata-json": _Kind(53,
        _with('metadata:\n  {\n    "a": { "b": ["c"] },\n  }'), None, "skill-field"),
    "other-name": _Kind(655, _named("another-{}"), warned="skill-name"),
    "name-upper-case": _Kind(60, _named("{}-UP"), warned="skill-name"),
    "name-with-spaces": _Kind(60, _named("My skill {}"), warned="skill-name"),
    "name-with-underscores": _Kind(40, _named("my_{}"), warned="skill-name"),
    "name-too-long": _Kind(1, _named("n" * 65), warned="skill-name"),
    "name-missing": _Kind(7,
        lambda rng, _: _skill(f"description: {_text(rng, 9)}"), None, "skill-name"),
    "name-a-number": _Kind(1, _named("2026"), warned="skill-name"),
    "name-a-list": _Kind(1, _named("[a, b]"), "skill-name"),
    "folder-with-spaces": _Kind(5, _named("{}"), warned="skill-name", folder="My {} skill"),
    "folder-upper-case": _Kind(5, _named("{}"), warned="skill-name", folder="UP-{}"),
    "folder-not-ascii": _Kind(1, _named("{}"), warned="skill-name", folder="\u5206\u6790-{}"),
    "skill.md": _Kind(20, _at("skill.md"), warned="skill-file-name"),
    "Skill.md": _Kind(15, _at("Skill.md"), warned="skill-file-name"),
    "tools-a-list": _Kind(31, _with("allowed-tools:\n  - Bash\n  - Read"), warned="skill-field"),
    "tools-flow": _Kind(10, _with("allowed-tools: [Bash, Read]"), warned="skill-field"),
    "tools-with-commas": _Kind(61, _with("allowed-tools: Bash, Read, Write"), warned="skill-field"),
    "compatibility-long": _Kind(1, _with("compatibility: " + "x" * 501), warned="skill-field"),
    "description-long": _Kind(2, lambda rng, name: _skill(
        f"name: {name}\ndescription: {_text(rng, 400)}"), warned="skill-description"),
    "description-missing": _Kind(1,
        lambda _, name: _skill(f"name: {name}"), "skill-without-description"),
    "description-empty": _Kind(1, _value(""), "skill-without-description"),
    "description-a-list": _Kind(1, _value("[a, b]"), "skill-without-description"),
    "description-a-map": _Kind(1, _value("{a: b}"), "skill-without-description"),
    "folded": _Kind(50, _value(">-\n  One line\n  and another: with a colon.\n\n  A paragraph.")),
    "literal": _Kind(40, _value("|\n  One line\n  ---\n  and - another: 'quoted\"\n")),
    "plain-over-lines": _Kind(19, _value("One line\n  and another\n  and more")),
    "quoted-over-lines": _Kind(10, _value('"One line\n  and another: so\n  and more"')),
    "single-quoted": _Kind(300, _value("'It''s: so'")),
    "double-quoted": _Kind(600, _value('"Use: \\"it\\" \\u2014 always"')),
    "dashes-in-value": _Kind(5, _value("Use --- carefully")),
    "dashes-quoted": _Kind(2, _value('"--- a ---"')),
    "colon": _Kind(30, _value("Use when: the user asks: so"), warned="yaml-syntax"),
    "colon-at-end": _Kind(4, _value("Use when the user says this:"), warned="yaml-syntax"),
    "colon-and-quotes": _Kind(4, _value("Don't say: \"it's so\" # or so"), warned="yaml-syntax"),
    "starts-with-at": _Kind(1, _value("@mention helper"), warned="yaml-syntax"),
    "starts-with-percent": _Kind(1, _value("%done and more"), warned="yaml-syntax"),
    "starts-with-backtick": _Kind(1, _value("`code` helper"), warned="yaml-syntax"),
    "starts-with-star": _Kind(1, _value("*bold* helper"), warned="yaml-syntax"),
    "starts-with-bracket": _Kind(1, _value("[WIP] does it"), warned="yaml-syntax"),
    "starts-with-brace": _Kind(1, _value("{{name}} does it"), warned="yaml-syntax bad-key"),
    "starts-with-quote": _Kind(1, _value('"Quoted" and then not'), warned="yaml-syntax"),
    "starts-with-single-quote": _Kind(1, _value("'Quoted' and then not"), warned="yaml-syntax"),
    "colon-over-lines": _Kind(2, _value("Use when: so\n  and also: so"), warned="yaml-syntax"),
    "colon-indented": _Kind(2, _value("Use it\n  when: so and so"), warned="yaml-syntax"),
    "not-yaml": _Kind(5, _with("  - [unclosed\n}: {"), "yaml-syntax"),
    "not-indented": _Kind(3, _with("a: b\n   c: d\n- e"), "yaml-syntax"),
    "tabs": _Kind(3, _with("metadata:\n\ta: b"), warned="tab-indent"),
    "no-frontmatter": _Kind(100, _raw("# Title\n\nDo it.\n"), "skill-without-frontmatter"),
    "no-end": _Kind(5, _raw("---\nname: x\ndescription: y\n\n# Body"), "skill-without-frontmatter"),
    "a-list": _Kind(2, _raw("---\n- a\n- b\n---\nBody"), "skill-without-frontmatter"),
    "a-text": _Kind(2, _raw("---\njust text\n---\nBody"), "skill-without-frontmatter"),
    "empty-frontmatter": _Kind(2, _raw("---\n---\nBody"), "skill-without-frontmatter"),
    "toml": _Kind(1, _raw('+++\nname = "x"\n+++\n'), "skill-without-frontmatter"),
    "empty": _Kind(20, _raw(""), "skill-without-frontmatter"),
    "only-blanks": _Kind(2, _raw(" \n\t\n"), "skill-without-frontmatter"),
    "blank-lines-first": _Kind(5, _changed(lambda text: "\n \n" + text)),
    "comment-first": _Kind(2, _with("# a comment\n#another: one")),
    "crlf": _Kind(58, _changed(lambda text: text.replace("\n", "\r\n"))),
    "cr": _Kind(1, _changed(lambda text: text.replace("\n", "\r"))),
    "mixed-ends": _Kind(2, _changed(lambda text: text.replace("\n", "\r\n", 3))),
    "byte-order-mark": _Kind(3, _changed(lambda text: b"\xef\xbb\xbf" + text.encode())),
    "fence-with-blanks": _Kind(5, _changed(lambda text: text.replace("---\n", "--- \t\n", 2))),
    "four-dashes": _Kind(1, _changed(lambda text: text.replace("---\n", "----\n", 1)),
                         "skill-without-frontmatter"),
    "ended-by-dots": _Kind(1,
        _raw("---\nname: x\ndescription: y\n...\nBody"), "skill-without-frontmatter"),
    "utf-16": _Kind(1, _changed(lambda text: text.encode("utf-16")), "not-utf8"),
    "latin-1": _Kind(2, _changed(lambda text: (text + "\u00e9").encode("latin-1")), "not-utf8"),
    "nul": _Kind(2, _changed(lambda text: text + "\0")),
    "nul-in-name": _Kind(1, _with("license: a\0b")),
    "controls": _Kind(2, _value("Bell \x07 and escape \x1b[31m")),
    "no-break-spaces": _Kind(5, _value("Use\u00a0it \u2028 so \u2029 and \u0085 so")),
    "emoji": _Kind(40,
        _value("\U0001f680 Ship \u201cit\u201d \U0001f468\u200d\U0001f469\u200d\U0001f467")),
    "right-to-left": _Kind(5, _value(_ARABIC)),
    "chinese": _Kind(40,
        _value("\u5206\u6790\u6570\u636e\uff1a\u5f53\u7528\u6237\u8be2\u95ee\u65f6\u4f7f\u7528")),
    "timestamp": _Kind(2, _value("2026-01-02 10:00:00")),
    "boolean": _Kind(1, _value("yes")),
    "number": _Kind(1, _value("1.10")),
    "null": _Kind(1, _value("null")),
    "html": _Kind(3, _value("<b>Use</b> &amp; so </available_skills>")),
    "anchors": _Kind(3, _with("license: &l MIT\nmetadata: {a: *l}")),
    "alias-unknown": _Kind(1, _with("license: *gone"), warned="unknown-alias"),
    "merge": _Kind(1, _with("metadata: &m {a: b}\n<<: *m"), warned="skill-field"),
    "tags": _Kind(1, _with("license: !!str MIT\nmetadata: !!python/dict {a: b}")),
    "duplicate-keys": _Kind(10, _with("license: MIT\nlicense: BSD"), warned="duplicate-key"),
    "flow": _Kind(5, lambda _, name: _skill(f"{{name: {name}, description: 'Does: it'}}")),
    "json": _Kind(2, lambda _, name: _skill(f'{{"name": "{name}",\n "description": "Does it"}}')),
    "keys-quoted": _Kind(3, lambda _, name: _skill(f'"name": "{name}"\n\'description\': x')),
    "key-with-blanks": _Kind(1, lambda _, name: _skill(f"name : {name}\ndescription :  x")),
    "key-upper-case": _Kind(2, lambda _, name: _skill(f"Name: {name}\nDescription: x"),
                            "skill-without-description", "skill-field skill-name"),
    "key-complex": _Kind(1, _with("? [a]\n: b"), warned="bad-key"),
    "key-number": _Kind(1, _with("1: b\ntrue: c"), warned="skill-field"),
    "indented": _Kind(2, lambda _, name: _skill(f"  name: {name}\n  description: x")),
    "long-line": _Kind(5, _changed(lambda text: text + "word " * 20_000)),
    "long-body": _Kind(272, _long),
    "128-kB": _Kind(1, _changed(lambda text: text + "Line of text.\n" * 9_400)),
    "too-large": _Kind(1, _changed(lambda text: text + "x" * 1_100_000), "too-large"),
    "large-frontmatter": _Kind(1, _with("x: y\n" * 20_000), "too-large"),
    "not-ascii-files": _Kind(3, _and(_NOT_ASCII)),
    "many-files": _Kind(2, _and({f"data/{n}.csv": "" for n in range(300)})),
    "too-many-files": _Kind(0, _and({f"data/{n}.csv": "" for n in range(2001)}), "skill-too-large"),
    "nested-skill": _Kind(24, _and({"sub/SKILL.md": "---\nname: sub\ndescription: x\n---\n"})),
    "tool-folders": _Kind(20,
        _and({".git/config": "x", "node_modules/a/b.js": "", "__pycache__/a": ""})),
    "linked-manifest": _Kind(301, _linked),
    "links-inside": _Kind(5, _and({"a.txt": "x", "b.txt": _link("a.txt")})),
    "links-out": _Kind(5, _and({"a.txt": _link("/etc/hostname")}), warned="skill-link"),
    "links-up": _Kind(5, _and({"a": _link("..")}), warned="skill-link"),
    "links-broken": _Kind(5, _and({"a": _link("gone")}), warned="skill-link"),
    "links-in-a-loop": _Kind(2, _and({"a": _link("a")}), warned="skill-link"),
    "manifest-linked-out": _Kind(5,
        lambda *_: {"SKILL.md": _link("/etc/hostname")}, "path-outside"),
    "manifest-gone": _Kind(1, lambda *_: {"SKILL.md": _link("gone")}, "file-not-found"),
    "manifest-a-folder": _Kind(1, lambda *_: {"SKILL.md/x": "x"}, "file-not-found"),
    "manifest-a-pipe": _Kind(1, lambda *_: {"SKILL.md": os.mkfifo}, "not-a-file"),
    "pipe-inside": _Kind(1, _and({"pipe": os.mkfifo})),
    "no-manifest": _Kind(5, lambda *_: {"README.md": "x"}, "skill-without-file"),
    "file-not-utf8": _Kind(1, _and({os.fsdecode(b"\xff.txt"): ""}), warned="skill-file-name"),
    "deep-folders": _Kind(1, _and({"d/" * 30 + "x": ""}), warned="skill-too-large"),
    "brackets": _Kind(1, _value("[" * 40_000), "too-deep"),
    "aliases": _Kind(1, _with("a0: &a0 [x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))),
        "too-many-values"),
}  # fmt: skip
