"""Labels and arrays as files bring them: another byte order, read-only, floats."""

import numpy as np
import pytest

import minilq
from minilq import Dense, Tensor, softmax_cross_entropy

pytestmark = pytest.mark.usefixtures("both_backends")
LOGITS = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
LABELS = np.array([2, 0, 1, 1])


def loss_and_gradient(labels):
    logits = Tensor(LOGITS, requires_grad=True)
    loss = softmax_cross_entropy(logits, labels)
    loss.backward()
    return loss.item(), logits.grad.tobytes()


@pytest.mark.parametrize("labels", [
    LABELS.astype(">i4"), LABELS.astype(">i8"), LABELS.astype(">u2"), LABELS.astype(np.uint8), LABELS.tolist(),
    np.repeat(LABELS, 2)[::2], np.broadcast_to(LABELS, (2, 4))[0], np.frombuffer(LABELS.tobytes(), np.int64)],
    ids=[">i4", ">i8", ">u2", "u1", "list", "strided", "a view", "read-only"])
def test_integers_of_every_kind_are_labels(labels):
    assert loss_and_gradient(labels) == loss_and_gradient(LABELS)


@pytest.mark.parametrize(("labels", "error", "message"), [
    (LABELS.astype(float), minilq.DTypeError, r"got float64 beside .*labels .* are integers: labels.astype\(int\)"),
    (LABELS.astype(">f4"), minilq.DTypeError, r"labels must be integers; got an array of float32. Write labels"),
    (LABELS.astype(np.float32), minilq.DTypeError, r"labels must be integers; got an array of float32. Write labels"),
    (LABELS.astype(float).tolist(), minilq.DTypeError, r"labels must be integers; got an array of float64"),
    (LABELS > 0, minilq.DTypeError, r"an array of bool. Write labels.astype\(int\)"),
    (np.eye(3, dtype=int)[LABELS], minilq.ShapeError, r"labels \(4, 3\). One-hot rows become integers"),
    (LABELS.astype(str), minilq.DTypeError, "integers; got an array of <U"),
    (LABELS.astype(object), minilq.DTypeError, "integers; got an array of object"),
    (LABELS[:3], minilq.ShapeError, r"labels \(3,\)"), (None, minilq.ShapeError, r"labels \(\)"),
    (LABELS - 1, minilq.ShapeError, r"0\.\.2; got -1\.\.1")])
def test_what_are_no_labels_is_said_in_one_line(labels, error, message):
    with pytest.raises(error, match=message) as caught:
        softmax_cross_entropy(Tensor(LOGITS), labels)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("order", [">", "<"])
def test_images_and_parameters_of_another_byte_order_become_those_of_the_machine(order):
    x = np.random.default_rng(1).standard_normal((2, 3)).astype(f"{order}f4")
    layer = Dense(3, 2, np.random.default_rng(0))
    assert layer(Tensor(x)).numpy().tobytes() == layer(Tensor(x.astype(np.float32))).numpy().tobytes()
    p = minilq.Parameter(x)
    assert p.dtype.isnative
    assert p.numpy().tolist() == x.tolist()
    layer.load_state({"weight.latent": np.ones((3, 2), f"{order}f4"), "bias.latent": np.zeros(2, f"{order}f4")})
    assert layer.weight.latent.dtype.isnative
    assert layer.weight.latent.numpy().tolist() == [[1, 1]] * 3
