"""docs/first-minute.txt, the recording of a terminal: of its width, of commands that there are, in today's words."""

import re
from pathlib import Path

from minilq.cli import parser
from minilq.experiments.config import RunConfig
from minilq.report import differences, ladder, table

LINES = (Path(__file__).parents[1] / "docs" / "first-minute.txt").read_text(encoding="utf-8").splitlines()
COMMANDS = [line.removeprefix("$ minilq ") for line in LINES if line.startswith("$ ")]


def test_it_fits_a_terminal_of_eighty_columns_and_has_no_path_of_one_machine():
    assert [line for line in LINES if len(line) > 80 or line.startswith("/") or " /" in line] == []


def test_its_commands_are_commands():
    assert [command.split()[0] for command in COMMANDS] == ["train", "sweep", "sizes", "evaluate"]
    for command in COMMANDS:
        parser().parse_args(command.split())


def test_it_has_todays_words():
    words = [line.split() for line in LINES]
    assert f"training mnist_mlp on digits: float, then {RunConfig().describe()}" in LINES
    for head in (table.HEAD, differences.HEAD, ("bytes", *(part for part, _, _ in ladder.PARTS), "total")):
        assert any(" ".join(line).startswith(" ".join(head)) for line in words)
    assert " ".join(differences.TWIN.split()) in " ".join(" ".join(LINES).split())


def test_its_bars_overwrite_themselves_and_end_full():
    for network in ("float", "quantized"):
        bars = [line for line in LINES if re.match(rf"{network} +[█░]+ ", line)]
        assert len(bars) >= 3
        assert all(line.endswith("left~") for line in bars[1:-1])
        assert re.search(rf" {RunConfig().epochs}/{RunConfig().epochs} .* in [\d.]+ (s|min)$", bars[-1])
