"""Documents made to hang, crash or fill the memory of a compiler: as YAML, and in what they say."""

from folders import MINIMAL

Content = str | bytes


def documents() -> dict[str, Content]:
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


def fields() -> dict[str, Content]:
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
