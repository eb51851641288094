"""The training loop, its history and Ctrl-C: same seed, same bits, whether or not it was stopped in between."""

import functools
import itertools
import pickle
import signal
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minilq
from minilq.data import Dataset
from minilq.errors import ConfigError, DataError, NonFiniteError, ShapeError
from minilq.experiments.build import streams
from minilq.nn import Dense, Flatten, ReLU, Sequential, codes_in, quantize
from minilq.optim import SGD, Adam, Together
from minilq.quantize import Scaled, stochastic, threshold
from minilq.quantize.statistics import Integers, bits_for, integers_of, integers_together
from minilq.schedule import steps
from minilq.train.checkpoint import load_checkpoint, save_checkpoint
from minilq.train.history import ALWAYS, integer_columns, read_history, write_history
from minilq.train.interrupt import Interrupt
from minilq.train.loop import Trainer
from minilq.train.metrics import INPUTS, evaluate
from tests.networks import everywhere, latents, scales

N, BATCH, EPOCHS = 100, 32, 3
BATCHES = 4                                      # of 32, 32, 32 and 4 images


@functools.cache
def tiny(n=N, m=30):
    """Random images; the pixel in the corner is the number of the image, training first."""
    rng = np.random.default_rng(5)
    images = rng.integers(0, 256, (n + m, 28, 28), dtype=np.uint8)
    images[:, 0, 0] = np.arange(n + m)
    labels = rng.integers(0, 10, n + m)
    return Dataset("tiny", images[:n], labels[:n], images[n:], labels[n:], tuple("0123456789"))


def trainer(seed=0, rounding="floor", optimizer="adam", data=None, **settings):
    generators = streams(seed)
    q = Scaled(stochastic(generators["noise"]) if rounding == "stochastic" else rounding, scale_rule=threshold(1e-3))
    rng = generators["init"]
    model = Sequential(Flatten(), Dense(784, 6, rng), ReLU(), Dense(6, 10, rng))
    quantize(model, everywhere(q))
    if optimizer == "adam":
        chosen = Adam(model.parameters().values(), lr=1e-3)
    else:
        chosen = Together(Adam(latents(model).values(), lr=1e-3), SGD(scales(model).values(), lr=1e-5, momentum=0.9))
    settings = {"batch": BATCH, "to_input": INPUTS["unit"], "generators": generators, **settings}
    return Trainer(model, chosen, data or tiny(), **settings)


def bits(t):
    """Everything that a training has come to, as bytes and text, without the time it took."""
    arrays, meta = t.state()
    assert meta["place"].pop("seconds") >= 0
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in meta["rows"]]
    return {k: (a.dtype, a.shape, a.tobytes()) for k, a in arrays.items()}, {**meta, "rows": rows}


@functools.cache
def undisturbed(rounding, optimizer="adam"):
    t = trainer(rounding=rounding, optimizer=optimizer)
    assert t.run(EPOCHS)
    return bits(t)


@pytest.mark.parametrize("rounding", ["floor", "stochastic"])
def test_one_seed_gives_the_same_bits_and_another_seed_does_not(rounding):
    again, other = trainer(rounding=rounding), trainer(seed=1, rounding=rounding)
    again.run(EPOCHS)
    other.run(EPOCHS)
    assert bits(again) == undisturbed(rounding)
    assert not any(bits(other)[0][k] == v for k, v in undisturbed(rounding)[0].items()
                   if k.startswith("model/") and k.endswith(".latent"))


@pytest.mark.parametrize("rounding", ["floor", "stochastic"])
@given(batch=st.integers(0, EPOCHS * BATCHES))
def test_stopped_after_any_batch_and_resumed_gives_the_bits_of_never_stopped(rounding, batch, tmp_path):
    first = trainer(rounding=rounding)
    finished = first.run(EPOCHS, stop=lambda: first.place.epoch * BATCHES + first.place.batch >= batch)
    assert finished == (batch == EPOCHS * BATCHES)
    assert first.optimizer.state()["steps"] == batch
    save_checkpoint(tmp_path / "c.npz", *first.state())
    second = trainer(seed=99, rounding=rounding)             # everything of it must come from the file
    second.load_state(*load_checkpoint(tmp_path / "c.npz"))
    assert second.run(EPOCHS)
    assert bits(second) == undisturbed(rounding)


@pytest.mark.parametrize(("rounding", "optimizer"), [("stochastic", "adam"), ("floor", "together")])
def test_a_trainer_can_be_pickled_and_its_copy_goes_on_to_the_same_bits(rounding, optimizer):
    first = trainer(rounding=rounding, optimizer=optimizer, schedule=steps({1: 0.5}))
    first.run(EPOCHS, stop=lambda: first.place.epoch == 1 and first.place.batch == 2)
    second = pickle.loads(pickle.dumps(first))
    assert first.run(EPOCHS)
    assert second.run(EPOCHS)
    assert bits(second) == bits(first)


def test_resuming_works_with_two_optimizers_and_a_momentum(tmp_path):
    first = trainer(optimizer="together")
    first.run(EPOCHS, stop=lambda: first.place.epoch == 1 and first.place.batch == 2)
    save_checkpoint(tmp_path / "c.npz", *first.state())
    second = trainer(seed=99, optimizer="together")
    second.load_state(*load_checkpoint(tmp_path / "c.npz"))
    second.run(EPOCHS)
    assert bits(second) == undisturbed("floor", "together")


def test_a_state_is_a_snapshot_that_further_training_does_not_change():
    t = trainer()
    t.run(EPOCHS, stop=lambda: t.place.epoch == 1 and t.place.batch == 1)
    arrays, meta = t.state()
    t.run(EPOCHS)
    assert len(t.rows) == EPOCHS
    again = trainer(seed=99)
    again.load_state(arrays, meta)
    assert (again.place.epoch, again.place.batch, len(again.rows)) == (1, 1, 1)
    again.run(EPOCHS)
    assert bits(again) == undisturbed("floor")


def test_a_stop_in_the_very_last_batch_counts_as_finished_and_an_earlier_one_does_not():
    t = trainer()
    assert not t.run(2, stop=lambda: t.place.epoch == 1)
    assert t.run(2, stop=lambda: t.place.epoch == 2)
    assert t.run(2, stop=lambda: True)                       # nothing is left to be stopped
    assert [row["epoch"] for row in t.rows] == [1, 2]


def test_every_image_is_seen_once_in_each_epoch_in_a_new_order_the_last_batch_being_smaller():
    seen = []

    def watching(images):
        if images[0, 0, 0] < N:
            seen.append(images[:, 0, 0].tolist())
        return INPUTS["unit"](images)

    t = trainer(to_input=watching)
    t.run(2)
    assert [len(batch) for batch in seen] == [32, 32, 32, 4] * 2
    first, second = (list(itertools.chain(*seen[i:i + 4])) for i in (0, 4))
    assert sorted(first) == sorted(second) == list(range(N))
    assert first != second
    assert first != sorted(first)
    assert t.optimizer.state()["steps"] == 2 * BATCHES


def test_a_row_holds_the_mean_over_images_not_over_batches():
    t = trainer(schedule=lambda epoch: 0.0)                  # nothing learned: every batch sees the same network
    t.run(1)
    images, labels = tiny().train_images, tiny().train_labels
    loss, accuracy = evaluate(t.model, images, labels, INPUTS["unit"])
    assert t.rows[0]["loss"] == pytest.approx(loss, rel=1e-5)
    assert t.rows[0]["accuracy"] == accuracy
    val = evaluate(t.model, tiny().validation_images, tiny().validation_labels, INPUTS["unit"])
    assert (t.rows[0]["validation_loss"], t.rows[0]["validation_accuracy"]) == val


def test_the_schedule_sets_the_learning_rate_of_each_epoch():
    after = []
    t = trainer(schedule=steps({1: 0.5, 2: 0.0}))
    t.run(3, after_epoch=lambda row: after.append(t.model.state()["dense1.weight.latent"]))
    assert [row["lr"] for row in t.rows] == [1e-3, 5e-4, 0.0]
    assert not np.array_equal(after[0], after[1])
    np.testing.assert_array_equal(after[1], after[2])


@pytest.mark.parametrize("settings", [{"batch": 0}, {"batch": -3}, {"generators": {"noise": np.random.default_rng(0)}}])
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ConfigError, match=r"batch must be|shuffle"):
        trainer(**settings)


def test_a_nan_loss_stops_before_the_update_and_names_epoch_and_batch():
    count = iter(range(100))
    armed = []

    def poisoned(images):
        x = INPUTS["unit"](images)
        if armed and next(count) == 2:
            x[0, 3, 3] = np.nan
        return x

    t = trainer(to_input=poisoned)
    with pytest.raises(NonFiniteError, match="nan in epoch 2, batch 3"):
        t.run(3, after_epoch=armed.append)
    assert all(np.isfinite(a).all() for a in t.model.state().values())
    assert t.optimizer.state()["steps"] == BATCHES + 2
    assert (t.place.epoch, t.place.batch, len(t.rows)) == (1, 2, 1)


def test_a_parameter_gone_nan_is_named_with_epoch_and_batch():
    t = trainer()
    t.run(2, stop=lambda: t.place.batch == 1)
    latents(t.model)["dense2.weight"].data[3, 4] = np.nan
    with pytest.raises(NonFiniteError, match=r"epoch 1, batch 2.*P\[3, 4\] = nan"):
        t.run(2)


def damaged(meta=None, arrays=None):
    t = trainer()
    t.run(2, stop=lambda: t.place.epoch == 1 and t.place.batch == 2)
    a, m = t.state()
    return {**a, **(arrays or {})}, {**m, **(meta or {})}


@pytest.mark.parametrize("meta", [
    {"place": {}, "rows": 5}, {"place": {"epoch": "1"}}, {"place": {"nosuch": 1}}, {"place": None},
    {"place": {"batch": -1}}, {"rows": [1, 2]}, {"generators": {}}, {"generators": {"shuffle": "{"}},
    {"generators": dict.fromkeys(("init", "shuffle", "noise"), '{"bit_generator": "MT19937"}')},
    {"generators": dict.fromkeys(("init", "shuffle", "noise"), "[]")}], ids=str)
def test_facts_that_are_not_of_a_training_are_refused(meta):
    t = trainer(seed=99)
    before = bits(t)
    with pytest.raises(DataError, match="resume: the checkpoint must hold"):
        t.load_state(*damaged(meta))
    assert bits(t) == before


@pytest.mark.parametrize("order", [np.arange(N - 1), np.zeros(N, np.int64), np.arange(1, N + 1), np.arange(N) + 0.5,
                                   np.arange(float(N)), np.arange(N).reshape(2, -1), np.arange(N).astype(str)])
def test_an_order_that_is_not_of_these_images_is_refused(order):
    with pytest.raises(DataError, match="order"):
        trainer().load_state(*damaged(arrays={"order": order}))


def test_the_middle_of_an_epoch_without_its_order_is_refused():
    arrays, meta = damaged()
    del arrays["order"]
    with pytest.raises(DataError, match="middle of an epoch"):
        trainer().load_state(arrays, meta)


def test_arrays_of_another_network_or_optimizer_are_refused():
    arrays, meta = damaged()
    with pytest.raises(ShapeError, match=r"dense1\.weight"):
        trainer().load_state({**arrays, "model/dense1.weight.latent": np.zeros((784, 7), np.float32)}, meta)
    with pytest.raises(DataError, match="steps"):
        trainer(optimizer="together").load_state(arrays, meta)
    with pytest.raises(DataError, match=r"missing: dense1\.bias\.scale"):
        trainer().load_state({k: a for k, a in arrays.items() if k != "model/dense1.bias.scale"}, meta)


@pytest.mark.usefixtures("kernels_off")
def test_kernels_and_numpy_train_to_nearly_the_same_codes():
    # The two add up in another order, and a code flips when a sum lands on the other side of a grid line: by one, and
    # seldom, as 12 steps are too few for flips to feed on each other. Hence 1 in 50 codes, and 2 images in 100.
    models, rows = {}, {}
    for on in (False, True):                     # the fixture puts the switch back
        minilq.use_kernels(on)
        t = trainer()
        t.run(EPOCHS)
        models[on], rows[on] = codes_in(t.model), t.rows
    for name, codes in models[True].items():
        difference = np.abs(codes.astype(int) - models[False][name])
        assert difference.max() <= 1
        assert np.mean(difference > 0) <= 0.02
        assert np.ptp(codes.astype(int)) > 10                # not all zero
    for quantity in ("accuracy", "validation_accuracy"):
        assert abs(rows[True][-1][quantity] - rows[False][-1][quantity]) <= 2 / 30
    assert rows[True][-1]["loss"] == pytest.approx(rows[False][-1]["loss"], rel=1e-3)


# ---- metrics


def test_evaluation_does_not_depend_on_the_batch_and_records_nothing():
    t = trainer()
    images, labels = tiny().train_images, tiny().train_labels
    whole = evaluate(t.model, images, labels, INPUTS["unit"])
    parts = evaluate(t.model, images, labels, INPUTS["unit"], batch=7)
    assert parts == (pytest.approx(whole[0], rel=1e-5), whole[1])
    assert whole[1] == np.mean(t.model(INPUTS["unit"](images)).numpy().argmax(axis=1) == labels)
    assert all(p.grad is None for p in t.model.parameters().values())


def test_inputs_are_float32_raw_or_between_0_and_1():
    images = np.array([[[0, 51], [254, 255]]], np.uint8)
    assert INPUTS["raw"](images).tolist() == [[[0, 51], [254, 255]]]
    np.testing.assert_allclose(INPUTS["unit"](images), [[[0, 0.2], [254 / 255, 1]]], rtol=1e-7)
    assert {f(images).dtype for f in INPUTS.values()} == {np.dtype(np.float32)}


@given(st.integers(1, 2**40))
def test_bits_are_the_least_that_tell_so_many_apart(count):
    assert 2 ** bits_for(count) >= count
    assert count == 1 or 2 ** (bits_for(count) - 1) < count


def test_bits_of_a_range_and_of_a_table_differ():
    own = integers_of(np.array([-128, 127, 127, 0], np.int8))
    assert own == Integers(3, -128, 127)
    assert (own.bits, own.bits_unique) == (8, 2)


def test_the_union_of_codes_counts_each_integer_once_whatever_its_type():
    assert integers_together({"a": np.array([[-3, 5]], np.int8), "b": np.array([5, 300], np.int16)}) == \
        Integers(3, -3, 300)


# ---- history


def test_the_columns_of_a_model_are_its_codes_and_scales():
    t = trainer()
    t.run(1)
    row = integer_columns(t.model)
    site = t.model.sites()["dense1.weight"]
    k, s = site.coded().codes, site.scale
    assert row["integers/dense1.weight/unique"] == len(np.unique(k))
    assert (row["integers/dense1.weight/min"], row["integers/dense1.weight/max"]) == (k.min(), k.max())
    assert row["scale/dense1.weight/median"] == float(np.median(s.numpy()))
    assert row["scale/dense1.weight/max"] == float(s.numpy().max())
    assert row["integer_max"] == max(v for c, v in row.items() if c.startswith("integers/") and c.endswith("/max"))
    assert integer_columns(Sequential(Flatten(), Dense(4, 2, np.random.default_rng(0)))) == {}


def rows_of_two_networks():
    common = {"epoch": 1, "loss": 0.1 + 0.2, "accuracy": 1 / 3, "validation_loss": 1e-30, "validation_accuracy": 1.0}
    return [{"network": "float", **common}, {"network": "quantized", **common, "bits": 4, "scale/a/min": 1e-5}]


def test_a_history_comes_back_as_it_was_written(tmp_path):
    write_history(tmp_path / "h.csv", rows_of_two_networks())
    back = read_history(tmp_path / "h.csv")
    assert back == rows_of_two_networks()
    assert [type(v) for v in back[1].values()] == [type(v) for v in rows_of_two_networks()[1].values()]


def test_a_history_without_rows_has_none(tmp_path):
    write_history(tmp_path / "h.csv", [])
    assert read_history(tmp_path / "h.csv") == []


@pytest.mark.parametrize("change", [
    lambda t: t[:-20] + "\n", lambda t: t + "quantized,2\n", lambda t: t.replace("float", "float,7"),
    lambda t: t.replace("0.3333333333333333", "x"), lambda t: t.replace("0.3333333333333333", "nan"),
    lambda t: t.replace("0.3333333333333333", ""), lambda t: t.replace("1e-05", ""),
    lambda t: t.replace(",epoch", ",era"), lambda t: t.replace("float", ""), lambda t: "hello\nworld\n",
    lambda t: t.replace("0.33", '0."33'), lambda t: t.replace(",4,", ',"4'), lambda t: t.replace(",4,", ",4\r5,"),
    lambda t: t + "quantized,2,1,1,1,1,,1\n"])
def test_a_damaged_history_is_refused_in_one_line(change, tmp_path):
    write_history(tmp_path / "h.csv", rows_of_two_networks())
    text = (tmp_path / "h.csv").read_text()
    assert change(text) != text
    (tmp_path / "h.csv").write_bytes(change(text).encode())
    with pytest.raises(DataError, match=r"h\.csv") as caught:
        read_history(tmp_path / "h.csv")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("column", ALWAYS)
def test_a_history_must_have_every_column_that_the_figures_need(column, tmp_path):
    write_history(tmp_path / "h.csv", [{k: v for k, v in row.items() if k != column} for row in rows_of_two_networks()])
    with pytest.raises(DataError, match=column):
        read_history(tmp_path / "h.csv")


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir(), lambda p: p.write_bytes(b"network\xff\xfe\n")])
def test_a_history_that_is_no_text_file_is_refused(make, tmp_path):
    make(tmp_path / "h.csv")
    with pytest.raises(DataError, match="readable text file"):
        read_history(tmp_path / "h.csv")


# ---- Ctrl-C


def test_the_first_interrupt_is_a_wish_and_the_second_one_raises():
    before = signal.getsignal(signal.SIGINT)
    with Interrupt() as interrupt:
        assert not interrupt.wished
        signal.raise_signal(signal.SIGINT)
        assert interrupt.wished
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_the_handler_is_put_back_after_an_error():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError, match="inside"), Interrupt():
        raise ValueError("inside")
    assert signal.getsignal(signal.SIGINT) is before


def test_in_another_thread_nothing_is_caught_and_nothing_fails():
    outcome = []

    def work():
        with Interrupt() as interrupt:
            outcome.append((interrupt.wished, signal.getsignal(signal.SIGINT)))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert outcome == [(False, before)]
