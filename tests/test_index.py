"""tutorials/index.html, the course on one page: up to date, whole, readable without a network; and its formulas."""

import doctest
import re
import sys
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "tutorials"
sys.path.insert(0, str(FOLDER))
import index  # noqa: E402
import index_map  # noqa: E402
import mathml as formulas  # noqa: E402
import run  # noqa: E402
from mathml import mathml  # noqa: E402

FORMULA = re.compile(r"```.*?```|`[^`\n]+`|\$\$(.+?)\$\$|\$(.+?)\$", re.DOTALL)


@pytest.fixture(scope="module")
def page():
    return index.PAGE.read_text(encoding="utf-8")


def test_it_is_made_from_the_notebooks_as_they_are(page):
    assert f'<meta name="sources" content="{index.digest()}">' in page, "python tutorials/index.py is needed"


def test_it_is_small_and_needs_nothing_but_itself(page):
    assert len(page) < index.LIMIT
    assert not re.findall(r"<script|<link|<iframe|url\(|@import", page)
    assert {start[:11] for start in re.findall(r'<img src="([^"]{20})', page)} == {"data:image/"}
    assert all("alt=" in image for image in re.findall(r"<img[^>]*>", page))


def test_every_notebook_is_on_the_map_and_among_the_texts(page):
    for path in run.notebooks([]):
        number = path.name[:2]
        assert f'<article id="n{number}">' in page
        assert page.count(f'href="#n{number}"') >= 2              # of the map and of its card
        assert f'href="{path.name}"' in page


def test_the_sheets_are_there_whole(page):
    for path in index.SHEETS:
        text = page.partition(f'<article class="wide" id="{path.stem}">')[2].partition("</article>")[0]
        assert text.count("<tr>") == len(re.findall(r"^\| (?!---)", path.read_text(encoding="utf-8"), re.MULTILINE))


def test_what_scrolls_is_reached_by_the_keyboard_and_has_a_name(page):
    scrolling = re.findall(r'<div class="scroll"[^>]*>', page)
    assert len(scrolling) > len(index.SHEETS)
    assert all('tabindex="0" role="region" aria-label="' in tag for tag in scrolling)


def test_links_lead_somewhere(page):
    targets = set(re.findall(r'href="([^"]+)"', page))
    ids = set(re.findall(r'id="([^"]+)"', page))
    inside = {target for target in targets if target.startswith("#")}
    files = {target for target in targets - inside if not target.startswith(("http:", "https:", "mailto:"))}
    assert inside
    assert files
    assert not {target for target in inside if target[1:] not in ids}
    assert not {target for target in files if not (FOLDER / target.partition("#")[0]).exists()}


def test_every_formula_of_the_notebooks_is_understood():
    count = 0
    for path in run.notebooks([]):
        for cell in run.cells_of(path):
            for block, inline in FORMULA.findall(cell["source"]) if cell["cell_type"] == "markdown" else []:
                if block or inline:
                    ET.fromstring(mathml(block or inline, block=bool(block)))
                    count += 1
    assert count > 500


@pytest.mark.parametrize(("formula", "expected"), [
    (r"s^2", "<msup><mi>s</mi><mn>2</mn></msup>"),
    (r"x_i^{k+1}", "<msubsup><mi>x</mi><mi>i</mi><mrow><mi>k</mi><mo>+</mo><mn>1</mn></mrow></msubsup>"),
    (r"\tfrac12", '<mstyle displaystyle="false"><mfrac><mn>1</mn><mn>2</mn></mfrac></mstyle>'),
    ("a=-1", '<mrow><mi>a</mi><mo>=</mo><mo form="prefix">−</mo><mn>1</mn></mrow>'),
    ("(a)-1", '<mrow><mo stretchy="false">(</mo><mi>a</mi><mo stretchy="false">)</mo><mo>−</mo><mn>1</mn></mrow>'),
    (r"\sigma'", "<msup><mi>σ</mi><mo>′</mo></msup>"),
    (r"\sqrt{\hat v}", '<msqrt><mover accent="true"><mi>v</mi><mo stretchy="false">^</mo></mover></msqrt>'),
    (r"\text{if } a<b", "<mrow><mtext>if\u00a0</mtext><mi>a</mi><mo>&lt;</mo><mi>b</mi></mrow>"),
    (r"\sum_i", '<munder><mo movablelimits="true" lspace="0" rspace="0.17em">∑</mo><mi>i</mi></munder>'),
    (r"\begin{cases} 1 & a\\ 0\end{cases}", '<mrow><mo stretchy="true">{</mo><mtable class="cases"><mtr><mtd><mn>1</mn>'
     "</mtd><mtd><mi>a</mi></mtd></mtr><mtr><mtd><mn>0</mn></mtd></mtr></mtable></mrow>")])
def test_a_formula(formula, expected):
    assert mathml(formula) == f"<math>{expected}</math>"


@pytest.mark.parametrize("module", [index_map, formulas], ids=lambda module: module.__name__)
def test_examples(module):
    failed, tried = doctest.testmod(module)
    assert (failed, tried > 0) == (0, True)


@pytest.mark.parametrize("formula", [r"\unheardof", "a}", "{a", r"\frac{1}", r"\begin{tabular}a\end{tabular}"])
def test_a_formula_that_is_not_understood(formula):
    with pytest.raises(ValueError, match=r"formula|missing|expected"):
        mathml(formula)


def test_the_map_leaves_out_what_is_said_already():
    after = {"00": (), "01": ("00",), "02": ("00", "01"), "03": ("00", "99"), "04": ("02", "03")}
    parents = index_map.nearest(after)
    assert parents == {"00": [], "01": ["00"], "02": ["01"], "03": ["00"], "04": ["02", "03"]}
    found = index_map.places(parents)
    assert [set(row) for row in found] == [
        {("", "00")}, {("", "01"), ("", "03")}, {("", "02"), ("03", "04")}, {("", "04")}]
    for row in found:                            # nothing stands on anything else
        middles = sorted((x, index_map.LANE if item[0] else index_map.BOX[0]) for item, x in row.items())
        assert all(b - a >= (v + w) / 2 for (a, v), (b, w) in pairwise(middles))


def test_code_has_its_colours():
    pytest.importorskip("mistune", reason="the page is written with the tutorials extra")
    from rendered import code, prose

    assert code("if a < 1:  # b") == "<b class=k>if</b> a &lt; 1:  <b class=c># b</b>"
    assert code("x = (1") == "x = (1"                             # half a program
    assert prose("# A\n\n[x](07_why.ipynb) `$a$` $b$", "00") == (
        '<h2>A</h2>\n<p><a href="#n07">x</a> <code>$a$</code> <math><mi>b</mi></math></p>\n')
