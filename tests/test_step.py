"""A step by a plan: the same bits as by the tape, whatever the network, and the tape where there can be no plan."""

import itertools

import numpy as np
import pytest

import minilq
from minilq import (
    LSQ,
    SGD,
    Adam,
    Dense,
    Dropout,
    Flatten,
    Nested,
    ReLU,
    Residual,
    Scaled,
    Sequential,
    Tensor,
    chain_rule,
    frozen,
    quantize,
    stochastic,
)
from minilq.autodiff.tape import noting
from minilq.data import Dataset
from minilq.kernels import planned
from minilq.objective import Objective, penalty_on
from minilq.ops import add_up
from minilq.quantize import penalties
from minilq.quantize.methods import QUANTIZERS
from minilq.train.loop import Trainer
from minilq.train.metrics import INPUTS
from minilq.train.plan import Plan
from minilq.train.stage import Stage
from minilq.train.step import Step
from minilq.train.task import cross_entropy, squared_hinge

N, BATCH, EPOCHS = 76, 16, 2
BATCHES = 5                                      # of 16 images, but the last, of 12
pytestmark = pytest.mark.skipif(not minilq.kernels_in_use(), reason="without kernels there are no plans")

METHODS = {name: method for name, method in QUANTIZERS.items() if method.__module__.startswith("minilq.")}


@pytest.fixture(scope="module")
def digits():
    """Images that are mostly zeros, so that products skip them."""
    rng = np.random.default_rng(5)
    images = (rng.integers(0, 256, (N + 20, 6, 7)) * (rng.random((N + 20, 6, 7)) < 0.15)).astype(np.uint8)
    labels = rng.integers(0, 10, N + 20)
    return Dataset("tiny", images[:N], labels[:N], images[N:], labels[N:], tuple("0123456789"))


@pytest.fixture(autouse=True)
def captured():
    before = minilq.capture_in_use()
    minilq.use_capture(True)
    yield
    minilq.use_capture(before)


class Counting:
    """How many batches went which way, by the Step that is watched."""

    def __init__(self, monkeypatch):
        self.tape = self.all = 0
        by_tape, call = Step._by_tape, Step.__call__

        def counted(step, *args):
            self.tape += 1
            return by_tape(step, *args)

        def counted_call(step, *args):
            self.all += 1
            return call(step, *args)

        monkeypatch.setattr(Step, "_by_tape", counted)
        monkeypatch.setattr(Step, "__call__", counted_call)

    @property
    def planned(self):
        return self.all - self.tape


@pytest.fixture
def counting(monkeypatch):
    return Counting(monkeypatch)


def network(width=7, rng=None, dtype=np.float32):
    rng = rng or np.random.default_rng(0)
    return Sequential(Flatten(), Dense(42, width, rng, dtype=dtype), ReLU(), Dense(width, 10, rng, dtype=dtype))


def bits(t):
    """Everything that a training has come to, without the time it took."""
    arrays, meta = t.state()
    meta["place"].pop("seconds")
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in meta["rows"]]
    return {k: (a.dtype, a.shape, a.tobytes()) for k, a in arrays.items()}, {**meta, "rows": rows}


def trained(make, capture, epochs=EPOCHS, **settings):
    """What make() has come to."""
    minilq.use_capture(capture)
    trainer = make()
    assert trainer.run(epochs, **settings)
    return bits(trainer)


def maker(data, methods=None, model=network, penalty=None, optimizer=Adam, to_input=INPUTS["unit"], **settings):
    """Of a training from its beginning. methods: the last word of a site's name -> () -> its method."""
    def make():
        net = model()
        if methods is not None:
            chosen = methods()
            quantize(net, lambda name: chosen.get(name.rpartition(".")[2]))
        part = {} if penalty is None else {penalty: penalty_on(net, penalty, 1e-3)}
        return Trainer(net, optimizer(net.parameters().values(), lr=1e-3), data, to_input, BATCH,
                       {"shuffle": np.random.default_rng(3)}, objective=Objective(part) if part else None, **settings)
    return make


def nested(lam=1e-3, granularity="row", **flags):
    return lambda: {"weight": Nested(lam, granularity, **flags), "bias": Nested(lam, "scalar", **flags)}


def scaled(**flags):
    return lambda: {"weight": Scaled(**flags)}


PLANNED = {
    "float": None, "nested": nested(), "without a gate": nested(gate=False), "column": nested(granularity="column"),
    "filter and scalar": nested(granularity="scalar"), "penalties alone": nested(0.0), "a large lambda": nested(0.5),
    "ceil": nested(rounding="ceil"), "exp": nested(positivity="exp"), "softplus": nested(positivity="softplus"),
    "power of two": nested(positivity="power_of_two"),
    "nearest within bounds": scaled(rounding="nearest", scale_rule=chain_rule(), qmin=-4, qmax=3),
    "round first": scaled(rounding="nearest", scale_rule=chain_rule("lsq"), qmin=-4, qmax=3, mask="round_first"),
    "clipped": scaled(rounding="ceil", scale_rule=frozen(), granularity="column", surrogate="clipped", qmin=-2),
    "sign": scaled(rounding="sign", scale_rule=chain_rule(), surrogate="clipped"),
    "stochastic": lambda: {"weight": Scaled(stochastic(np.random.default_rng(8)))},
    "LSQ": lambda: {"weight": LSQ(4), "input": LSQ(4, signed=False)},
    "LSQ of filters": lambda: {"weight": LSQ(2, granularity="filter", mask="round_first", count="group"),
                               "input": LSQ(3, signed=False, mask="clip_first", count="features")},
}


@pytest.mark.parametrize("case", PLANNED)
def test_a_plan_gives_the_same_bits(case, digits, counting):
    make = maker(digits, PLANNED[case])
    assert trained(make, True) == trained(make, False)
    # by the tape go two batches of 16 and that of 12; and the first of all, which starts what quantizes inputs
    assert counting.planned == EPOCHS * (BATCHES - 3) - case.startswith("LSQ")


@pytest.mark.parametrize("penalty", ["maxbin", "inverse", "difference"])
@pytest.mark.parametrize("case", ["nested", "column", "penalties alone", "exp", "LSQ"])
def test_a_penalty_too(case, penalty, digits, counting):
    make = maker(digits, PLANNED[case], penalty=penalty)
    assert trained(make, True) == trained(make, False)
    assert counting.planned


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("penalty", [penalties.maxbin, penalties.inverse, penalties.difference])
@pytest.mark.parametrize("s_shape", [(5, 1), (1, 3), (1,)])
def test_penalties_without_a_loss_and_several_of_them(s_shape, penalty, times):
    """The gradient of the weights is then one that waits for others in vain, or meets its like."""
    rng = np.random.default_rng(0)
    P = Tensor(rng.standard_normal((5, 3)).astype(np.float32), requires_grad=True)
    s = Tensor(rng.uniform(0.1, 2, s_shape).astype(np.float32), requires_grad=True)
    with noting() as calls:
        total = add_up(*[penalty([(P, s)], rates=[1.0 + n]) for n in range(times)])
    total.backward()
    plan = Plan(calls, total, [P.array, s.array])
    for tensor in (P, s) * 2:
        tensor.array *= np.float32(1.25)
        P.grad = s.grad = None
        assert plan.run()
        got, value = [t.grad for t in (P, s)], total.item()
        P.grad = s.grad = None
        again = add_up(*[penalty([(P, s)], rates=[1.0 + n]) for n in range(times)])
        again.backward()
        assert value == again.item()
        for a, t in zip(got, (P, s), strict=True):
            assert a is t.grad is None or a.tobytes() == t.grad.tobytes()


@pytest.mark.parametrize(("width", "dtype"), [(1, np.float32), (131, np.float32), (7, np.float64)])
def test_any_width_and_dtype(width, dtype, digits, counting):
    """From 128 columns on, zeros are skipped."""
    make = maker(digits, nested(), lambda: network(width, dtype=dtype), to_input=lambda x: (x / 255).astype(dtype))
    assert trained(make, True) == trained(make, False)
    assert counting.planned


def test_networks_that_branch_and_drop(digits, counting):
    def model():
        rng = np.random.default_rng(0)
        body = Sequential(ReLU(), Dense(9, 9, rng), Dropout(0.4, rng))
        return Sequential(Flatten(), Dense(42, 9, rng), Residual(body), ReLU(), Dropout(0.0, rng), Dropout(0.3, rng),
                          Dense(9, 10, rng))

    make = maker(digits, nested(), model, penalty="difference")
    assert trained(make, True) == trained(make, False)
    assert counting.planned


@pytest.mark.parametrize("place", ["weight", "input"])
@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_with_every_flag(name, place, digits):
    for flags in METHODS[name].variants:
        def make(flags=flags):
            model = network()
            try:
                quantize(model, lambda site: METHODS[name](**flags) if site.endswith(place) else None)
                return Trainer(model, Adam(model.parameters().values(), lr=1e-3), digits, INPUTS["unit"], BATCH,
                               {"shuffle": np.random.default_rng(3)})
            except minilq.MinilqError:           # not for inputs, or only once they are known
                return None

        found = []
        for capture in (True, False):
            minilq.use_capture(capture)
            trainer = make()
            try:
                found.append(trainer and trainer.run(1) and bits(trainer))
            except minilq.MinilqError as error:
                found.append(str(error))
        assert found[0] == found[1]


# --- what can happen on the way -------------------------------------------------------------------------------------

def at(trainer, places):
    """A function that does what it finds in {(epoch, batch): change} when that batch is next; it never stops."""
    def stop():
        places.get((trainer.place.epoch, trainer.place.batch), lambda: None)()
        return False
    return stop


@pytest.mark.parametrize("change", ["kernels", "capture", "data", "method", "held", "watch", "rate"])
def test_whoever_changes_something_between_two_batches_is_heard(change, digits, counting):
    def run(capture):
        minilq.use_capture(capture)
        trainer = maker(digits, nested())()
        model, seen = trainer.model, []
        site, kernels = model.layers["dense1"].weight, minilq.kernels_in_use()

        def write():
            site.latent.data = site.latent.numpy() * 2

        def other_rate():
            trainer.optimizer.lr_factor = 0.5

        changes = {
            "kernels": lambda: minilq.use_kernels(False), "capture": lambda: minilq.use_capture(False), "data": write,
            "method": lambda: setattr(site, "method", Nested(0.3)),
            "held": lambda: setattr(site, "held", {**site.held}),
            "watch": lambda: setattr(model.layers["dense2"].input, "watch", lambda x: seen.append(x.copy())),
            "rate": other_rate}
        try:
            assert trainer.run(EPOCHS, stop=at(trainer, {(1, 3): changes[change]}))
        finally:
            minilq.use_kernels(kernels)
        return bits(trainer), [x.tobytes() for x in seen]

    assert run(True) == run(False)
    assert counting.planned == {"rate": 4}.get(change, 3)


def test_a_training_goes_on_from_any_batch_to_the_same_bits(digits, counting):
    make = maker(digits, PLANNED["stochastic"])
    whole = trained(make, False)
    minilq.use_capture(True)
    for place in itertools.product(range(EPOCHS), range(BATCHES)):
        first, second = make(), make()
        first.run(EPOCHS, stop=lambda first=first, place=place: (first.place.epoch, first.place.batch) == place)
        second.load_state(*first.state())
        assert second.run(EPOCHS)
        assert bits(second) == whole
    assert counting.planned


def test_stages_and_schedules(digits, counting):
    def stages():
        def bits_of(n):
            return lambda name: LSQ(n, signed=not name.endswith("input")) if not name.endswith("bias") else None
        return [Stage(1, None), Stage(1, bits_of(4)), Stage(2, bits_of(2), 0.1)]

    def run(capture):
        return trained(maker(digits, stages=stages(), schedule=lambda epoch: 0.5**epoch), capture, 5)

    assert run(True) == run(False)
    assert counting.planned == 5 * (BATCHES - 3) - 2


@pytest.mark.parametrize("optimizer", [SGD, lambda p, lr: Adam(p, lr, form="torch"),
                                       lambda p, lr: minilq.optim.Together(Adam([*p][:2], lr), SGD([*p][2:], lr))])
def test_any_optimizer(optimizer, digits, counting):
    make = maker(digits, nested(), optimizer=optimizer)
    assert trained(make, True) == trained(make, False)
    assert counting.planned


def test_ctrl_c_leaves_everything_as_after_the_batch_before(digits, monkeypatch):
    trainer = maker(digits, nested())()
    trainer.run(1)
    trainer.run(2, stop=lambda: trainer.place.batch == 3)
    before = bits(trainer)

    def interrupted(step, x, t, where):
        interrupted.calls += 1
        if interrupted.calls < 3:
            return called(step, x, t, where)
        step.plan.calls.insert(len(step.plan.calls) // 2, (stop, ()))
        return called(step, x, t, where)

    def stop():
        raise KeyboardInterrupt

    interrupted.calls, called = 0, Step.__call__
    again = maker(digits, nested())()
    again.run(1)
    again.run(2, stop=lambda: again.place.batch == 1)
    with monkeypatch.context() as patch:
        patch.setattr(Step, "__call__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            again.run(2)
    assert bits(again) == before
    assert again.run(2) == trainer.run(2)
    assert bits(again) == bits(trainer)


@pytest.mark.parametrize("penalty", [None, "difference", "maxbin"])
@pytest.mark.parametrize("what", ["image", "weight", "scale", "label"])
def test_what_goes_wrong_is_said_as_by_the_tape(what, penalty, digits):
    def message(capture):
        minilq.use_capture(capture)
        labels, factor = digits.train_labels.copy(), np.ones(1, np.float32)
        data = Dataset("own", digits.train_images, labels, digits.validation_images, digits.validation_labels,
                       digits.classes)
        trainer = maker(data, nested(), penalty=penalty, to_input=lambda x: x.astype(np.float32) * factor)()
        site = trainer.model.layers["dense1"].weight

        def spoil():
            if what == "image":
                factor[0] = np.nan
            elif what == "label":
                labels[:] = 10
            else:
                array = site.latent.array if what == "weight" else site.scale.array
                array[0] = np.nan if what == "weight" else -1

        with pytest.raises(minilq.MinilqError) as caught, np.errstate(all="ignore"):
            trainer.run(1, stop=at(trainer, {(0, 3): spoil}))
        return type(caught.value), str(caught.value)

    assert message(True) == message(False)


def test_what_is_no_known_program_goes_by_the_tape(digits, counting):
    class Doubled(ReLU):
        """A layer of somebody's own."""

        def __call__(self, x, training=False):
            return super().__call__(x * float(np.abs(x.numpy()).max()), training)

    def own_layer():
        rng = np.random.default_rng(0)
        return Sequential(Flatten(), Dense(42, 7, rng), Doubled(), Dense(7, 10, rng))

    def own_task(model, x, t):
        return cross_entropy(model, x * float(t[0]), t)

    for settings in ({"model": own_layer}, {"task": own_task}, {"task": squared_hinge}):
        make = maker(digits, nested(), **settings)
        assert trained(make, True) == trained(make, False)
    assert counting.planned == 0


@pytest.mark.parametrize("rows", [1, 2, 33])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_planned_gradient_of_the_bias_is_the_tapes_to_the_sign_of_zero(rows, dtype):
    g = np.random.default_rng(rows).standard_normal((rows, 10)).astype(dtype)
    g[:, :2] = -0.0
    total = np.full(10, 7, dtype)
    for function, arguments in planned.bias_gradient(g, total):
        function(*arguments)
    assert total.tobytes() == g.sum(axis=0).tobytes()
