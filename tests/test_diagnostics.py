"""What an epoch did to codes and scales, and how often the threshold rule took which of its branches."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minilq.data import Dataset
from minilq.errors import DataError
from minilq.experiments.build import streams
from minilq.nn import Dense, Flatten, ReLU, Sequential, codes_in, quantize
from minilq.objective import Objective, l2
from minilq.optim import Adam
from minilq.quantize import Nested, Scaled, chain_rule, frozen, stochastic, threshold
from minilq.quantize.branches import Branches, branches
from minilq.quantize.granularity import scale_shape
from minilq.quantize.methods.scaled import countable
from minilq.quantize.scale_rule import EPS32, Threshold, threshold_scale_gradient
from minilq.schedule import steps
from minilq.train.checkpoint import load_checkpoint, save_checkpoint
from minilq.train.diagnostics import flips, scale_movement
from minilq.train.history import read_history, write_history
from minilq.train.loop import Trainer
from minilq.train.metrics import INPUTS
from tests.networks import everywhere, latents, quantized

SHARES = ("full", "voted", "abstained", "zero_gradient")

SHAPES = st.sampled_from([((4, 3), "row"), ((4, 3), "column"), ((4, 3), "scalar"), ((5,), "scalar"), ((4, 3), (0, 1)),
                          ((2, 2, 3, 2), "channel"), ((2, 2, 3, 2), (0, 3)), ((0, 3), "column"), ((1, 1), "row")])


@st.composite
def cases(draw):
    """Zeros, reconstructions below eps, entries exactly at the threshold, and a lambda that is 0 in float32."""
    shape, granularity = draw(SHAPES)
    dtype, lam = draw(st.sampled_from([np.float32, np.float64])), draw(st.sampled_from([1e-50, 1e-10, 0.5, 3.0]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    y = rng.choice([0.0, 1e-9, 0.25, -0.5, 2.0], shape).astype(dtype)
    distance = rng.choice([0.0, 0.5, 1.0, 1.0, 7.0, -7.0], shape, p=rng.dirichlet(np.ones(6))).astype(dtype)
    g = distance * dtype(lam) * np.where(y == 0, dtype(EPS32), np.abs(y))
    return g, y, lam, scale_shape(granularity, shape)


def transcribed(g, y, lam, s_shape):
    """The rule as written, entry by entry."""
    groups = {}
    padded = (1,) * (y.ndim - len(s_shape)) + s_shape
    for where in np.ndindex(*y.shape):
        key = tuple(i if n > 1 else 0 for i, n in zip(where, padded, strict=True))
        r = abs(g[where]) / (abs(y[where]) if y[where] != 0 else y.dtype.type(EPS32))
        groups.setdefault(key, []).append((bool(r >= y.dtype.type(lam)), bool(g[where] == 0)))
    full = [group for group in groups.values() if all(sensitive for sensitive, _ in group)]
    others = [entry for group in groups.values() if group not in full for entry in group]
    return Branches(full=len(full), groups=len(groups), voted=sum(not sensitive for sensitive, _ in others),
                    abstained=sum(sensitive for sensitive, _ in others), entries=y.size,
                    zero_gradient=sum(zero for sensitive, zero in others if not sensitive))


@given(case=cases())
def test_branches_are_those_of_a_plain_transcription(case):
    g, y, _, s_shape = case
    counted = branches(*case)
    if y.size:
        assert counted == transcribed(*case)
        assert counted.groups == math.prod(s_shape)
    outvoted = counted.full * (y.size // math.prod(s_shape)) if y.size else 0
    assert counted.voted + counted.abstained + outvoted == counted.entries == g.size


@pytest.mark.usefixtures("both_backends")
@given(case=SHAPES.filter(lambda case: 0 not in case[0]), dtype=st.sampled_from([np.float32, np.float64]),
       lam=st.sampled_from([1e-10, 0.1, 3.0]), share=st.sampled_from([0.1, 0.5, 0.9]), seed=st.integers(0, 2**32 - 1))
def test_branches_are_those_that_the_rule_takes(case, dtype, lam, share, seed):
    # Entries with the gradient 0 vote with all of tanh(lambda), the others abstain: so ds tells how many voted.
    (shape, granularity), rng = case, np.random.default_rng(seed)
    y = rng.choice([0.25, -0.5, 2.0], shape).astype(dtype)
    g = np.where(rng.random(shape) < share, 0, rng.choice([-1, 1, 4], shape) * 2 * lam * np.abs(y)).astype(dtype)
    s = np.full(scale_shape(granularity, shape), 0.25, dtype)
    counted = branches(g, y, lam, s.shape)
    votes = threshold_scale_gradient(g, y, s, lam) / threshold_scale_gradient(g, y, s, lam, gate=False)
    of_group = counted.entries // counted.groups
    assert votes.sum() * of_group == pytest.approx(counted.voted + counted.full * of_group, rel=1e-5)
    assert np.count_nonzero(votes > 1 - 1e-5) >= counted.full
    assert counted.zero_gradient == counted.voted == np.count_nonzero(g == 0)


def test_counts_add_up_and_shares_of_nothing_are_zero():
    total = Branches(1, 2, 3, 4, 12, 2) + Branches(0, 2, 1, 0, 4, 1)
    assert total == Branches(1, 4, 4, 4, 16, 3)
    assert total.columns() == {"branches/full": 0.25, "branches/voted": 0.25, "branches/abstained": 0.25,
                               "branches/zero_gradient": 0.75}
    assert set(Branches().columns().values()) == {0.0}


@pytest.mark.parametrize(("quantizer", "yes"), [
    (Scaled(), True), (Scaled("nearest", granularity="column", scale_rule=threshold(3.0)), True),
    (Scaled(positivity="exp"), True), (Scaled(scale_rule=threshold(0.0)), False),
    (Scaled(scale_rule=threshold(1.0, gate=False)), False), (Scaled(scale_rule=frozen()), False),
    (Scaled(scale_rule=chain_rule()), False), (Scaled(surrogate="clipped"), False),
    (Scaled(qmin=-8), False), (Scaled(qmax=7), False),
    (Scaled(stochastic(np.random.default_rng(0))), False)], ids=str)
def test_which_branches_can_be_counted_from_the_gradient_of_a_parameter(quantizer, yes):
    assert countable(quantizer) == yes


def test_flips_and_movement_are_pooled_over_parameters():
    before = {"w": np.array([[1, -2], [3, 4]], np.int8), "b": np.array([100], np.int16)}
    now = {"b": np.array([300], np.int16), "w": np.array([[1, -2], [3, 4]], np.int32)}
    assert flips(before, now) == 0.2
    assert flips(before, before) == 0
    scales = {"w": np.array([[1e-5], [2.0]], np.float32), "b": np.array([4.0], np.float32)}
    assert scale_movement(scales, {**scales, "b": np.array([1.0], np.float32)}) == 0.25
    assert scale_movement(scales, {name: 3 * s for name, s in scales.items()}) == pytest.approx(2)
    assert scale_movement(scales, scales) == 0


# ---- in a training

N, BATCH = 70, 32                                # batches of 32, 32 and 6 images


def tiny():
    rng = np.random.default_rng(5)
    images, labels = rng.integers(0, 256, (N + 20, 6, 6), dtype=np.uint8), rng.integers(0, 10, N + 20)
    images[:, 0] = 0                             # dead pixels
    return Dataset("tiny", images[:N], labels[:N], images[N:], labels[N:], tuple("0123456789"))


def trainer(method=None, seed=0, lr=1e-3, **settings):
    generators = streams(seed)
    rng = generators["init"]
    model = Sequential(Flatten(), Dense(36, 8, rng), ReLU(), Dense(8, 10, rng))
    if method != "float":
        quantize(model, everywhere(method or Scaled(scale_rule=threshold(1e-3))))
    if "objective" in settings:
        settings["objective"] = settings["objective"](model)
    adam = Adam(model.parameters().values(), lr=lr)
    return Trainer(model, adam, tiny(), INPUTS["unit"], BATCH, generators, **settings)


def moment(t):
    return codes_in(t.model), {name: site.scale.array.copy() for name, site in quantized(t.model).items()}


@pytest.mark.parametrize("positivity", ["clamp", "exp", "power_of_two"])
def test_each_row_compares_with_the_end_of_the_epoch_before_and_the_first_with_the_beginning(positivity):
    # Rates at which scales move in nine steps: a power of two only when its exponent has gone half of the way.
    rate = {"clamp": 1e-3, "exp": 1e-2, "power_of_two": 0.1}[positivity]
    t = trainer(Scaled(scale_rule=threshold(1e-3), positivity=positivity), lr=rate)
    moments = [moment(t)]
    t.run(3, after_epoch=lambda row: moments.append(moment(t)))
    for row, before, now in zip(t.rows, moments, moments[1:], strict=False):
        assert row["flips"] == flips(before[0], now[0]) > 0
        assert row["scale_movement"] == scale_movement(before[1], now[1])
    assert max(row["scale_movement"] for row in t.rows) > 0


def test_nothing_moves_while_nothing_is_learned():
    t = trainer(schedule=steps({1: 0.0}))
    t.run(2)
    assert t.rows[0]["flips"] > 0
    assert (t.rows[1]["flips"], t.rows[1]["scale_movement"]) == (0, 0)


@pytest.mark.parametrize("positivity", ["clamp", "exp"])
def test_branches_are_counted_from_what_the_rule_was_given_in_the_last_batch(positivity, monkeypatch):
    calls = []
    real = Threshold.scale_gradient

    def watched(self, g, y, P, s, slope, qmax):
        calls.append((g.copy(), y.copy(), self.lam, s.shape))
        return real(self, g, y, P, s, slope, qmax)

    monkeypatch.setattr(Threshold, "scale_gradient", watched)
    t = trainer(Scaled(scale_rule=threshold(1e-3), positivity=positivity))
    for epoch in range(2):
        calls.clear()
        t.run(epoch + 1)
        assert len(calls) == 3 * 4               # batches and parameters
        want = sum((branches(*call) for call in calls[-4:]), start=Branches())
        assert {k: v for k, v in t.rows[-1].items() if k.startswith("branches/")} == want.columns()
        gradients = {site.latent.grad.tobytes() for site in quantized(t.model).values()}
        assert {g.tobytes() for g, *_ in calls[-4:]} == gradients
    assert 0 < t.rows[-1]["branches/voted"] < 1


def test_branches_are_counted_only_where_the_gradient_is_that_of_the_rule():
    def has_branches(*settings, **more):
        t = trainer(*settings, **more)
        t.run(1)
        return [share for share in SHARES if f"branches/{share}" in t.rows[0]]

    assert has_branches() == list(SHARES)
    assert has_branches(Nested(1e-3)) == list(SHARES)
    assert has_branches(Scaled(scale_rule=frozen())) == []
    assert has_branches(objective=lambda m: Objective({"l2": lambda: l2(latents(m).values(), 1e-4)})) == []


def test_a_parameter_out_of_the_reach_of_the_loss_does_not_count():
    t = trainer(lr=0.0)
    t.run(1)
    (whole,) = t.watch.observed
    latents(t.model)["dense1.weight"].grad = None
    t.watch.look()
    assert t.watch.observed[0].entries == whole.entries - 36 * 8


def test_a_float_network_has_none_of_these_columns_and_keeps_nothing():
    t = trainer("float")
    t.run(2, stop=lambda: t.place.epoch == 1 and t.place.batch == 1)
    assert not {"flips", "scale_movement", "entropy", "zeros", "sqnr"} & set(t.rows[0])
    assert not any(key.startswith("before/") for key in t.state()[0])


def test_every_row_of_a_quantized_network_has_every_column(tmp_path):
    t = trainer()
    t.run(3)
    write_history(tmp_path / "h.csv", [{"network": "quantized", **row} for row in t.rows])
    back = read_history(tmp_path / "h.csv")
    assert back == [{"network": "quantized", **row} for row in t.rows]
    assert {"entropy", "zeros", "sqnr", "flips", "scale_movement", *(f"branches/{s}" for s in SHARES)} <= set(back[0])
    json.dumps(t.rows, allow_nan=False)


@pytest.mark.parametrize("rounding", ["floor", "stochastic"])
@pytest.mark.parametrize(("epoch", "batch"), [(0, 0), (0, 1), (1, 0), (1, 2), (2, 0)])
def test_stopped_anywhere_the_rows_are_those_of_never_stopped(rounding, epoch, batch, tmp_path):
    def new(seed):
        t = trainer(seed=seed)
        if rounding == "stochastic":
            rng = t.generators["noise"]
            t = trainer(Scaled(stochastic(rng), scale_rule=threshold(1e-3)), seed)
            t.generators["noise"] = rng
        return t

    def columns(t):
        return [{k: v for k, v in row.items() if k != "seconds"} for row in t.rows]

    whole, first, second = new(0), new(0), new(99)
    whole.run(3)
    first.run(3, stop=lambda: (first.place.epoch, first.place.batch) == (epoch, batch))
    save_checkpoint(tmp_path / "c.npz", *first.state())
    second.load_state(*load_checkpoint(tmp_path / "c.npz"))
    second.run(3)
    assert columns(second) == columns(whole)


def stopped(batch=1, **settings):
    t = trainer(**settings)
    t.run(2, stop=lambda: t.place.epoch == 1 and t.place.batch == batch)
    return t.state()


def test_a_checkpoint_grows_only_inside_an_epoch_and_by_narrow_integers():
    arrays, _ = stopped()
    before = {key: a for key, a in arrays.items() if key.startswith("before/")}
    assert len(before) == 4 + 4
    assert {a.dtype for key, a in before.items() if "/code/" in key} <= {np.dtype(np.int8), np.dtype(np.int16)}
    t = trainer()
    t.run(2)
    assert not any(key.startswith("before/") for key in t.state()[0])


@pytest.mark.parametrize("change", [
    lambda a: a.pop("before/code/dense1.weight"), lambda a: a.pop("before/scale/dense2.bias"),
    lambda a: a.update({"before/code/dense1.bias": np.zeros(9, np.int8)}),
    lambda a: a.update({"before/code/dense1.bias": np.zeros(8)}),
    lambda a: a.update({"before/scale/dense1.weight": np.ones((1, 8), np.float32)})])
def test_the_middle_of_an_epoch_without_its_beginning_is_refused(change):
    arrays, meta = stopped()
    change(arrays)
    with pytest.raises(DataError, match=r"in the middle of an epoch the checkpoint must hold before/"):
        trainer(seed=99).load_state(arrays, meta)
