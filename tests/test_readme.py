"""README and docs are true: examples print what they say, commands and options exist, links lead somewhere."""

import contextlib
import io
import re
from pathlib import Path

import numpy as np
import pytest

from minilq.cli import parser

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TEXTS = {path: path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]}


def test_the_examples_print_what_they_say():
    code = "".join(example for text in TEXTS.values() for example in re.findall(r"```python\n(.*?)```", text,
                                                                                re.DOTALL))
    expected = re.findall(r"^print\(.*?\)\s+# (\[\[.*?\]\])", code, re.MULTILINE)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, names := {})
    assert names["loss"].item() < 1              # 2.4 before the first step
    *lines, shape = printed.getvalue().splitlines()
    assert f"# {shape}\n" in code
    assert len(lines) == len(expected) == 3
    for line, want in zip(lines, expected, strict=True):
        np.testing.assert_allclose(numbers(line), numbers(want), rtol=0.01)


def numbers(text):
    return [float(x) for x in text.strip("[] ").split()]


def test_both_commands_stand_alone():
    blocks = re.findall(r"```\n(python3 -m venv .*?)\n```", README)
    assert len(blocks) == 2
    assert blocks[0].endswith(".venv/bin/minilq train")
    assert blocks[1].endswith("python -m pytest")


@pytest.mark.parametrize("command", re.findall(r"^\| `minilq (.*?)` \|", README, re.MULTILINE))
def test_every_command_line_parses(command):
    options = vars(parser().parse_args(command.split()))
    assert options["command"] == command.split()[0]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_links_and_pictures_lead_somewhere(path):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXTS[path])
    assert targets
    assert [t for t in targets if not (path.parent / t).exists()] == []


def test_every_text_can_be_reached_from_the_readme():
    assert [path.name for path in TEXTS if path.name != "README.md" and f"(docs/{path.name})" not in README] == []
