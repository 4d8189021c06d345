"""What validating costs: time and peak memory over the number of agents, start-up, hostile files.

    python benchmarks/compile.py

Every figure is of a whole process, `retinue validate` from start to exit: wall time, CPU time and
the largest resident size, medians over rounds in which all cases take turns. Growth is the CPU time
of each agent after the first, over the same with 100 agents: 1.00 is linear. Takes about a minute.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

SIZES = (1, 10, 100, 250, 500, 1000)
ROUNDS = 5
PROMPTS, SKILLS = 10, 10
HOSTILE = 200


@dataclass(frozen=True)
class Cost:
    """One run: seconds of wall and CPU time, and megabytes."""

    wall: float
    cpu: float
    peak: float


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        commands = dict(cases(Path(folder)))
        costs: dict[str, list[Cost]] = {name: [] for name in commands}
        for _ in range(ROUNDS):
            for name, command in commands.items():
                costs[name].append(cost(command))
    middle = {name: median(found) for name, found in costs.items()}
    print(f"medians of {ROUNDS} on {os.cpu_count()} cores, Python {sys.version.split()[0]}\n")
    print("| Process | Wall | CPU | Peak memory | Growth |")
    print("|---|---|---|---|---|")
    for name, found in middle.items():
        figures = f"{found.wall:.2f} s | {found.cpu:.2f} s | {found.peak:.0f} MB"
        print(f"| {name} | {figures} | {growth(name, middle)} |")


def cases(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Names and command lines; the projects are made on the way."""
    yield "`python -c pass`", [sys.executable, "-c", "pass"]
    yield "`retinue --help`", retinue("--help")
    for size in SIZES:
        yield agents(size), validate(root / str(size), lambda place, size=size: fill(place, size))
    yield f"{HOSTILE} hostile files", validate(root / "hostile", hostile)


def agents(size: int) -> str:
    return f"{size:,} agent{'s' * (size > 1)}"


def growth(name: str, costs: dict[str, Cost]) -> str:
    """CPU time per further agent, as a multiple of what it is up to 100: fewer are noise."""
    sizes = {agents(size): size for size in SIZES if size >= 100}
    if name not in sizes:
        return ""
    start = costs[agents(1)].cpu

    def each(size: int) -> float:
        return (costs[agents(size)].cpu - start) / (size - 1)

    return f"{each(sizes[name]) / each(100):.2f}"


def retinue(*words: str) -> list[str]:
    return [sys.executable, "-m", "retinue", *words]


def validate(project: Path, make: Callable[[Path], None]) -> list[str]:
    (project / "agents").mkdir(parents=True)
    make(project)
    return retinue("validate", "-C", str(project))


def cost(command: list[str]) -> Cost:
    """Run it to its end; what it says is read and thrown away."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    expected = 2 if "hostile" in command[-1] else 0
    assert process.returncode == expected, f"{command} ended with {process.returncode}"
    # Linux counts kilobytes, macOS bytes.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / unit)


def median(costs: list[Cost]) -> Cost:
    return Cost(*(statistics.median(getattr(c, key) for c in costs) for key in Cost.__match_args__))


AGENT = """\
# yaml-language-server: $schema=../schema/agent.schema.json
# Agent {n} of the team {team}: answers questions on sales, returns
# and stock with figures from the warehouse.
version: 1
name: agent-{n}
description: >
  Answers questions on sales, returns and stock
  with figures from the warehouse of team {team}.

model:
  name: databricks/databricks-claude-sonnet-4-5
  api_base: https://${{workspace.host}}/serving-endpoints
  timeout: 60s
  settings:
    temperature: 0.2
    max_tokens: 4096
    top_p: 0.9
    seed: {n}
    stop: [END]
    parallel_tool_calls: true

instructions:
  file: prompts/shared-{prompt}.md.j2
  variables:
    today: {{source: clock.date}}
    user: {{source: user.email, default: nobody}}
    region:
      type: string
      default: ${{var.region}}
      source: request.metadata.region
    team: {team}

skills:
  - skill-{first}
  - skill-{second}

mcp_servers:
  sales:
    databricks:
      genie_space: ${{var.sales_space_id}}
    auth: user
    timeout: 30s
  tickets:
    url: https://mcp.example.com/{n}/mcp
    headers:
      Authorization: Bearer ${{secret.mcp/tickets_token}}
      X-Team: {team}
    tools:
      include: ["search_*", create_ticket]
      exclude: ["*_admin"]
    timeout: 20s
  calculator:
    command: uvx
    args: ["mcp-server-calculator==0.2.0"]
    env:
      PRECISION: "12"

limits:
  max_turns: 12
  timeout: 110s
"""
PROMPT = """\
You answer questions of {{ user }} in the region {{ region }} for {{ team }}.
Today is {{ today }}.
{% if region == "EMEA" %}Amounts are in EUR.{% else %}Amounts are in USD.{% endif %}
{% include "tone.md" %}
"""
SKILL = """\
---
name: skill-{n}
description: How figures of kind {n} are presented. Use it before presenting one.
---
Round to whole units.
"""
BUNDLE = """\
bundle: {name: benchmark}
variables:
  region: {default: EMEA}
  sales_space_id: {description: The id of the Genie space.}
"""


def fill(project: Path, size: int) -> None:
    """A project of `size` agents of 60 lines, which share prompts, skills and variables."""
    assert AGENT.count("\n") == 60
    for number in range(size):
        text = AGENT.format(
            n=number,
            team=f"team-{number % 7}",
            prompt=number % PROMPTS,
            first=number % SKILLS,
            second=(number + 1) % SKILLS,
        )
        write(project / f"agents/agent-{number}.yaml", text)
    for number in range(PROMPTS):
        write(project / f"prompts/shared-{number}.md.j2", PROMPT)
    for number in range(SKILLS):
        write(project / f"skills/skill-{number}/SKILL.md", SKILL.format(n=number))
    write(project / "prompts/tone.md", "Be brief.\n")
    write(project / "databricks.yml", BUNDLE)


def hostile(project: Path) -> None:
    """Files that try to hang, crash or outgrow the compiler, each kind in several sizes."""
    for number in range(HOSTILE):
        kind = KINDS[number % len(KINDS)]
        write(project / f"agents/hostile-{number}.yaml", kind(2 + number // len(KINDS)))


def write(place: Path, text: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, encoding="utf-8")


def bomb(size: int) -> str:
    lines = [f"a0: &a0 [{', '.join('x' * 10)}]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, size + 6)]
    return "\n".join(lines)


START = "model: x/y\ninstructions: "
KINDS: tuple[Callable[[int], str], ...] = (
    bomb,
    lambda size: "[" * size * 2000,
    lambda size: "{a: " * size * 500 + "}" * size * 500,
    lambda size: "- " * size * 2000,
    lambda size: "".join(f"key{n}: 1\n" for n in range(size * 400)),
    lambda size: "same: 1\n" * size * 400,
    lambda size: START + "${env.A" * size * 1000,
    lambda size: START + "${" * size * 1000,
    lambda size: START + '"' + "{{ a" * size * 500 + '"',
    lambda size: START + '"' + "{% if a %}" * size * 200 + '"',
    lambda size: START + "'" + "{{ " + "(" * size * 200 + "a" + ")" * size * 200 + " }}'",
    lambda size: START + "'" + "{{ a" + "|upper" * size * 200 + " }}'",
    lambda size: START + "x" * size * 10_000,
    lambda size: f"skills: [{', '.join(['a'] * size * 800)}]",
    lambda size: "<<: " * size * 10 + "x",
    lambda size: "? " * size * 1000,
    lambda size: "&a " * size * 1000,
    lambda size: "!!python/object/apply:os.system [true]\n" * size,
    lambda size: "a: |\n" + " x\n" * size * 1000,
    lambda size: "%TAG ! tag:x,2000:\n" * size * 100,
)


if __name__ == "__main__":
    main()
