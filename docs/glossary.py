"""Write docs/glossary.md: the words of minilq, each as the place says that they come from.

    python docs/glossary.py
"""

from __future__ import annotations

import re
from pathlib import Path

from said import cell, document, entries, first, source, table

from minilq.files import write_text

TARGET = Path(__file__).with_name("glossary.md")
TOP = """\
# Glossary

What the words mean here. [`glossary.py`](glossary.py) collects them, most from the docstrings of the files at the
right, where there is more. The formulas of every rounding, surrogate, rule and method are on
[the cheat sheet](cheat-sheet.md), and [conventions](conventions.md) says what happens at kinks.
"""

# A word, and the place whose docstring begins with what it is; behind # a word of a table in that docstring.
PLACES = {
    "bucket": "quantize.buckets",
    "calibration": "post.calibration",
    "codebook": "coding.codebook",
    "coded": "quantize.coded",
    "constraint": "autodiff.parameter:Constraint",
    "entropy": "quantize.statistics:entropy_of",
    "finding": "experiments.findings.finding",
    "float twin": "integer.float_twin",
    "folding": "nn.fold",
    "freeze": "experiments.findings.growth_penalties#freeze",
    "granularity": "quantize.granularity",
    "held": "quantize.method:Held",
    "latent": "nn.site:Site#latent",
    "mask": "quantize.methods.scaled:Scaled#mask",
    "objective": "objective",
    "parameter": "autodiff.parameter",
    "plane": "quantize.coded:Plane",
    "point": "experiments.point",
    "positivity": "quantize.positivity",
    "primitive": "autodiff.primitive",
    "qmin, qmax": "quantize.methods.scaled:Scaled#qmin, qmax",
    "replay check": "autodiff.replay",
    "scale": "quantize.coded:Even#scale",
    "scale rule": "quantize.scale_rule",
    "site": "nn.site",
    "size ladder": "coding.ladder",
    "stage": "train.stage",
    "surrogate": "quantize.surrogate",
    "sweep": "experiments.sweep",
    "tape": "autodiff.tape",
    "task": "train.task",
    "tensor": "autodiff.tensor",
    "twins": "nn.twins",
    "vectors": "quantize.vectors",
    "vote": "quantize.scale_rule#vote",
}

# The same for words that a docstring uses without saying what they are: their place, and what they are.
SAID_HERE = {
    "branch": ("quantize.branches", "of the threshold rule: which way it went for an entry, counted for the history."),
    "code": ("quantize.coded:Coded", "the whole number that stands for a value, and is all that is stored of it."),
    "coder": ("coding.coders", "what turns codes into bytes and back: packing, Huffman, a range coder, zero runs."),
    "defined": ("autodiff.entry:Kind", "of a derivative: a paper says it, derived from nothing; no check can fail."),
    "even grid": ("quantize.coded:Even", "evenly spaced values, scale (code - zero) + offset."),
    "exact": ("autodiff.entry:Kind", "of a derivative: what it claims to be."),
    "fake quantization": ("quantize.methods.scaled:fake_quantize", "to round to a code and multiply back, so that a "
                          "network in floats sees what its integers would be."),
    "front": ("experiments.pareto", "the points of a sweep that no other beats both in accuracy and in cost."),
    "frozen": ("quantize.scale_rule:frozen", "of a scale: the loss sends it nothing; penalties may still move it."),
    "gate": ("quantize.scale_rule", "of the threshold rule: that sensitive entries have no vote."),
    "gradient check": ("autodiff.gradcheck", "a derivative against finite differences, entry by entry."),
    "heuristic": ("autodiff.entry:Kind", "of a gradient: the derivative of nothing, such as the vote."),
    "hold": ("quantize.pretend:hold", "to take a number computed from the input for a constant: nothing flows back."),
    "kernel": ("kernels", "the compiled one of two twins. (Of a convolution: its weight.)"),
    "levels": ("quantize.coded:Table", "the values of a table, one for each code."),
    "line": ("integer.lines", "slope and shift of a channel: what an integer there stands for."),
    "method": ("quantize.method:Quantizer", "what puts a tensor of few values in the place of a weight, a bias or an "
               "input, with flags; what it learns there it holds at the site."),
    "offset": ("quantize.coded:Even", "of an even grid: the value of the code `zero`."),
    "penalty": ("quantize.penalties", "what is added to the loss so that scales grow, or anything else be paid for."),
    "post-training": ("post", "quantizing a network that is trained already, without training it on."),
    "pretend": ("quantize.pretend:pretend", "to give a value a derivative that does not come from how it was made."),
    "rival": ("experiments.findings.rivals", "one of the gradients that a paper and its code give for one forward."),
    "rounding": ("quantize.rounding", "from a number in steps of the scale to a whole one, the code."),
    "sensitive": ("quantize.scale_rule", "of an entry, to the threshold rule: the loss would notice it, r >= lambda."),
    "sensitivity": ("experiments.sensitivity", "what accuracy or loss a network loses where one tensor is rounded."),
    "smooth program": ("autodiff.primitive:smooth_of", "the program without jumps whose derivative a surrogate is, "
                       "with the same value at the point where it is asked."),
    "table": ("quantize.coded:Table", "a grid of any values: levels[code]."),
    "teacher": ("train.teacher", "a second network, trained already, whose answers a smaller one learns from."),
    "threshold": ("quantize.scale_rule:threshold", "lambda: below it an entry hardly matters, and votes."),
    "twin": ("kernels:twin", "one of two functions that do the same, in NumPy to be read and compiled to be fast."),
    "zero": ("quantize.coded:Even", "of an even grid: the code that stands for 0, or for `offset`."),
}


def meaning(place: str) -> str:
    """What a place says a word means: the row of its table, or its first paragraph without the word before a colon."""
    where, _, word = place.partition("#")
    said = document(f"minilq.{where}")
    found = entries(said)[word] if word else re.sub(r"^(?:The )?[\w ]{1,20}: ", "", first(said))
    return found[0].lower() + found[1:] if found.startswith(("The ", "What ", "A ")) else found


def text() -> str:
    """The page."""
    meanings = {word: (place, meaning(place)) for word, place in PLACES.items()} | SAID_HERE
    rows = [(f"**{word}**", cell(said).rstrip("."), source(f"minilq.{place.partition('#')[0]}"))
            for word, (place, said) in sorted(meanings.items())]
    return f"{TOP}\n{table(('word', 'what it is', 'from'), *rows)}\n"


if __name__ == "__main__":
    write_text(TARGET, text())
