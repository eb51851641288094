"""The README is true: its example prints what it says, its commands and options exist, its links lead somewhere."""

import contextlib
import io
import re
from pathlib import Path

import numpy as np
import pytest

from minilq.cli import parser

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_prints_what_it_says():
    code = "".join(re.findall(r"```python\n(.*?)```", README, re.DOTALL))
    expected = re.findall(r"^print\(.*?\)\s+# (\[\[.*?\]\])", code, re.MULTILINE)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, names := {})
    assert names["loss"].item() < 20             # 50 before the first step
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


def test_links_and_pictures_lead_somewhere():
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert len(targets) > 8
    assert [t for t in targets if not (ROOT / t).exists()] == []
