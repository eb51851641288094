"""check: it finds planted mistakes, in minilq's methods and in one of a user's own."""

from dataclasses import dataclass

import numpy as np
import pytest

from minilq import Tensor, check, pretend, replay_check
from minilq.autodiff.parameter import Parameter
from minilq.autodiff.primitive import PRIMITIVES
from minilq.errors import ConfigError, GradientError
from minilq.quantize.coded import Coded, Even, narrowed
from minilq.quantize.method import Quantizer
from minilq.quantize.methods import LSQ, PACT, QUANTIZERS, Affine, FixedRange, LSQPlus, Nested
from minilq.quantize.methods.lsq import lsq, lsq_vjp


def silent(line):
    pass


def _reversed(ds):
    return np.ascontiguousarray(ds[..., ::-1])


# primitive, method with a scale for each column, and what is done to (gradients of all arguments, g, y, arguments)
PLANTED = {
    "lsq, no mask": (LSQ(3), "lsq", lambda d, g, *_: (g, d[1])),
    "lsq, sign of ds": (LSQ(3), "lsq", lambda d, *_: (d[0], -d[1])),
    "lsq, factor": (LSQ(3), "lsq", lambda d, g, y, x, s, low, high, factor, mask: (d[0], d[1] / factor)),
    "lsq, factor twice": (LSQ(3), "lsq", lambda d, g, y, x, s, low, high, factor, mask: (d[0], d[1] * factor)),
    "lsq, groups mixed up": (LSQ(3, granularity="filter"), "lsq", lambda d, *_: (d[0], _reversed(d[1]))),
    "lsq, sum over one axis": (LSQ(3), "lsq", lambda d, g, *_: (d[0], g.sum(axis=0)[:1])),
    "lsq, another mask": (LSQ(2, granularity="filter"), "lsq", lambda d, g, y, x, s, low, high, factor, mask:
                          lsq_vjp(g, y, x, s, low, high, factor, "round_first")),
    "lsq, no bounds in ds": (LSQ(3), "lsq", lambda d, g, y, x, s, low, high, factor, mask: (
        d[0], np.sum(factor * g * (np.rint(x / s) - x / s), keepdims=True).reshape(1))),
    "lsq_plus, no mask": (LSQPlus(3), "lsq_plus", lambda d, g, *_: (g, *d[1:])),
    "lsq_plus, sign of ds": (LSQPlus(3), "lsq_plus", lambda d, *_: (d[0], -d[1], d[2])),
    "lsq_plus, sign of db": (LSQPlus(3), "lsq_plus", lambda d, *_: (*d[:2], -d[2])),
    "lsq_plus, factor of db": (LSQPlus(3), "lsq_plus", lambda d, g, *_: (*d[:2], (g - d[0]).sum(keepdims=True)[0])),
    "lsq_plus, db of what is inside": (LSQPlus(3), "lsq_plus", lambda d, g, y, x, s, b, low, high, factor, mask: (
        *d[:2], factor * d[0].sum(keepdims=True)[0])),
    "lsq_plus, groups mixed up": (LSQPlus(3, granularity="filter"), "lsq_plus",
                                  lambda d, *_: (*d[:2], _reversed(d[2]))),
    "pact, no mask": (PACT(), "pact", lambda d, g, *_: (g, d[1])),
    "pact, mask below only": (PACT(), "pact", lambda d, g, y, x, *_: (g * (x > 0), d[1])),
    "pact, sign of dalpha": (PACT(), "pact", lambda d, *_: (d[0], -d[1])),
    "pact, everything counted": (PACT(), "pact", lambda d, g, *_: (d[0], g.sum(keepdims=True)[0])),
    "pact, mean": (PACT(), "pact", lambda d, g, *_: (d[0], d[1] / g.size)),
    "pact, the rival's": (PACT(), "pact", lambda d, g, y, x, alpha, steps, gradient: (
        d[0], d[1] + np.sum(g * ((x > 0) & (x < alpha)) * (y - x) / alpha))),
    "affine, no mask": (Affine(4, ranges="data"), "affine", lambda d, g, *_: (g,)),
    "affine, the mask without zero": (Affine(4, False, ranges="data", mask="clip_first"), "affine",
                                      lambda d, g, y, x, s, z, low, high, mask: (
                                          g * ((x / s >= low) & (x / s <= high)),)),
    "affine, sign": (Affine(4), "affine", lambda d, *_: (-d[0],)),
    "affine, times the scale": (Affine(4), "affine", lambda d, g, y, x, s, *_: (d[0] * s,)),
    "learned range, no mask": (Affine(4, ranges="learned"), "learned_range", lambda d, g, *_: (g, *d[1:])),
    "learned range, ends exchanged": (Affine(4, ranges="learned"), "learned_range", lambda d, *_: (d[0], d[2], d[1])),
    "learned range, sign of an end": (Affine(4, ranges="learned"), "learned_range", lambda d, *_: (d[0], -d[1], d[2])),
    "learned range, what is inside": (Affine(4, ranges="learned"), "learned_range",
                                      lambda d, g, *_: (d[0], d[1] + d[0].sum(keepdims=True)[0], d[2])),
    "learned range, groups mixed up": (Affine(4, ranges="learned", granularity="filter"), "learned_range",
                                       lambda d, *_: (*d[:2], _reversed(d[2]))),
    "fixed range, no mask": (FixedRange(3), "fake_quantize", lambda d, g, *_: (g, d[1])),
    "fixed range, sign": (FixedRange(3), "fake_quantize", lambda d, *_: (-d[0], d[1])),
}


@pytest.mark.parametrize("mistake", PLANTED)
def test_a_planted_mistake_is_found(mistake, monkeypatch):
    method, name, wrong = PLANTED[mistake]
    entry = PRIMITIVES[name]
    right = entry.vjp
    defaults = [parameter.default for parameter in entry.signature.parameters.values()]

    def planted(g, y, *arguments, **options):
        arguments += tuple(defaults[len(arguments):])
        return wrong(right(g, y, *arguments, **options), g, y, *arguments)

    assert all(verdict.ok for verdict in check(method, silent))
    monkeypatch.setattr(entry, "vjp", planted)
    with pytest.raises(GradientError, match="a method must do what it promises") as error:
        check(method, silent)
    assert "disagrees" in str(error.value) or "must have the shape" in str(error.value)


def test_rivals_with_one_gradient_are_found(monkeypatch):
    entry = PRIMITIVES["pact"]
    right = entry.vjp
    monkeypatch.setattr(entry, "vjp", lambda g, y, x, alpha, steps, gradient: right(g, y, x, alpha, steps, "paper"))
    failed = [verdict.name for verdict in check(PACT, silent, raises=False) if not verdict.ok]
    assert failed == ["PACT(gradient='consistent')", "PACT(gradient='consistent') told from PACT()"]


# --- a method of one's own ------------------------------------------------------------------------------------------

@pytest.fixture
def dead_zone():
    """The example of the documentation, as a class that a test may spoil."""
    @dataclass(frozen=True)
    class DeadZone(Quantizer):
        """Nearest, but zero more often: k = sgn(u) floor(|u| + c), u = x / s. s follows max |x| / B."""

        B: float = 4
        c: float = 0.35

        def start(self, x):
            return {"scale": np.array([np.abs(x).max() / self.B], x.dtype)}

        def __call__(self, x, held, training=False):
            if training:
                held["scale"][...] = np.abs(x.array).max() / self.B
            return pretend(x, self.coded(x.array, held).values)

        def coded(self, x, held):
            u = x / held["scale"]
            return Coded(narrowed(np.sign(u) * np.floor(np.abs(u) + self.c)), Even(held["scale"]))

    yield DeadZone
    del QUANTIZERS["dead-zone"]


def test_a_method_of_ones_own(dead_zone, capsys):
    verdicts = check(dead_zone)
    assert QUANTIZERS["dead-zone"] is dead_zone
    assert [verdict.kind for verdict in verdicts] == ["defined", "", "", "", ""]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert all(" ok" in line for line in lines)
    assert check(dead_zone(B=2), silent)
    x = Tensor([0.5, -3.0, 4.0], requires_grad=True, dtype=np.float64)
    held = dead_zone().start(x.array)
    y = dead_zone()(x, held)
    y.backward(np.ones(3))
    assert y.numpy().tolist() == [0, -3, 4]
    assert x.grad.tolist() == [1, 1, 1]


def _spoiled(dead_zone, **methods):
    for name, method in methods.items():
        setattr(dead_zone, name, method)
    return [(verdict.name, verdict.remark) for verdict in check(dead_zone, silent, raises=False) if not verdict.ok]


def test_codes_that_are_not_what_the_network_sees(dead_zone):
    found = _spoiled(dead_zone, __call__=lambda self, x, held, training=False: pretend(
        x, np.nextafter(self.coded(x.array, held).values, x.dtype.type(9))))
    assert found[0][0] == "DeadZone() codes"
    assert "float32: " in found[0][1]
    with pytest.raises(GradientError, match=r"DeadZone\(\) codes: float32"):
        check(dead_zone, silent)


def test_another_dtype_than_that_of_x(dead_zone):
    def coded(self, x, held):
        scale = held["scale"].astype(np.float64)
        return Coded(narrowed(np.rint(x / scale)), Even(scale))

    found = _spoiled(dead_zone, coded=coded, __call__=lambda self, x, held, training=False: pretend(
        x, self.coded(x.array, held).values.astype(x.dtype)))
    assert found == [("DeadZone() codes", "x float32 (16, 9) becomes the values of the codes float64 (16, 9)")]


def test_writing_without_training(dead_zone):
    def call(self, x, held, training=False):
        held["scale"][...] = np.abs(x.array).max() / self.B + held["scale"] / 2
        return pretend(x, self.coded(x.array, held).values)

    assert ("DeadZone() arrays", "scale written to without training") in _spoiled(dead_zone, __call__=call)


def test_arrays_that_two_starts_share(dead_zone):
    scale = np.array([1.0])
    assert ("DeadZone() arrays", "scale shares its memory with scale of another start") in _spoiled(
        dead_zone, start=lambda self, x: {"scale": scale})
    assert ("DeadZone() arrays", "scale shares its memory with x") in _spoiled(
        dead_zone, start=lambda self, x: {"scale": x[2:3, 2:3]})


def test_a_scale_that_nothing_holds_up(dead_zone):
    """A trained scale with a constraint that lets it fall to 0."""
    found = _spoiled(
        dead_zone, start=lambda self, x: {"scale": Parameter([1.0], lambda p: np.maximum(p, 0, out=p), dtype=x.dtype)},
        __call__=lambda self, x, held, training=False: lsq(x, held["scale"], -4, 3),
        coded=lambda self, x, held: LSQ(3).coded(x, held))
    assert [name for name, _ in found] == ["DeadZone() constraints"]
    assert "every scale must be > 0" in found[0][1]


def test_planes_that_do_not_add_up(dead_zone):
    class Half(Even):
        def planes(self, codes):
            return super().planes(codes)[:1]

    def coded(self, x, held):
        return Coded(narrowed(np.rint(1e4 * x)), Half(np.array([1e-4], x.dtype)))

    assert [name for name, _ in _spoiled(dead_zone, coded=coded)] == ["DeadZone() planes"]


def test_check_wants_a_method():
    with pytest.raises(ConfigError, match=r"^check: wants a method"):
        check(3)
    with pytest.raises(ConfigError, match=r"^check: wants a method"):
        check(int)


def test_heuristics_are_named_and_not_checked():
    first = check(Nested(1e-9), silent)[0]
    assert first.ok
    assert first.remark == "x agree; a heuristic: scale"
    with pytest.raises(ConfigError, match="heuristic"):
        replay_check(lambda x, s: Nested(1e-9)(x, {"scale": s}), np.ones((2, 2)) / 3, np.ones((2, 1)) / 7)


def test_a_remark_has_plain_numbers():
    @dataclass(frozen=True)
    class Half(LSQ):
        def coded(self, x, held):
            return super().coded(x * np.float32(0.5), held)

    bad = [verdict for verdict in check(Half(4), log=lambda line: None, raises=False) if not verdict.ok]
    assert any("differ, the first: " in verdict.remark for verdict in bad)
    assert not any("np." in str(verdict) for verdict in bad)
