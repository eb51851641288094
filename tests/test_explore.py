"""tutorials/explore.html computes what minilq computes: its own JavaScript is run on the same inputs."""

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from minilq import Adam, Nested, Parameter, Scaled, Site
from minilq.data import load
from minilq.experiments.findings import surrogate_bias
from minilq.experiments.findings.growth import Growth
from minilq.experiments.findings.training import EPSILON, LR
from minilq.optim import SGD
from minilq.quantize import SCALE_MIN, codes_of, fake_quantize, frozen
from minilq.quantize.deviations import absolute_deviation_term, absolute_deviation_term_vjp
from minilq.quantize.methods.scaled import fake_quantize_vjp
from minilq.quantize.penalties import (
    difference_term,
    difference_term_vjp,
    inverse_term,
    inverse_term_vjp,
    maxbin_term,
    maxbin_term_vjp,
)
from minilq.quantize.rounding import ROUNDINGS
from minilq.quantize.scale_rule import threshold_scale_gradient
from minilq.quantize.statistics import entropy_of
from minilq.quantize.surrogate import SURROGATES
from minilq.train.metrics import unit

PAGE = Path(__file__).parent.parent / "tutorials" / "explore.html"
DRIVER = """
const own = require("./page.js"), calls = JSON.parse(require("fs").readFileSync(0));
const named = name => name.split(".").reduce((at, key) => at[key], own);
const answer = ([name, ...given]) => typeof named(name) === "function" ? named(name)(...given) : named(name);
console.log(JSON.stringify(calls.map(answer)));
"""
NODE = shutil.which("node")
TRIES = 60


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """calls [[name, argument, ...], ...] -> what the page's functions of these names return."""
    if NODE is None:
        pytest.skip("node runs the page's JavaScript, and is not installed")
    folder = tmp_path_factory.mktemp("page")
    script, = re.findall(r"<script>\n(.*?)</script>", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (folder / "page.js").write_text(script, encoding="utf-8")

    def run(calls):
        done = subprocess.run([NODE, "-e", DRIVER], input=json.dumps(calls), capture_output=True, text=True, cwd=folder,
                              check=False)
        assert not done.stderr, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="module")
def digits():
    return load("digits")


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def near(found, expected, rtol=1e-6, atol=1e-9):
    np.testing.assert_allclose(np.asarray(found, float), np.asarray(expected, float), rtol=rtol, atol=atol)


def test_the_page_needs_nothing_but_itself():
    text = PAGE.read_text(encoding="utf-8")
    assert not re.findall(r"https?:|@import|url\((?!#)|<link|<img|<script .*src|fetch\(|import\(", text)
    assert [line for line in text.splitlines() if len(line) > 120 and not re.match(r'  \[\d, "', line)] == []
    for name in re.findall(r'href="([^"#]+)"', text):
        assert (PAGE.parent / name).exists(), name


def test_every_control_has_a_label():
    text = PAGE.read_text(encoding="utf-8")
    labels = "".join(re.findall(r"<label>.*?</label>", text, re.DOTALL))
    controls = re.findall(r"<(?:input|select)\b", text)
    assert len(controls) == len(re.findall(r"<(?:input|select)\b", labels)) >= 15
    assert "<output" not in labels               # which would be what is labelled, and not the slider
    assert not [tag for tag in re.findall(r"<(?:canvas|svg)\b[^>]*id=[^>]*>", text) if "aria-label" not in tag]


def test_its_digits_are_those_of_the_package(run, digits):
    shown, = run([["DIGITS"]])
    for label, text in shown:
        pixels = np.frombuffer(base64.b64decode(text), np.uint8).reshape(28, 28)
        same = (digits.train_images[:100] == pixels).all(axis=(1, 2))
        assert digits.train_labels[:100][same] == [label]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding(run, rng, digits, dtype):
    calls, codes, values, found = [], [], [], []
    for n in range(TRIES):
        s = np.array([2.0 ** rng.uniform(-8, 1)], dtype)
        P = np.concatenate([rng.normal(0, 1, 6), rng.integers(-4, 5, 4) * s[0], (rng.integers(-4, 5, 4) + 0.5) * s[0]])
        P = unit(digits.train_images[n, 14]) if n % 4 == 0 else P
        P, name = P.astype(dtype), [*ROUNDINGS][n % len(ROUNDINGS)]
        low, high = [(None, None), (-2, 1), (0, 7), (None, 3)][n % 4]
        method = Scaled(name, granularity="scalar", qmin=low, qmax=high)
        calls.append(["fakeQuantize", P.tolist(), float(s[0]), name, low, high, dtype == np.float32])
        codes.append(codes_of(P, s, method))
        values.append(fake_quantize(P, s, method))
        e = values[-1].astype(float) - P
        found.append([e.mean(), np.sqrt((e * e).mean()), len(np.unique(codes[-1])), entropy_of(codes[-1])])
    made = run(calls)
    for one, k, y in zip(made, codes, values, strict=True):
        np.testing.assert_array_equal(one["codes"], k)
        np.testing.assert_array_equal(np.array(one["y"], dtype), y)
    told = run([["measured", call[1], one] for call, one in zip(calls, made, strict=True)])
    near([[one[key] for key in ("mean", "rms", "different", "entropy")] for one in told], found)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_vote(run, rng, dtype):
    calls, expected = [], []
    for n in range(TRIES):
        s = dtype(10.0 ** rng.uniform(-5, 0))
        y = (s * rng.integers(-9, 10, 12)).astype(dtype)
        lam = float(10.0 ** rng.uniform(-12, 0))
        size = [lam, 0, 1e6, lam * 2**-23][n % 4]                 # some vote, all, none, some of those at 0
        g = (rng.normal(0, 1, 12) * size).astype(dtype)
        calls.append(["vote", g.tolist(), y.tolist(), float(s), lam, dtype == np.float32])
        expected.append(threshold_scale_gradient(g, y, np.array([s]), lam).item())
    near(run(calls), expected, atol=0)


def test_growth(run, rng):
    """By Adam and by descent, of the library's site under the library's rule."""
    steps, calls, paths = 40, [], []
    for n in range(16):
        P, lam, lr, epsilon = rng.normal(0, 0.3, 10), *(10.0 ** rng.uniform((-11, -5, -8), (-8, -3, -6)))
        g = (rng.random(10) < 0.3).astype(float)
        site = Site(Parameter(P[None], dtype=np.float64))
        site.change(Nested(lam))
        optimizer = SGD([site.scale], lr=lr / epsilon) if n % 2 else Adam([site.scale], lr=lr, epsilon=epsilon)
        path = [site.scale.item()]
        for _ in range(steps):
            y = site()
            optimizer.zero_grad()
            y.backward(g[None])
            optimizer.step()
            path.append(site.scale.item())
        calls.append(["grown", P.tolist(), g.tolist(), lam, lr, epsilon, steps, n % 2 == 0])
        paths.append(path)
    near(run(calls), paths)


def test_the_law_and_the_knee(run):
    law = Growth(2, lambda model: np.zeros(1))
    law.start, law.sum = np.array([SCALE_MIN]), np.array([1e-10 * 0.4 * 0.2 * 5000])
    theta = Parameter(np.zeros(3), dtype=np.float64)
    theta.grad, adam = -np.array([1e-9, 1e-7, 1e-5]), Adam([theta], lr=LR, epsilon=EPSILON)
    for _ in range(299):
        adam.step()
    before = theta.array.copy()
    adam.step()
    found = run([["lawOfGrowth", 1e-10, LR, EPSILON, 0.4, 0.2, 5000],
                 *(["adamStep", -c, LR, EPSILON, 300] for c in theta.grad)])
    near(found, [law._by_law().item(), *(theta.array - before)])


def test_penalties(run, rng):
    grid, one = Scaled("nearest", granularity="scalar"), np.ones(())
    calls, expected = [], []
    for n in range(TRIES):
        P, s = rng.normal(0, 1, 4).round(n % 3 + 1), np.array([rng.uniform(0.05, 2)])
        P[0] = -P[1] if n % 5 == 0 else P[0]                      # a tie for the largest
        terms = [(maxbin_term(P, s), *maxbin_term_vjp(one, one, P, s)),
                 (inverse_term(s), np.zeros(4), *inverse_term_vjp(one, one, s)),
                 (difference_term(P, s), *difference_term_vjp(one, one, P, s)),
                 (absolute_deviation_term(P, s, grid), *absolute_deviation_term_vjp(one, one, P, s, grid))]
        calls += [[f"PENALTIES.{name}", P.tolist(), s.item()] for name in
                  ("maxbin", "inverse", "difference", "absolute_deviation")]
        expected += [np.concatenate([np.ravel(part) for part in term]) for term in terms]
    near([np.concatenate([[value], dP, [ds]]) for value, dP, ds in run(calls)], expected)


def test_downhill_goes_down(run, rng):
    starts = [[name, [float(P), 0.5, -0.25], float(s)] for name in ("maxbin", "difference", "absolute_deviation")
              for P, s in zip(rng.uniform(-1, 1, 5), rng.uniform(0.1, 1.4, 5), strict=True)]
    paths = run([["downhill", *start] for start in starts])
    heights = iter(run([[f"PENALTIES.{name}", [p, *P[1:]], s]
                        for (name, P, _), path in zip(starts, paths, strict=True) for p, s in path]))
    for path in paths:
        assert (np.diff([next(heights)[0] for _ in path]) < 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_surrogates(run, rng, dtype):
    calls, expected = [], []
    for name, surrogate in SURROGATES.items():
        for low, high in ((None, None), (-2, 1), (None, 3)):
            for u in np.concatenate([rng.normal(0, 2, 12), [-2, -1, 0, 1, 3, 40]]).astype(dtype):
                for part in ("curve", "slope"):
                    calls.append([f"SURROGATES.{name}.{part}", float(u), low, high])
                    expected.append(getattr(surrogate, part)(np.array([u]), low, high).item())
    near(run(calls), expected, atol=1e-6)


def test_what_is_reported_of_a_loss(run, rng):
    """Bare, by the derivative of the library; under noise, by the mean over dither whose cells end at the jump."""
    calls, expected, cells = [], [], 40
    for n in range(TRIES):
        rounding, name = ("sign", "nearest", "floor")[n % 3], [*SURROGATES][n % len(SURROGATES)]
        s, (A, B) = rng.uniform(0.2, 1.5), rng.normal(0, 2, 2)
        x, half = s * (rng.integers(-18, 19) + 0.01) / 20, s * (1 if rounding == "sign" else 0.5)
        method = Scaled(rounding, name, "scalar", frozen())

        def loss_and_slope(x, s=s, A=A, B=B, method=method):
            y = fake_quantize(x, np.array([s]), method)
            return y, A / 2 * y * y + B * y, fake_quantize_vjp(A * y + B, y, x, np.array([s]), method)[0]

        middles = half * ((2 * np.arange(cells) + 1) / cells - 1) - s * 0.01 / 20
        y, loss, bare = (v.item() for v in loss_and_slope(np.array([x])))
        _, losses, slopes = loss_and_slope(x + middles)
        calls += [["reported", name, rounding, x, s, A, B],
                  ["reported", "straight_through", rounding, x - s * 0.01 / 20, s, A, B]]
        expected.append([y, loss, bare, losses.mean(), slopes.mean() if name == "straight_through" else np.nan])
    told = run(calls)
    for one, under_noise, (y, loss, bare, mean, slope) in zip(told[::2], told[1::2], expected, strict=True):
        near([one["y"], one["loss"], one["bare"], under_noise["dithered"]], [y, loss, bare, mean])
        assert np.isnan(slope) or under_noise["noisy"] == pytest.approx(slope, rel=1e-6, abs=1e-9)


def test_the_bias_is_that_of_minilq_explain(run, monkeypatch):
    monkeypatch.setattr(surrogate_bias, "CELLS", 40)              # the closed form needs none
    A, B = surrogate_bias.A, surrogate_bias.B
    calls, expected = [], []
    for name in SURROGATES:
        bias = surrogate_bias.of_sign(name)
        calls += [["reported", name, "sign", x, 1, A, B] for x in bias.x.tolist()]
        expected += bias.closed.tolist()
    for step in (0.5, 0.25):
        bias = surrogate_bias.of_grid(step)
        calls += [["reported", "straight_through", "nearest", x, step, A, B] for x in bias.x.tolist()]
        expected += bias.closed.tolist()
    near([one["noisy"] - one["true"] for one in run(calls)], expected)
