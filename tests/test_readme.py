"""README and docs are true: examples print what they say, commands and options exist, links lead somewhere."""

import contextlib
import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest

from minilq.cli import parser
from minilq.experiments.config import RunConfig
from minilq.report.table import ROUNDED, table_of

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TEXTS = {path: path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]}


def test_the_examples_print_what_they_say():
    examples = re.compile(r"```python\n(.*?)```", re.DOTALL)
    code = "".join(example for text in TEXTS.values() for example in examples.findall(text))
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


def test_the_readme_is_short_and_in_one_order():
    assert README.count("\n") <= 200
    assert README.index("](tutorials/pictures/front.svg)") < README.index("## ")
    assert re.findall("^## (.*)", README, re.MULTILINE) == [
        "Two commands", "Results", "A course", "A learned scale and its gradient", "What it is, and what it is not",
        "The command line", "Data", "Layout", "Where it comes from"]


@pytest.mark.parametrize(("row", "name"), [
    ("nested, lambda 1e-10, row, from scratch", "nested-row-1e-10-floor-raw-scratch-42"),
    ("nested, lambda 1e-10, one scale for each parameter, post-training", "nested-scalar-1e-10-floor-raw-post-42"),
    ("Difference, gamma 1e-8, column, post-training", "difference-column-1e-08-floor-raw-post-42")])
def test_the_results_are_those_of_the_sweep(row, name):
    sweep = (ROOT / "benchmarks" / "sweeps" / "thesis-mnist.csv").read_text(encoding="utf-8").splitlines()
    point = {point["name"]: point for point in csv.DictReader(sweep)}[name]
    size, raw = int(point["bytes_entropy"]) / 1000, int(point["bytes_float32"]) / 1000
    assert (f"| {row} | {100 * float(point['accuracy']):.1f} % | {point['unique_integers']} | {size:.1f} kB "
            f"| {raw / size:.1f} |\n") in README


def test_the_table_of_the_first_command_is_the_one_that_is_printed():
    block, = re.findall(r"```\n(network .*?)\n```", README, re.DOTALL)
    networks = {}
    for name, accuracy, integers, bits, size, _ in (re.split(r" {2,}", row) for row in block.splitlines()[2:5]):
        networks[name] = {"accuracy": float(accuracy.rstrip(" %")) / 100, "bytes_entropy": 1000 * float(size)}
        if integers != "-":
            networks[name] |= {"unique_integers": int(integers), "bits": int(bits)}
    networks[ROUNDED]["granularity"], = re.findall("a scale for each (row|column)", block)
    sizes = {"parameters": 101_770, "scales": 4, "bytes_float32": 4 * 101_770}
    assert table_of(networks, sizes, RunConfig().describe()) == block


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_links_and_pictures_lead_somewhere(path):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXTS[path])
    assert targets
    assert [t for t in targets if not (path.parent / t).exists()] == []


def test_every_text_can_be_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        path = waiting.pop()
        reached.add(path)
        linked = [(path.parent / target).resolve() for target in re.findall(r"\]\(([\w./-]+\.md)[)#]", TEXTS[path])]
        waiting += [other for other in linked if other in TEXTS and other not in reached]
    assert set(TEXTS) - reached == set()
