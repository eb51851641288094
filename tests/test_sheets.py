"""The cheat sheet and the glossary in docs/ are what the code says, and their names are those of the code."""

import re
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "docs"
sys.path.insert(0, str(FOLDER))
import cheat_sheet  # noqa: E402
import glossary  # noqa: E402
import said  # noqa: E402

from minilq import objective  # noqa: E402
from minilq.autodiff.primitive import PRIMITIVES  # noqa: E402
from minilq.quantize.methods import QUANTIZERS  # noqa: E402
from minilq.quantize.rounding import ROUNDINGS  # noqa: E402
from minilq.quantize.scale_rule import SCALE_RULES  # noqa: E402
from minilq.quantize.surrogate import SURROGATES  # noqa: E402


@pytest.mark.parametrize("page", [cheat_sheet, glossary], ids=lambda page: page.__name__)
def test_the_stored_page_is_the_one_that_is_written(page):
    stored = page.TARGET.read_text(encoding="utf-8")
    assert stored == page.text(), f"python docs/{page.__name__}.py is needed"


def test_everything_is_on_the_cheat_sheet():
    stored = cheat_sheet.TARGET.read_text(encoding="utf-8")
    own = {name for name, kind in QUANTIZERS.items() if kind.__module__.startswith("minilq.")}
    named = {*own, *ROUNDINGS, *SURROGATES, *SCALE_RULES, *objective.PENALTIES}
    assert named <= set(re.findall(r"^\| (?:`|\[)([\w-]+)", stored, re.MULTILINE))
    terms = set(re.findall(r"`(\w+_term)`", stored))
    assert len(terms) >= len(objective.PENALTIES) - 1
    assert terms <= set(PRIMITIVES)                               # each is a line of `minilq check`


def test_the_words_of_a_table_in_a_docstring():
    table = "    one      the first,\n             and more\n    two, three\n    four five   the rest"
    text = f"What comes.\n\n{table}\n\nNo table."
    assert said.entries(text) == {"one": "the first, and more", "four five": "the rest"}


def test_a_cell_shows_what_is_in_it():
    assert said.cell("a_b |x| `c_d |y|`\n  [0]") == r"a\_b \|x\| `c_d \|y\|` \[0\]"
