"""Cells of a notebook as HTML that needs nothing else: prose, formulas, code with its colours, outputs, figures."""

from __future__ import annotations

import base64
import io
import keyword
import re
import tokenize
from html import escape, unescape
from itertools import accumulate

import mistune
from mathml import mathml
from PIL import Image
from run import Cell

FORMULA = re.compile(r"```.*?```|`[^`\n]+`|\$\$(.+?)\$\$|\$(.+?)\$", re.DOTALL)
MARK = "\ue000{}\ue001"                           # of a formula in a text that becomes HTML
COLORS = {tokenize.COMMENT: "c", tokenize.STRING: "s"}
COLORS |= {getattr(tokenize, name): "s" for name in ("FSTRING_START", "FSTRING_MIDDLE", "FSTRING_END")
           if hasattr(tokenize, name)}

to_html = mistune.create_markdown(escape=False, plugins=["table", "strikethrough"])


def prose(text: str, notebook: str) -> str:
    """Markdown with formulas; headings are one level lower, links to other notebooks stay on the page."""
    formulas: list[str] = []

    def keep(found: re.Match[str]) -> str:
        formula = found[1] or found[2]
        if formula is None:
            return found[0]                      # code
        try:
            drawn = mathml(formula, block=bool(found[1]))
            formulas.append(f'<span class="formula">{drawn}</span>' if found[1] else drawn)
        except ValueError as error:
            raise ValueError(f"{notebook}: {error}") from error
        return MARK.format(len(formulas) - 1)

    html = str(to_html(FORMULA.sub(keep, text)))
    html = re.sub("\ue000(\\d+)\ue001([.,;:?)]*)", lambda found: together(formulas[int(found[1])], found[2]), html)
    html = re.sub(r"<(/?)h([1-5])\b", lambda found: f"<{found[1]}h{int(found[2]) + 1}", html)
    html = re.sub(r'<pre><code class="language-python">(.*?)</code></pre>',
                  lambda found: f"<pre>{code(unescape(found[1]))}</pre>", html, flags=re.DOTALL)
    return re.sub(r'href="(\d\d)_\w+\.ipynb"', r'href="#n\1"', html)


def together(formula: str, marks: str) -> str:
    """A formula and the marks behind it, which do not begin a line."""
    return f'<span class="whole">{formula}{marks}</span>' if marks else formula


def code(source: str) -> str:
    """Python with comments, strings and keywords told apart."""
    starts = [0, *accumulate(map(len, source.splitlines(keepends=True)))]
    parts, done = [], 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            kind = COLORS.get(token.type, "k" if keyword.iskeyword(token.string) else "")
            start, end = (starts[line - 1] + column for line, column in (token.start, token.end))
            if kind and start >= done:
                parts += [escape(source[done:start], quote=False),
                          f"<b class={kind}>{escape(source[start:end], quote=False)}</b>"]
                done = end
    except (tokenize.TokenError, SyntaxError):
        pass                                     # part of a program: the rest of it without colours
    return "".join(parts) + escape(source[done:], quote=False)


def figure(png: str, alt: str, width: int = 0) -> str:
    """A stored figure as an <img> of few bytes: 64 colours, or no wider than `width` pixels if that is given."""
    picture, content = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB"), io.BytesIO()
    if width:
        picture.thumbnail((width, width))
    else:
        picture = picture.quantize(64, dither=Image.Dither.NONE).convert("RGB")
    picture.save(content, "WEBP", lossless=not width, quality=75, method=6)
    data = base64.b64encode(content.getvalue()).decode()
    size = f"width={picture.width} height={picture.height}"
    return f'<img src="data:image/webp;base64,{data}" alt="{escape(alt)}" {size}>'


def thumbnail(cells: list[Cell], alt: str, width: int) -> str:
    """Of the stored figures that are wider than high the one of most bytes, small; nothing if there is none."""
    pngs = [output["data"]["image/png"] for cell in cells for output in cell.get("outputs", [])
            if "image/png" in output.get("data", {})]
    sizes = [Image.open(io.BytesIO(base64.b64decode(png))).size for png in pngs]
    wide = [png for png, (across, down) in zip(pngs, sizes, strict=True) if down < 0.6 * across] or pngs
    return figure(max(wide, key=len), alt, width) if wide else ""


def body(cells: list[Cell], notebook: str) -> str:
    """All cells; figures are numbered for those who cannot see them."""
    parts, count = [], 0
    for cell in cells:
        if cell["cell_type"] == "markdown":
            parts.append(prose(cell["source"], notebook))
            continue
        parts.append(f"<pre>{code(cell['source'])}</pre>")
        for output in cell.get("outputs", []):
            if "text" in output:
                parts.append(f"<pre class=out>{escape(''.join(output['text']).rstrip(), quote=False)}</pre>")
            elif "image/png" in output.get("data", {}):
                count += 1
                parts.append(figure(output["data"]["image/png"], f"figure {count} of notebook {notebook}"))
    return "\n".join(parts)
