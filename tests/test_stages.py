"""Trainings in parts, tasks of one's own, and what methods add to the loss."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minilq
from minilq import LSQ, PACT, Adam, ConfigError, DataError, Nested, Scaled, quantize, stochastic
from minilq.data import Dataset
from minilq.experiments.build import streams
from minilq.nn import Dense, Flatten, ReLU, Sequential
from minilq.objective import Objective
from minilq.optim import SGD, Together
from minilq.schedule import steps
from minilq.train.checkpoint import load_checkpoint, save_checkpoint
from minilq.train.loop import Trainer
from minilq.train.metrics import INPUTS, evaluate
from minilq.train.stage import Stage, progressive, prune_cluster, two_stage
from tests.networks import latents, quantized, weights

N, BATCH = 70, 32
BATCHES = 3                                      # of 32, 32 and 6 images


def tiny():
    rng = np.random.default_rng(5)
    images, labels = rng.integers(0, 256, (N + 20, 6, 6), dtype=np.uint8), rng.integers(0, 10, N + 20)
    return Dataset("tiny", images[:N], labels[:N], images[N:], labels[N:], tuple("0123456789"))


def network(seed=0):
    rng = streams(seed)["init"]
    return Sequential(Flatten(), Dense(36, 8, rng), ReLU(), Dense(8, 10, rng))


def trainer(stages=(), seed=0, model=None, optimizer=None, **settings):
    model = model or network(seed)
    optimizer = optimizer or Adam(model.parameters().values(), lr=1e-3)
    settings = {"generators": streams(seed), **settings}
    return Trainer(model, optimizer, tiny(), INPUTS["unit"], BATCH, stages=stages, **settings)


def bits(t):
    """Everything that a training has come to, without the time it took."""
    arrays, meta = t.state()
    meta["place"].pop("seconds")
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in meta["rows"]]
    return {k: (a.dtype, a.shape, a.tobytes()) for k, a in arrays.items()}, {**meta, "rows": rows}


def at(t, *places):
    return lambda: (t.place.epoch, t.place.batch) in places


def in_parts():
    """Weights of 4 bits, then the input of the second layer too, at a tenth of the rate."""
    return two_stage(lambda name: LSQ(4, signed=not name.endswith("input")) if name in (
        "dense1.weight", "dense2.weight", "dense2.input") else None, (2, 2), (1.0, 0.1))


def of_bits(name, bits):
    return LSQ(bits) if name.endswith("weight") else None


PLANS = {
    "two-stage": in_parts,
    "progressive": lambda: progressive(of_bits, (8, 4, 2), (1, 2, 1)),
    "prune and cluster": lambda: [Stage(1), *prune_cluster(0.3, 4, (2, 1))],
    "float first": lambda: [Stage(1), Stage(2, weights(Nested(1e-3))), Stage(1, lambda name: None)],
}


# ---- what a stage does


def test_methods_come_at_the_first_batch_of_their_stage_and_the_last_stage_holds():
    t = trainer(PLANS["progressive"]())
    seen = []
    t.run(6, after_epoch=lambda row: seen.append([site.method.bits for site in quantized(t.model).values()]))
    assert seen == [[8, 8], [4, 4], [4, 4], [2, 2], [2, 2], [2, 2]]


def test_the_weights_are_the_same_bits_before_and_after_a_switch():
    t = trainer(PLANS["progressive"]())
    t.run(1)
    before = {name: p.numpy().tobytes() for name, p in latents(t.model).items()}
    objects = latents(t.model)
    assert not t.run(2, stop=at(t, (1, 0)))      # in the second stage, before its first batch
    assert t.stage == 1
    assert {name: p.numpy().tobytes() for name, p in latents(t.model).items()} == before
    assert all(latents(t.model)[name] is p for name, p in objects.items())


def test_a_method_that_stays_keeps_what_it_has_learned_and_its_moments():
    t = trainer(in_parts())
    t.run(2)
    site = t.model.sites()["dense1.weight"]
    held, scale = site.held, site.held["scale"].item()
    index = list(t.model.parameters()).index("dense1.weight.scale")
    moment = t.optimizer.state()[f"{index}/m"]
    t.run(3, stop=at(t, (2, 0)))
    assert site.held is held
    assert site.held["scale"].item() == scale
    index = list(t.model.parameters()).index("dense1.weight.scale")
    np.testing.assert_array_equal(t.optimizer.state()[f"{index}/m"], moment)
    assert "dense2.input.scale" in t.model.parameters()
    assert len(t.optimizer.tensors) == len(t.model.parameters())


def test_a_stochastic_method_of_one_generator_is_the_same_method():
    noise = np.random.default_rng(0)

    def choose(name):
        return Scaled(stochastic(noise)) if name.endswith("weight") else None

    t = trainer([Stage(1, choose), Stage(1, choose)])
    held = [site.held for site in quantized(t.model).values()]
    t.run(2)
    assert t.stage == 1
    assert all(site.held is one for site, one in zip(quantized(t.model).values(), held, strict=True))


def test_rates_are_those_of_the_schedule_times_the_stage():
    t = trainer([Stage(2, lr_factor=1.0), Stage(1, lr_factor=0.1), Stage(1, lr_factor=0)], schedule=steps({1: 0.5}))
    after = []
    t.run(5, after_epoch=lambda row: after.append(t.model.state()["dense1.weight.latent"]))
    np.testing.assert_allclose([row["lr"] for row in t.rows], [1e-3, 5e-4, 5e-5, 0, 0])
    assert not np.array_equal(after[1], after[2])
    np.testing.assert_array_equal(after[2], after[4])


def test_one_stage_of_all_epochs_is_no_stage_at_all():
    one, none = trainer([Stage(3, weights(Nested(1e-3)))]), trainer(model=quantize(network(), weights(Nested(1e-3))))
    for t in (one, none):
        t.run(3)
    assert {**bits(one)[1], "stage": None} == {**bits(none)[1], "stage": None}
    assert bits(one)[0] == bits(none)[0]


# ---- stopped and resumed


@pytest.mark.parametrize("plan", PLANS)
@given(data=st.data())
def test_stopped_anywhere_and_resumed_gives_the_bits_of_never_stopped(plan, data, tmp_path):
    whole = trainer(PLANS[plan]())
    whole.run(4)
    place = data.draw(st.tuples(st.integers(0, 3), st.integers(0, BATCHES)))
    first = trainer(PLANS[plan]())
    first.run(4, stop=at(first, place))
    save_checkpoint(tmp_path / "c.npz", *first.state())
    second = trainer(PLANS[plan](), seed=99)
    second.load_state(*load_checkpoint(tmp_path / "c.npz"))
    assert second.stage == first.stage
    assert second.run(4)
    assert bits(second) == bits(whole)


def test_a_checkpoint_of_a_later_stage_fits_no_training_without_it():
    t = trainer(in_parts())
    t.run(4, stop=at(t, (2, 1)))
    arrays, meta = t.state()
    assert meta["stage"] == 1
    with pytest.raises(DataError, match="stage 1 of 1"):
        trainer(in_parts()[:1]).load_state(arrays, meta)
    with pytest.raises(DataError, match="stage 1 of 0"):
        trainer().load_state(arrays, meta)
    for wrong in (-2, 2, "1", 1.0, None, True):
        with pytest.raises(DataError, match="resume"):
            trainer(in_parts()).load_state(arrays, {**meta, "stage": wrong})


# ---- wrong stages


@pytest.mark.parametrize(("make", "match"), [
    (lambda: Stage(0), "epochs must be a whole number, at least 1; got 0"),
    (lambda: Stage(1.5), "epochs must be"), (lambda: Stage(True), "epochs must be"), (lambda: Stage(None), "epochs"),
    (lambda: Stage(1, lr_factor=-1), "lr_factor must be"), (lambda: Stage(1, lr_factor=np.nan), "lr_factor must be"),
    (lambda: Stage(1, lr_factor="1"), "lr_factor must be"),
    (lambda: Stage(1, LSQ(4)), r"choose must be a function .*got LSQ"),
    (lambda: trainer([Stage(1), 3]), "stages must be a list of Stages; got 3"),
    (lambda: trainer(Stage(1)), "stages must be a list of Stages; got Stage"),
    (lambda: two_stage(of_bits, (1,)), "epochs must be 2 numbers, one for each stage; got"),
    (lambda: two_stage(None, (1, 1)), "choose must be a function from the name of a site"),
    (lambda: progressive(of_bits, (2, 4), (1, 1)), r"each smaller than the one before; got \(2, 4\)"),
    (lambda: progressive(of_bits, (4, 2), (1, 1), (0.1,)), r"lr_factors must be 2 numbers.*got \(0.1,\)"),
    (lambda: trainer([Stage(1, lambda name: "lsq")]), r"Site: a method must be a Quantizer.*'lsq'"),
])
def test_wrong_stages_are_refused_in_one_line(make, match):
    with pytest.raises(ConfigError, match=match) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_stages_need_an_optimizer_that_can_follow_the_model():
    model = network()
    p = list(model.parameters().values())
    with pytest.raises(ConfigError, match="stages need one optimizer, which can follow the model; got Together"):
        trainer([Stage(1)], model=model, optimizer=Together(Adam(p[:2]), SGD(p[2:])))


# ---- tasks


def test_a_task_of_ones_own_is_what_is_trained_and_counted():
    seen = []

    def regression(model, x, t):
        seen.append((x.shape, t.shape))
        error = model(x, training=True) - minilq.Tensor(np.eye(10, dtype=np.float32)[t])
        return (error * error).mean(), 3

    t = trainer(task=regression)
    t.run(20)
    assert seen[:BATCHES] == [((32, 6, 6), (32,)), ((32, 6, 6), (32,)), ((6, 6, 6), (6,))]
    assert t.rows[0]["accuracy"] == pytest.approx(3 * BATCHES / N)
    assert t.rows[-1]["loss"] < 0.9 * t.rows[0]["loss"]
    assert t.rows[-1]["validation_loss"] == evaluate(t.model, t.data.validation_images, t.data.validation_labels,
                                                     t.to_input)[0]


def test_a_task_whose_loss_is_not_finite_stops_the_training_by_name():
    t = trainer(task=lambda model, x, labels: (model(x).sum() * float("nan"), 0))
    with pytest.raises(minilq.NonFiniteError, match="nan in epoch 1, batch 1"):
        t.run(1)


# ---- what methods add


def test_what_methods_add_themselves_is_added_and_recorded_unless_an_objective_is_given():
    def model():
        return quantize(network(), {"dense2.input": PACT(4, decay=0.01)}.get)

    t = trainer(model=model())
    alpha = t.model.parameters()["dense2.input.alpha"]
    t.run(1)
    assert t.rows[0]["penalty/methods"] == pytest.approx(0.01 * alpha.item() ** 2, rel=0.01)
    without = trainer(model=model(), objective=Objective())
    without.run(1)
    assert "penalty/methods" not in without.rows[0]
    assert without.model.parameters()["dense2.input.alpha"].item() != alpha.item()


def test_what_methods_add_follows_the_stages():
    stages = [Stage(1, weights(Nested(1e-3))), Stage(1, {"dense2.input": PACT(4)}.get),
              Stage(1, weights(Nested(1e-3)))]
    t = trainer(stages)
    t.run(3)
    assert ["penalty/methods" in row for row in t.rows] == [False, True, False]
    assert ["branches/voted" in row for row in t.rows] == [True, False, True]
