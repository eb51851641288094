"""The map of the notebooks: boxes in rows, with a line down from each to what builds on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

BOX, GAP = (146, 46), (14, 32)                   # in pixels: width and height of a box, between two of them
LANE = 10                                        # of a line that passes a row

Parents = dict[str, list[str]]
Item = tuple[str, str]
"""What has a place in a row: a notebook, ("", number), or a line that passes, (from, to)."""


def nearest(after: Mapping[str, Sequence[str]]) -> Parents:
    """What each notebook builds on, without what those build on already; numbers in order.

    >>> nearest({"00": [], "01": ["00"], "02": ["00", "01"]})
    {'00': [], '01': ['00'], '02': ['01']}
    """
    direct = {number: {other for other in known if other in after and other < number}
              for number, known in after.items()}
    above: dict[str, set[str]] = {}
    for number in sorted(direct):                # all that is above those known is there already
        above[number] = direct[number].union(*(above[other] for other in direct[number]))
    return {number: sorted(known - set().union(*(above[other] for other in known)))
            for number, known in sorted(direct.items())}


def depths(parents: Parents) -> dict[str, int]:
    """How many notebooks stand above each at least, on the longest way."""
    found: dict[str, int] = {}
    for number, known in parents.items():
        found[number] = max((found[other] + 1 for other in known), default=0)
    return found


def places(parents: Parents) -> list[dict[Item, float]]:
    """For every row the middle of each item, in pixels from the left end of the map, where a narrow screen begins.

    A line that passes a row has a lane of its own there, so that it runs behind no box. A row is in the order of what
    its items hang on.
    """
    depth, found = depths(parents), []
    before: dict[str, float] = {}                # of a notebook, and of the line from it to another, where it was last
    for level in range(max(depth.values(), default=-1) + 1):
        passing = [(other, number) for number, known in parents.items() for other in known
                   if depth[other] < level < depth[number]]
        hang = {("", number): [before.get(other + number, before[other]) for other in parents[number]]
                for number in parents if depth[number] == level}
        hang |= {(a, b): [before.get(a + b, before[a])] for a, b in passing}
        order = sorted(hang, key=lambda item: (sum(hang[item]) / max(len(hang[item]), 1), item))
        left, row = 0.0, {}
        for item in order:
            width = LANE if item[0] else BOX[0]
            row[item] = left + width / 2
            before[item[0] + item[1]] = row[item]
            left += width + GAP[0]
        found.append(row)
    return found


def drawn(titles: Mapping[str, str], after: Mapping[str, Sequence[str]]) -> str:
    """The map as SVG; each box is a link to the notebook's text, #nNN. Titles are HTML already."""
    parents, (w, h), below = nearest(after), BOX, GAP[1]
    depth, found = depths(parents), places(parents)
    middles = [x for row in found for x in row.values()]
    width = max(middles, default=0) + w / 2 + 4
    lines, boxes = [], []
    for number, known in parents.items():
        level = depth[number]
        for other in known:
            x, path = found[depth[other]][("", other)], ""
            for row in range(depth[other], level):
                item = (other, number) if row + 1 < level else ("", number)
                down, across = row * (h + below) + h, found[row + 1][item]
                path += f"C{x:g} {down + below:g} {across:g} {down:g} {across:g} {down + below:g}"
                path += f"v{h}" * (row + 1 < level)
                x = across
            start = found[depth[other]][("", other)]
            lines.append(f'<path d="M{start:g} {depth[other] * (h + below) + h:g}{path}"/>')
        x, y, (first, second) = found[level][("", number)] - w / 2, level * (h + below), halves(titles[number])
        boxes.append(f'<a href="#n{number}"><title>{number} {titles[number]}</title><rect x="{x:g}" y="{y:g}" '
                     f'width="{w}" height="{h}" rx="5"/><text x="{x + 8:g}" y="{y + 19:g}"><tspan class="number">'
                     f'{number}</tspan> {first}</text><text x="{x + 8:g}" y="{y + 37:g}">{second}</text></a>')
    height = len(found) * (h + below) - below + 4
    return (f'<svg class="map" role="group" aria-label="which notebook builds on which" width="{width:g}" '
            f'height="{height}" viewBox="-2 -2 {width:g} {height}">{"".join(lines)}{"".join(boxes)}</svg>')


def halves(title: str, first: int = 15, second: int = 18) -> tuple[str, str]:
    """A title on two lines of a box.

    >>> halves("Learned scales and what they grow to be")
    ('Learned scales', 'and what they…')
    """
    words, lines = title.split(), ["", ""]
    for line, room in enumerate((first, second)):
        while words and len(lines[line]) + len(words[0]) < room:
            lines[line] += f" {words.pop(0)}"
    return lines[0].strip(), lines[1].strip() + "…" * bool(words)
