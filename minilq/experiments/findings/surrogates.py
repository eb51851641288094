"""What a surrogate reports: not the slope of the true loss, which is 0, but nearly that of a dithered one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.data import Dataset, load
from minilq.experiments.build import streams
from minilq.experiments.findings import rivals
from minilq.experiments.findings.finding import Check, Finding, Table, number
from minilq.experiments.findings.rival_flags import Rivals
from minilq.experiments.findings.surrogate_bias import A, B, Bias, of_grid, of_sign
from minilq.nn import Sequential
from minilq.ops import softmax_cross_entropy
from minilq.quantize.methods import BWN
from minilq.quantize.rounding import sign
from minilq.quantize.surrogate import SURROGATES
from minilq.train.metrics import INPUTS

WEIGHT = "dense1.weight"
IMAGES = 200
STEPS = (0.5, 0.25)
END = 1.5
"""How far the line goes: from t = 0, where the training started, past t = 1, where it ended."""

Slopes = dict[str, Array]


@dataclass(frozen=True)
class Surrogates:
    """Losses of a network whose first weight is s sgn(w), at places t of a line through its weights.

    true        the loss
    still       the loss half way to the next place where any weight changes its sign
    dithered    the mean of the loss with uniform noise within -s .. s on w
    bare        by surrogate, what it reports of the slope along the line
    noisy       the same under the noise, on average
    bias        by surrogate, for a quadratic and a sign; grids: of straight-through for steps of a grid
    """

    t: Array
    true: Array
    still: Array
    dithered: Array
    bare: Slopes
    noisy: Slopes
    draws: int
    bias: dict[str, Bias]
    grids: dict[float, Bias]

    @property
    def slope(self) -> Array:
        """Of the dithered loss, between two places each."""
        return np.asarray(np.diff(self.dithered) / np.diff(self.t))

    def agreement(self, slopes: Array) -> tuple[float, float]:
        """Cosine of reported slopes with that of the dithered loss, and how many times as long they are."""
        cosine, _ = rivals.compared((slopes[1:] + slopes[:-1]) / 2, self.slope)
        return cosine, float(np.linalg.norm((slopes[1:] + slopes[:-1]) / 2) / np.linalg.norm(self.slope))

    def setting(self) -> str:
        return (f"A network 784 - {rivals.WIDTH} - 10 with s·sgn(w) for its first weight was trained on the embedded "
                f"digits. On the line from its first to its last w, at {len(self.t)} places: the loss of {IMAGES} "
                f"images, and its mean over {self.draws} draws of noise within -s .. s. Cosine and length compare what "
                "a surrogate reports of the slope along the line with the slope of that mean; bare: without noise. "
                f"Bias: of a loss {A / 2:g}·y² + {B:g}·y, first of y = sgn(x + u), u uniform in -1 .. 1, then of "
                "y = s·round((x + u)/s), u within half a step, f = x/s - floor(x/s).")

    def tables(self) -> list[Table]:
        def cells(slopes: Array) -> tuple[str, str]:
            cosine, length = self.agreement(slopes)
            return "-" if np.isnan(cosine) else f"{cosine:.3f}", number(length)

        def at(bias: Bias) -> tuple[str, ...]:
            n = len(bias.x)
            shown = [*bias.measured[[n // 4, n // 2, -1 - n // 4]], bias.measured.mean()]
            return (*(f"{round(value, 4) + 0.0:+.4f}" for value in shown), f"{bias.error:.0e}")

        half, quarter = (("x = -1/2", "0", "1/2"), ("f = 1/4", "1/2", "3/4"))
        return [[("surrogate", "cosine", "length", "bare cosine", "bare length"), *(
                    (name, *cells(self.noisy[name]), *cells(self.bare[name])) for name in self.noisy)],
                [("bias", *half, "mean", "off the closed form"), *((name, *at(b)) for name, b in self.bias.items())],
                [("straight-through, s", *quarter, "mean", "off A·s·(f - 1/2)"), *(
                    (number(step), *at(b)) for step, b in self.grids.items())]]

    def checks(self) -> Mapping[str, Check]:
        found = {name: self.agreement(slopes) for name, slopes in self.noisy.items() if slopes.any()}
        worst = min(found, key=lambda name: found[name][0])
        by_length = sorted(found, key=lambda name: found[name][1])
        short, long = by_length[0], by_length[-1]
        still = int(np.sum(self.still == self.true))
        error = max(bias.error for bias in self.bias.values())
        grid = max(bias.error for bias in self.grids.values())
        mean = max(abs(bias.measured.mean()) for bias in self.grids.values())
        return {"The true loss does not move until a weight changes its sign: its slope is 0": Check(
                    still == len(self.t), f"at {still} of {len(self.t)} places"),
                "The dithered loss has a slope, and every surrogate that is not 0 reports its direction": Check(
                    min(cosine for cosine, _ in found.values()) > 0.95,
                    f"{len(found)} of {len(self.noisy)}; the smallest cosine is {found[worst][0]:.3f}, of {worst}"),
                "They do not report its length": Check(
                    found[long][1] > 1.5 * found[short][1],
                    f"from {found[short][1]:.2f} times, {short}, to {found[long][1]:.2f} times, {long}"),
                "The bias of each for a quadratic is its closed form": Check(
                    error < 1e-5, f"at most {error:.0e} off"),
                "That of straight-through on a grid is A·s·(f - 1/2), nothing on average over f": Check(
                    max(grid, mean) < 1e-9, f"at most {grid:.0e} off, mean {mean:.0e}")}


def measure(seed: int = 42, epochs: int = 2, places: int = 31, draws: int = 16) -> Surrogates:
    """Train a network, walk along a line through its weights, and take the bias of every surrogate."""
    data = load("digits")
    model, start, end = trained(data, seed, epochs)
    t, s, d = np.linspace(0, END, places), float(np.abs(end).mean()), end - start
    rng = np.random.default_rng(seed)
    noise = [s * rng.uniform(-1, 1, d.shape) for _ in range(draws)]
    true, still, dithered = (np.empty(places) for _ in range(3))
    bare, noisy = ({name: np.empty(places) for name in SURROGATES} for _ in range(2))
    for n, place in enumerate(t):
        w = start + place * d
        true[n], slopes = look(model, data, w, s, d)
        still[n], _ = look(model, data, w + before_a_change(w, d) / 2 * d, s, d)
        of_draws = [look(model, data, w + u, s, d) for u in noise]
        dithered[n] = np.mean([loss for loss, _ in of_draws])
        for name in SURROGATES:
            bare[name][n], noisy[name][n] = slopes[name], np.mean([own[name] for _, own in of_draws])
    return Surrogates(t, true, still, dithered, bare, noisy, draws, {name: of_sign(name) for name in SURROGATES},
                      {step: of_grid(step) for step in STEPS})


def trained(data: Dataset, seed: int, epochs: int) -> tuple[Sequential, Array, Array]:
    """A network with binary weights, without its method; and its first weight before and after the training."""
    one = Rivals(BWN("scalar"), "gradient", ("paper",))
    start = rivals.network(one, "paper", streams(seed)["init"]).parameters()[f"{WEIGHT}.latent"]
    model, _ = rivals.train(one, "paper", data, seed, epochs)
    end = model.parameters()[f"{WEIGHT}.latent"].array.astype(np.float64)
    model.sites()[WEIGHT].change(None)
    return model, start.array.astype(np.float64), end


def look(model: Sequential, data: Dataset, w: Array, s: float, d: Array) -> tuple[float, dict[str, float]]:
    """The loss at s sgn(w), and what each surrogate reports of its slope along d."""
    weight = model.parameters()[f"{WEIGHT}.latent"]
    weight.array[...] = s * sign(w)
    weight.changed_in_place()
    weight.grad = None
    loss = softmax_cross_entropy(model(Tensor(INPUTS["unit"](data.train_images[:IMAGES]))), data.train_labels[:IMAGES])
    loss.backward()
    # y = s sigma(w / s) + c   =>   dy/dw = sigma'(w / s)
    return loss.item(), {name: float((weight.grad * surrogate.slope(w / s, None, None) * d).sum())
                         for name, surrogate in SURROGATES.items()}


def before_a_change(w: Array, d: Array) -> float:
    """The smallest step > 0 along d at which an entry of w becomes 0."""
    steps = -w[d != 0] / d[d != 0]
    return float(min(steps[steps > 0], default=1.0))


FINDING = Finding(
    "surrogates", "what a surrogate reports: the slope of a dithered loss, nearly",
    "The loss of a network whose weights are signs is flat, and jumps where a weight changes its sign: its derivative "
    "says nothing. With noise before the sign its mean has a slope. A surrogate σ(w) reports g·σ'(w) instead: nearly "
    "the direction of that slope, but not its length. For a quadratic loss A/2·y² + B·y under uniform dither the bias "
    "is (A·(σ(x+1) + σ(x-1) - 2σ(0)) + B·(σ(x+1) - σ(x-1) - 2)) / 2; of straight-through on a grid, A·s·(f - 1/2).",
    "Bengio et al. 2013 for straight-through, the curves as in minilq methods bnn; the comparison is measured here",
    measure)
