r"""Formulas of the notebooks, in the LaTeX that they use, as MathML, which browsers draw by themselves.

    >>> mathml(r"s^2")
    '<math><msup><mi>s</mi><mn>2</mn></msup></math>'

A command that is not in the tables below raises ValueError: it is to be added to them.
"""

from __future__ import annotations

import re
from html import escape

TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\d+(?:\.\d+)?|\s+|.", re.DOTALL)


def pairs(text: str) -> dict[str, str]:
    """Names and the signs behind them."""
    words = text.split()
    return dict(zip(words[::2], words[1::2], strict=True))


LETTERS = pairs("""
    alpha α  beta β  gamma γ  delta δ  epsilon ϵ  varepsilon ε  zeta ζ  eta η  theta θ  kappa κ  lambda λ  mu μ
    nu ν  xi ξ  pi π  rho ρ  sigma σ  tau τ  phi ϕ  varphi φ  chi χ  psi ψ  omega ω  Gamma Γ  Delta Δ  Theta Θ
    Lambda Λ  Sigma Σ  Phi Φ  Psi Ψ  Omega Ω  ell ℓ  infty ∞  partial ∂  nabla ∇  top ⊤  emptyset ∅
""")
SIGNS = pairs("""
    cdot ⋅  times ×  pm ±  mp ∓  odot ⊙  oplus ⊕  circ ∘  ast ∗  div ÷  le ≤  leq ≤  ge ≥  geq ≥  ne ≠  neq ≠  ll ≪
    gg ≫  approx ≈  sim ∼  simeq ≃  equiv ≡  propto ∝  in ∈  notin ∉  subset ⊂  star ⋆  cup ∪  cap ∩  mid ∣  to →
    rightarrow →  leftarrow ←  mapsto ↦  Rightarrow ⇒  Longrightarrow ⟹  Leftrightarrow ⇔  iff ⟺  longrightarrow ⟶
    dots …  ldots …  cdots ⋯  vdots ⋮  lfloor ⌊  rfloor ⌋  lceil ⌈  rceil ⌉  langle ⟨  rangle ⟩  lvert |  rvert |
    lVert ‖  rVert ‖  Vert ‖  vert |  wedge ∧  vee ∨  neg ¬  forall ∀  exists ∃  prime ′  colon :  { {  } }  | ‖
    _ _  % %  # #  & &  $ $
    Longleftrightarrow ⟺  leftrightarrow ↔  Leftarrow ⇐  subseteq ⊆  setminus ∖  lesssim ≲  gtrsim ≳  bullet •  perp ⊥
    parallel ∥  uparrow ↑  downarrow ↓  triangleq ≜
""")
LARGE = {"sum": "∑", "prod": "∏", "max": "max", "min": "min", "lim": "lim", "argmin": "arg min", "argmax": "arg max"}
"""What has its bounds below and above it where there is room."""
FUNCTIONS = ("log", "ln", "exp", "sin", "cos", "tan", "tanh", "cosh", "sinh", "arctan", "erf", "det", "dim", "Pr")
SPACES = {",": 0.17, ":": 0.22, ";": 0.28, " ": 0.3, "!": -0.17, "quad": 1, "qquad": 2, "enspace": 0.5}
ACCENTS = {"hat": "^", "widehat": "^", "bar": "¯", "overline": "¯", "tilde": "~", "widetilde": "~", "dot": "˙"}
BRACES = {"underbrace": ("munder", "⏟"), "overbrace": ("mover", "⏞")}
SIZES = {"big": 1.2, "Big": 1.6, "bigg": 2.1, "Bigg": 2.6}
STYLES = {"mathbf": "font-weight: bold", "boldsymbol": "font-weight: bold", "textbf": "font-weight: bold",
          "textit": "font-style: italic", "mathit": "font-style: italic",
          "texttt": "font-family: monospace", "mathtt": "font-family: monospace"}
ALPHABETS = {"mathbb": dict(zip("RENZPQ1", "ℝ𝔼ℕℤℙℚ𝟙", strict=True)),
             "mathcal": dict(zip("LNOUDBFHSC", "ℒ𝒩𝒪𝒰𝒟ℬℱℋ𝒮𝒞", strict=True))}
WORDS = ("text", "mathrm", "operatorname", "textrm", *STYLES)
TABLES = {"cases": ("{", ""), "aligned": ("", ""), "matrix": ("", ""), "pmatrix": ("(", ")"), "bmatrix": ("[", "]"),
          "array": ("", "")}
ENDS = ("}", r"\end", r"\right", "&", r"\\")
OPERATORS = "+-=<>()[]|/*,;:.!'"
UNARY = ("<mo>−</mo>", "<mo>+</mo>", "<mo>±</mo>", "<mo>∓</mo>")
CLOSING = (*(f'<mo stretchy="false">{sign}</mo>' for sign in ")]}⌋⌉⟩"), "<mo>!</mo>", "<mo>′</mo>")


def mathml(formula: str, block: bool = False) -> str:
    """A formula as MathML; a block stands on a line of its own."""
    reader = Reader(formula)
    body = reader.row()
    if reader.tokens:
        raise ValueError(f"{reader.tokens[-1]!r} is not expected in {formula!r}")
    return f'<math display="block">{body}</math>' if block else f"<math>{body}</math>"


class Reader:
    """The tokens of a formula, the next one last."""

    def __init__(self, formula: str) -> None:
        self.tokens = TOKEN.findall(formula)[::-1]

    def next(self) -> str:
        """The next token that is no space, which stays; "" at the end."""
        while self.tokens and self.tokens[-1].isspace():
            self.tokens.pop()
        return self.tokens[-1] if self.tokens else ""

    def take(self) -> str:
        if not self.next():
            raise ValueError("a formula ends too early")
        return self.tokens.pop()

    def row(self) -> str:
        """Everything up to the end of a group."""
        parts: list[str] = []
        while self.next() and self.next() not in ENDS:
            part = self.scripted()
            if part in UNARY and parts and parts[-1].startswith("<mo") and parts[-1] not in CLOSING:
                part = part.replace("<mo>", '<mo form="prefix">')                 # of one number: = -1
            parts.append(part)
        return parts[0] if len(parts) == 1 else f"<mrow>{''.join(parts)}</mrow>"

    def group(self) -> str:
        """What stands in braces, or one thing; of a number the first digit."""
        if self.next() != "{":
            if self.next().isdigit():
                self.tokens += [digit for digit in self.take()[::-1]]
            return self.atom()
        self.take()
        body = self.row()
        if self.take() != "}":
            raise ValueError("a } is missing")
        return body

    def words(self) -> str:
        """What stands in braces as it is, spaces included."""
        self.take()
        text, depth = "", 1
        while depth:
            token = self.tokens.pop()
            depth += (token == "{") - (token == "}")
            text += token if depth else ""
        text = re.sub(r"\s+", "\u00a0", text)
        return escape(re.sub(r"\\([_%#&$ ])|[$\\]", r"\1", text), quote=False)

    def scripted(self) -> str:
        """An atom with what stands below and above it."""
        large = self.next().removeprefix("\\") in (*LARGE, *BRACES)
        base, below, above = self.atom(), "", ""
        while self.next() in ("_", "^", "'"):
            sign = self.take()
            if sign == "_":
                below = self.group()
            else:
                above += "<mo>′</mo>" if sign == "'" else self.group()
        kind = "munder mover munderover" if large else "msub msup msubsup"
        name = kind.split()[(below == "") + 2 * (below != "" and above != "")] if below or above else ""
        if above.startswith("<mo>′</mo><"):
            above = f"<mrow>{above}</mrow>"
        return f"<{name}>{base}{below}{above}</{name}>" if name else base

    def atom(self) -> str:
        token = self.take()
        if token == "{":
            self.tokens.append(token)
            return self.group()
        if not token.startswith("\\"):
            return self.sign(token)
        name = token[1:]
        if name in LETTERS:
            return f"<mi>{LETTERS[name]}</mi>"
        if name in SIGNS:
            return operator(SIGNS[name])
        if name in LARGE:
            return f'<mo movablelimits="true" lspace="0" rspace="0.17em">{LARGE[name]}</mo>'
        if name in FUNCTIONS:
            return f"<mi>{name}</mi>" + '<mspace width="0.17em"/>' * (self.next() not in ("(", "_", "^"))
        if name in SPACES:
            return f'<mspace width="{SPACES[name]}em"/>'
        if name in SIZES:
            sign = self.take()
            return operator(SIGNS.get(sign[1:], sign), SIZES[name])
        return self.command(name)

    def sign(self, token: str) -> str:
        if token[0].isdigit():
            return f"<mn>{token}</mn>"
        if token in OPERATORS:
            return operator({"-": "−", "*": "∗"}.get(token, token))
        if token == "~":
            return '<mspace width="0.3em"/>'
        if token.isalpha():
            return f"<mi>{token}</mi>"
        raise ValueError(f"{token!r} is not known in formulas")

    def command(self, name: str) -> str:
        if name in ("frac", "tfrac", "dfrac"):
            fraction = f"<mfrac>{self.group()}{self.group()}</mfrac>"
            style = {"frac": "", "tfrac": "false", "dfrac": "true"}[name]
            return f'<mstyle displaystyle="{style}">{fraction}</mstyle>' if style else fraction
        if name == "sqrt":
            if self.next() != "[":
                return f"<msqrt>{self.group()}</msqrt>"
            self.take()
            index = self.sign(self.take())
            self.take()
            return f"<mroot>{self.group()}{index}</mroot>"
        if name in ACCENTS:
            wide = str("wide" in name or "line" in name).lower()
            return f'<mover accent="true">{self.group()}<mo stretchy="{wide}">{ACCENTS[name]}</mo></mover>'
        if name in WORDS:
            style = f' style="{STYLES[name]}"' if name in STYLES else ""
            braced = self.next() == "{"
            return f"<mtext{style}>{self.words() if braced else escape(self.take())}</mtext>"
        if name in ALPHABETS:
            return "".join(f"<mi>{ALPHABETS[name][letter]}</mi>" for letter in self.letters())
        if name == "boxed":
            return f'<mrow class="boxed">{self.group()}</mrow>'
        if name in BRACES:
            kind, sign = BRACES[name]
            return f'<{kind}>{self.group()}<mo stretchy="true">{sign}</mo></{kind}>'
        if name == "int":
            return '<mo largeop="true">∫</mo>'
        if name in ("displaystyle", "textstyle"):
            return f'<mstyle displaystyle="{str(name[0] == "d").lower()}">{self.row()}</mstyle>'
        if name == "left":
            left, body, _, right = self.delimiter(), self.row(), self.take(), self.delimiter()
            return f"<mrow>{left}{body}{right}</mrow>"
        if name == "begin":
            return self.table()
        raise ValueError(f"\\{name} is not known in formulas")

    def letters(self) -> str:
        return self.words() if self.next() == "{" else self.take()

    def delimiter(self) -> str:
        token = self.take()
        text = SIGNS.get(token[1:], token) if token[0] == "\\" else token
        return "" if text == "." else f'<mo stretchy="true">{escape(text)}</mo>'

    def table(self) -> str:
        kind = self.words()
        if kind not in TABLES:
            raise ValueError(f"\\begin{{{kind}}} is not known in formulas")
        if kind == "array":
            self.words()
        rows: list[list[str]] = [[]]
        while True:
            rows[-1].append(f"<mtd>{self.row()}</mtd>")
            end = self.take()
            if end == r"\\":
                rows.append([])
            elif end == r"\end":
                break
        self.words()
        left, right = (f'<mo stretchy="true">{sign}</mo>' if sign else "" for sign in TABLES[kind])
        body = "".join(f"<mtr>{''.join(cells)}</mtr>" for cells in rows if cells != ["<mtd><mrow></mrow></mtd>"])
        return f'<mrow>{left}<mtable class="{kind}">{body}</mtable>{right}</mrow>'


def operator(text: str, size: float = 0) -> str:
    """A sign; one of a size is as large as that. Brackets keep the size of letters unless \\left asks for more."""
    fixed = ' stretchy="false"' if text in "()[]{}⌊⌋⌈⌉⟨⟩" else ""
    if text in "|‖/":                            # else it would have the spaces of a relation
        fixed = ' stretchy="false" lspace="0" rspace="0"'
    if size:
        fixed = f' minsize="{size}em" maxsize="{size}em"'
    return f"<mo{fixed}>{escape(text, quote=False)}</mo>"
