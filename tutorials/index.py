"""Write tutorials/index.html: the course on one page that needs no network, with a map and the text of each notebook.

    python tutorials/index.py

Needs the `tutorials` extra. It is made from the notebooks as they are stored, from README.md (its table, which says
what each asks and builds on, and its word for those in a hurry), and from the cheat sheet and the glossary of docs/.
The sha256 of all that is kept in the page; the tests compare it.
"""

from __future__ import annotations

import hashlib
import re
import sys
from dataclasses import dataclass
from html import escape
from pathlib import Path

from index_map import drawn
from run import FOLDER, cells_of, notebooks

PAGE, README = FOLDER / "index.html", FOLDER / "README.md"
MADE_BY = ("index.py", "index_map.py", "rendered.py", "mathml.py", "index.css")
LIMIT = 4_500_000                                # bytes of the page
THUMBNAIL = 400

LINKS = {"explore.html": "A page to play at", "#cheat-sheet": "Cheat sheet", "#glossary": "Glossary",
         "../docs/methods.md": "Methods", "README.md": "How to run them"}
SHEETS = [FOLDER.parent / "docs" / f"{link[1:]}.md" for link in LINKS if link[0] == "#"]
"""Pages of docs/ whose text is on this page too."""


@dataclass(frozen=True)
class Entry:
    """A notebook as the map knows it: numbers of two digits, texts as HTML."""

    path: Path
    title: str
    question: str
    minutes: str
    needs: str
    after: tuple[str, ...]

    @property
    def number(self) -> str:
        return self.path.name[:2]


def sources() -> list[Path]:
    """Everything that the page is made from."""
    return [*(FOLDER / name for name in MADE_BY), README, *SHEETS, *notebooks([])]


def digest() -> str:
    """sha256 of the sources; of the README what is taken from it."""
    total = hashlib.sha256()
    for path in sources():
        content = "\n".join([hurry(), *table()]) if path == README else path.read_text(encoding="utf-8")
        total.update(f"{path.name}\n{content}\n".encode())
    return total.hexdigest()


def hurry() -> str:
    """What the README says to those who have little time."""
    paragraphs = README.read_text(encoding="utf-8").split("\n\n")
    return next((text for text in paragraphs if text.startswith("**In a hurry?**")), "")


def table() -> list[str]:
    """The rows of the README's table of notebooks, its head first."""
    lines = README.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith("|") and not line.startswith("|--")]


def entries() -> list[Entry]:
    """Of every notebook that is there what the table says; of one without a row what its first cell says."""
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table()]
    said = {found[1]: row for row in rows if (found := re.match(r"\[\d\d .*?\]\((\S+)\)", row[0]))}
    found = []
    for path in notebooks([]):
        head = cells_of(path)[0]["source"]
        title = re.match(r"# \d\d · (.+)", head)
        _, question, minutes, needs = said.get(path.name, ["", "", "", ""])
        found.append(Entry(path, shown(title[1] if title else path.stem), shown(question), minutes, shown(needs),
                           tuple(re.findall(r"\b\d\d\b", needs))))
    return found


def shown(text: str) -> str:
    return re.sub(r"`(.+?)`", r"<code>\1</code>", escape(text, quote=False))


def linked(one: Entry, every: list[Entry]) -> str:
    """What a notebook builds on, with links to the notebooks."""
    there = {other.number for other in every}
    return re.sub(r"\b\d\d\b", lambda n: f'<a href="#n{n[0]}">{n[0]}</a>' if n[0] in there else n[0], one.needs)


def card(one: Entry, every: list[Entry]) -> str:
    from rendered import thumbnail

    picture = thumbnail(cells_of(one.path), f"a figure of notebook {one.number}", THUMBNAIL)
    facts = [f"{one.minutes} minutes"] * bool(one.minutes) + [f"builds on {linked(one, every)}"] * bool(one.needs)
    return (f'<li><h3><a href="#n{one.number}">{one.number} · {one.title}</a></h3>{picture}<p>{one.question}</p>'
            f'<p class="note">{", ".join(facts)} (<a href="{one.path.name}">to run it</a>)</p></li>')


def article(position: int, every: list[Entry]) -> str:
    from rendered import body

    one = every[position]
    around = [(word, every[place]) for word, place in (("before", position - 1), ("next", position + 1))
              if 0 <= place < len(every)]
    links = "".join(f'<a href="#n{other.number}">{word}: {other.number} {other.title}</a>' for word, other in around)
    nav = (f'<nav aria-label="notebook {one.number}"><a href="#top">all notebooks</a>{links}'
           f'<a href="{one.path.name}">to run it</a></nav>')
    return f'<article id="n{one.number}">{nav}\n{body(cells_of(one.path), one.number)}\n{nav}</article>'


def sheet(path: Path) -> str:
    """A page of docs/ as a text of this page, its links as they are from here."""
    from rendered import prose

    html = prose(path.read_text(encoding="utf-8"), path.name)
    html = html.replace('href="../tutorials/', 'href="')
    for other in SHEETS:
        html = html.replace(f'href="{other.name}"', f'href="#{other.stem}"')
    html = re.sub(r'href="(?=[\w-]+\.(?:md|py))', 'href="../docs/', html)
    html = html.replace("<table>", '<div class="scroll" tabindex="0" role="region" aria-label="table"><table>')
    html = html.replace("</table>", "</table></div>")
    nav = f'<nav aria-label="{path.stem}"><a href="#top">all notebooks</a></nav>'
    return f'<article class="wide" id="{path.stem}">{nav}\n{html}\n{nav}</article>'


def page() -> str:
    from rendered import prose

    every = entries()
    links = "".join(f'<a href="{target}">{name}</a>' for target, name in LINKS.items())
    css = (FOLDER / "index.css").read_text(encoding="utf-8")
    drawn_map = drawn({one.number: one.title for one in every}, {one.number: one.after for one in every})
    cards = "\n".join(card(one, every) for one in every)
    articles = "\n".join([*(article(position, every) for position in range(len(every))), *map(sheet, SHEETS)])
    return (f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
            f'content="width=device-width, initial-scale=1"><meta name="sources" content="{digest()}">'
            f"<title>Learned quantization, derived and checked</title>\n<style>\n{css}</style></head>\n"
            f'<body id="top">\n<div class="landing"><header><h1>Learned quantization, derived and checked</h1>'
            f"<p>{len(every)} notebooks, to be read here without a network, or to be run. Each begins with a question, "
            f"derives the answer above the code that computes it, and asserts every number it claims.</p>"
            f'{prose(hurry(), README.name)}<nav aria-label="beside the notebooks">{links}</nav></header>\n'
            f'<main><h2>What builds on what</h2>\n'
            f'<div class="scroll" tabindex="0" role="region" aria-label="map of the notebooks">{drawn_map}</div>\n'
            f'<h2>The notebooks</h2>\n<ul class="cards">\n'
            f"{cards}\n</ul></main></div>\n{articles}\n</body></html>\n")


def main() -> int:
    text = page()
    if len(text) > LIMIT:
        print(f"{PAGE.name} would have {len(text):,} bytes; {LIMIT:,} are allowed", file=sys.stderr)
        return 1
    PAGE.write_text(text, encoding="utf-8")
    print(f"{PAGE.name}: {len(text) / 1e6:.2f} MB, {len(entries())} notebooks")
    return 0


if __name__ == "__main__":
    sys.exit(main())
