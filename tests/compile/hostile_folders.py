"""Folders made to hang, crash, fill the memory of or get out of a compiler."""

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from folders import MINIMAL, project
from hostile_documents import Content

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


def folders() -> dict[str, Case]:
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


def includes() -> dict[str, Case]:
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
