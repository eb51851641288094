"""A right call of every public function, class and method: CALLS, name -> (function, *its positional arguments).

They are copied before they are made (`fresh`), so that no call sees what another one did.
"""

import copy
import dataclasses
import functools

import numpy as np

import minilq
from minilq import Dense, Parameter, Tensor, nn, objective, optim, post, schedule
from minilq.data import Dataset, load
from minilq.data.augment import center_crop, random_brightness, random_crop, random_flip, random_saturation, resize
from minilq.post.folding import Moment
from minilq.quantize.buckets import Buckets
from minilq.quantize.hashing import Hashed
from minilq.quantize.kmeans import kmeans
from minilq.quantize.method import QUANTIZERS
from minilq.quantize.sparse import Sparse
from minilq.quantize.vectors import Vectors
from minilq.train.loop import Trainer
from minilq.train.metrics import INPUTS
from minilq.train.stage import Stage, progressive, prune_cluster, two_stage
from minilq.train.task import cross_entropy
from minilq.train.teacher import Distillation, Guided, half_square
from tests.networks import weights
from tests.stored_calls import FLAT, PIXELS, STORED
from tests.wrong_arguments import f32, f64

RNG = np.random.default_rng(0)
X, T = f32(2, 3), Tensor(f32(2, 3))
IMAGES, LABELS = f32(1, 4, 4, 2), np.array([0, 1])
TOKENS = np.array([[0, 2, 1]], np.float32)
PAIRS = [(Parameter(f32(2, 3)), Parameter(f32(2, 1) + 2))]
LATENT = Parameter(f64(3))
UNARY = ("absolute", "exp", "negative", "relu", "sigmoid", "tanh", "sum_of_squares", "hold", "nearest")
BINARY = ("add", "subtract", "multiply", "divide", "maximum")
METHODS = [method for method in QUANTIZERS.values() if method.__module__.startswith("minilq.")]


def named(function, name, *before):
    """function(*before, name=value) as a function of the value."""
    return lambda value: function(*before, **{name: value})


def square(a):
    return a * a


def slope(g, y, a):
    return (2 * g * a,)


def forward(scratch):
    return np.asarray(scratch)


def nothing(*args):
    return None


def float_network():
    return nn.Sequential(Dense(3, 4, RNG), nn.ReLU(), Dense(4, 2, RNG))


def ranged_network():
    """With weights on grids that stay."""
    return nn.quantize(network(), lambda name: minilq.Affine(4, ranges="data") if name.endswith("weight") else None)


def network(inputs=None):
    return nn.quantize(float_network(), lambda name: minilq.LSQ(4) if name.endswith("weight") else inputs)


def with_gradient(g):
    optimizer = optim.Adam([Parameter(X)])
    optimizer.tensors[0].grad = g
    optimizer.step()


def with_data(value):
    tensor = Tensor(X)
    tensor.data = value
    return tensor.numpy()


def loaded(part, value):
    model = network()
    model.load_state({**model.state(), part: value})


def moment(value):
    optimizer = optim.Adam([Parameter(X)])
    optimizer.load_state({**optimizer.state(), "0/m": value})


def scheduled(make, *args):
    return make(*args[:-1])(args[-1])


def method(kind, flag, value):
    return kind(**{flag: value})


MODEL, ADAM = network(), optim.Adam([Parameter(X)])

OPS = {
    **{name: (getattr(minilq, name), X) for name in UNARY},
    **{f"{name} of a Tensor": (getattr(minilq, name), T) for name in UNARY},
    **{name: (getattr(minilq, name), X, f32(3) + 3) for name in BINARY},
    **{f"{name} of a Tensor": (getattr(minilq, name), T, f32(3) + 3) for name in BINARY},
    **{name: (getattr(minilq, name), X, 1, True) for name in ("sum", "mean", "max", "norm")},
    "log": (minilq.log, X + 2), "add_up": (minilq.add_up, X, X), "power": (minilq.power, X + 2, 2.5),
    "clip": (minilq.clip, X, -0.5, 0.5), "matmul": (minilq.matmul, X, f32(3, 2)),
    "dense": (minilq.dense, X, f32(3, 4), f32(4)),
    "dense of Tensors": (minilq.dense, T, Parameter(f32(3, 4)), Parameter(f32(4))),
    "conv2d": (minilq.conv2d, IMAGES, f32(3, 3, 2, 8), f32(8), 1, "same"),
    "grouped_conv2d": (minilq.grouped_conv2d, IMAGES, f32(3, 3, 1, 8), f32(8), 2, 1, "same"),
    "zero_pad2d": (minilq.zero_pad2d, IMAGES, 1), "max_pool2d": (minilq.max_pool2d, IMAGES, 2, 2, "valid"),
    "average_pool2d": (minilq.average_pool2d, IMAGES, 2, 2, "valid"),
    "global_average_pool2d": (minilq.global_average_pool2d, IMAGES),
    "batch_norm": (minilq.batch_norm, X, f32(3), f32(3), f32(3), f32(3) + 2, False, 0.9, 1e-3),
    "batch_norm in training": (minilq.batch_norm, X, f32(3), f32(3), f32(3), f32(3) + 2, True, 0.9, 1e-3),
    "dropout": (minilq.dropout, X, 0.5, RNG, True), "quantized_gradient": (minilq.quantized_gradient, X, 4, RNG),
    "softmax_cross_entropy": (minilq.softmax_cross_entropy, X, LABELS),
    "softmax_cross_entropy of a Tensor": (minilq.softmax_cross_entropy, T, LABELS),
    "squared_hinge": (minilq.squared_hinge, X, np.sign(X)), "divergence": (minilq.divergence, X, X + 1, 2.0),
    "relu_batch_norm": (minilq.relu_batch_norm, X, f32(3), f32(3), f32(3), f32(3) + 2, False, 0.9, 1e-3),
    "shift_batch_norm": (minilq.shift_batch_norm, X, f32(3), f32(3), f32(3), f32(3) + 2, False, 0.9, 1e-3),
    "gelu": (minilq.gelu, X, "erf"), "gelu of a Tensor": (minilq.gelu, T, "tanh"),
    "softmax": (minilq.softmax, X, -1), "softmax of a Tensor": (minilq.softmax, T, 0),
    "layer_norm": (minilq.layer_norm, X, f32(3), f32(3), 1e-5), "embedding": (minilq.embedding, X, LABELS),
    "embedding of a Tensor": (minilq.embedding, T, LABELS),
    "concatenate": (minilq.concatenate, [X, X], 0), "stack": (minilq.stack, [X, X], 0),
    "where": (minilq.where, X > 0, X, f32(3)), "index": (minilq.index, X, LABELS),
    "index of a Tensor": (minilq.index, T, LABELS), "reshape": (minilq.reshape, X, (3, 2)),
    "transpose": (minilq.transpose, X, (1, 0)), "pretend": (minilq.pretend, X, X, 1.0),
    "fake_quantize": (minilq.fake_quantize, X, f32(2, 1) + 2, minilq.Scaled("nearest")),
    "codes_of": (minilq.codes_of, X, f32(2, 1) + 2, minilq.Scaled("nearest")),
    "scale_shape": (minilq.scale_shape, "row", (2, 3)),
}
TENSORS = {
    "Tensor": (Tensor, X, True, np.float32),
    "Tensor.backward": (Tensor(X, requires_grad=True).backward, X),
    "Tensor.data": (with_data, X), "Tensor.reshape": (T.reshape, (3, 2)), "Tensor.transpose": (T.transpose, (1, 0)),
    "Tensor.sum": (T.sum, 0, True), "Tensor[]": (T.__getitem__, 0), "Tensor +": (T.__add__, 1.0),
    "+ Tensor": (T.__radd__, 1.0), "Tensor -": (T.__sub__, 1.0), "- Tensor": (T.__rsub__, 1.0),
    "Tensor *": (T.__mul__, 1.0), "* Tensor": (T.__rmul__, 1.0), "Tensor /": (T.__truediv__, 1.0),
    "/ Tensor": (T.__rtruediv__, 1.0), "Tensor **": (T.__pow__, 2.0), "Tensor @": (T.__matmul__, f32(3, 2)),
    "@ Tensor": (T.__rmatmul__, f32(3, 2)), "Tensor <": (T.__lt__, 0.0), "Tensor >=": (T.__ge__, 0.0),
    "Parameter": (Parameter, X, minilq.Within(0), 1.0, np.float32), "Within": (minilq.Within, -1.0, 1.0),
    "Masked": (minilq.Masked, X > 0),
    "gradcheck": (minilq.gradcheck, square, f64(2)),
    "gradcheck vjp": (named(minilq.gradcheck, "vjp", square, f64(2)), slope),
    **{f"gradcheck {name}": (named(minilq.gradcheck, name, square, f64(2)), value) for name, value in (
        ("g", f64(2)), ("seed", 0), ("method", "central"), ("rtol", 1e-6), ("raises", True))},
    "replay_check": (minilq.replay_check, minilq.nearest, f64(2) + 0.1),
    **{f"replay_check {name}": (named(minilq.replay_check, name, minilq.nearest, f64(2) + 0.1), value)
       for name, value in (("g", f64(2)), ("seed", 0), ("rtol", 1e-6), ("raises", True))},
    "primitive": (minilq.primitive, forward),
    "vjp_of": (minilq.vjp_of, minilq.primitive(forward), "exact", "scratch", "scratch", nothing),
    "vjp_of()": (minilq.vjp_of(minilq.primitive(forward), "exact"), slope),
    "smooth_of": (minilq.smooth_of, minilq.primitive(forward)), "use_kernels": (minilq.use_kernels, True),
    "use_capture": (minilq.use_capture, True),
    "use_convolution": (minilq.use_convolution, "winograd"), "use_threads": (minilq.use_threads, 1),
}
LAYERS = {
    "Dense": (Dense, 3, 2, RNG, 0.05, np.float32), "MaxPool2D": (nn.MaxPool2D, 2, 2, "valid"),
    "Conv2D": (nn.Conv2D, 3, 2, 3, RNG, 1, "same", 0.05, np.float32),
    "GroupedConv2D": (nn.GroupedConv2D, 4, 6, 3, 2, RNG, 1, "same", 0.05, np.float32),
    "Concatenate": (nn.Concatenate, nn.ReLU()), "Concatenate()": (nn.Concatenate(nn.ReLU()), T, True),
    "dense_block": (nn.dense_block, 2, 3, 2, RNG, 0.1), "separable": (nn.separable, 2, 3, RNG, 1, 0.3),
    "AveragePool2D": (nn.AveragePool2D, 2, 2, "valid"),
    "ShiftBatchNorm": (nn.ShiftBatchNorm, 3, 0.9, 1e-3, np.float32),
    "XNORConv2D": (nn.XNORConv2D, 3, 2, 3, RNG, 1, "same", 0.05, np.float32),
    "QuantizedGradient": (nn.QuantizedGradient, 4, RNG), "LayerNorm": (nn.LayerNorm, 3, 1e-5, np.float32),
    "GELU": (nn.GELU, "erf"), "SelfAttention": (nn.SelfAttention, 4, RNG, 2, 0.05, np.float32),
    "transformer_block": (nn.transformer_block, 4, 2, 8, RNG, 0.05, np.float32),
    "Embedding": (nn.Embedding, 3, 2, RNG, 0.05, np.float32), "Position": (nn.Position, (3, 2), RNG, 0.05, np.float32),
    "Embedding()": (nn.Embedding(3, 2, RNG), TOKENS, True),
    "RNN": (nn.RNN, 3, 2, RNG, "all", 1, np.float32), "GRU": (nn.GRU, 3, 2, RNG, "before", "last", None, np.float32),
    "LSTM": (nn.LSTM, 3, 2, RNG, "last", 2, np.float32), "LSTM()": (nn.LSTM(3, 2, RNG), f32(2, 2, 3), True),
    "BatchNorm": (nn.BatchNorm, 3, 0.9, 1e-3, np.float32), "Dropout": (nn.Dropout, 0.5, RNG),
    "Sequential": (nn.Sequential, nn.ReLU(), nn.Flatten()), "Residual": (nn.Residual, nn.ReLU(), nn.ReLU()),
    "Quantize": (nn.Quantize, minilq.LSQ(4), (1, 3), np.float32), "Quantize()": (nn.Quantize(minilq.LSQ(4)), T, True),
    "Site": (nn.Site, Parameter(X), (1, 1), np.float32), "Site.change": (nn.Site(Parameter(X)).change, minilq.LSQ(4)),
    "Twins": (nn.Twins, network(), network()), "Twins()": (nn.Twins(network(), network()), T, True),
    "low_rank": (nn.low_rank, Dense(3, 2, RNG), 1),
    "fold_batch_norm": (nn.fold_batch_norm, Dense(3, 2, RNG), nn.BatchNorm(2)),
    "Folded": (nn.Folded, Dense(3, 2, RNG), nn.BatchNorm(2), "batch", 5),
    "fold": (nn.fold, nn.Sequential(Dense(3, 2, RNG), nn.BatchNorm(2)), True, "batch", 5),
    "for_inference": (nn.for_inference, network()),
    **{f"{type(layer).__name__}()": (layer, Tensor(x), True) for layer, x in (
        (Dense(3, 2, RNG), X), (nn.ReLU(), X), (nn.Flatten(), X), (nn.BatchNorm(3), X), (nn.Dropout(0.5, RNG), X),
        (MODEL, X), (nn.Residual(nn.ReLU()), X), (nn.Conv2D(2, 3, 3, RNG), IMAGES), (nn.MaxPool2D(2), IMAGES),
        (nn.AveragePool2D(2), IMAGES), (nn.GlobalAveragePool2D(), IMAGES), (nn.LayerNorm(3), X), (nn.GELU(), X),
        (nn.Softmax(), X), (nn.SelfAttention(2, RNG), IMAGES), (nn.Position((4, 4, 2), RNG), IMAGES))},
    "load_state": (MODEL.load_state, MODEL.state()),
    "load_state of a scale": (functools.partial(loaded, "dense1.weight.scale"), f32(1) + 2),
    "load_state of a weight": (functools.partial(loaded, "dense1.weight.latent"), f32(3, 4)),
    "quantize": (nn.quantize, MODEL, nothing), "calibrate": (nn.calibrate, network(minilq.LSQ(4)), X),
}
VARIANTS = [one for kind in METHODS for one in (kind(**flags) for flags in kind.variants)
            if getattr(one, "granularity", "scalar") == "scalar"]
OF_METHODS = {
    **{f"{kind.__name__} {flag.name}": (functools.partial(method, kind, flag.name), flag.default)
       for kind in METHODS for flag in dataclasses.fields(kind)},
    **{f"{one}.start": (one.start, X) for one in VARIANTS},
    **{f"{one}.coded": (one.coded, X, one.start(X)) for one in VARIANTS},
    **{f"{one}()": (one, T, one.start(X)) for one in VARIANTS},
    "Surrogate": (minilq.Surrogate, "mine", nothing, nothing), "threshold": (minilq.threshold, 1e-10, True),
    "chain_rule": (minilq.chain_rule, 1.0), "stochastic": (minilq.stochastic, RNG),
    "stochastic()": (minilq.stochastic(RNG), X), "check": (minilq.check, minilq.PACT(4), nothing, 0, True),
    "kmeans": (kmeans, X, f32(2, 3), "move", 3),
    "Even.values": (minilq.Even(f32(1) + 2).values, LABELS), "Table.values": (minilq.Table(f32(2)).values, LABELS),
    "Vectors.values": (Vectors(f32(1, 1, 2, 3), np.array([2, 3])).values, LABELS[None, None]),
    "Sparse.values": (Sparse(f32(1)).values, LABELS),
    "Hashed.values": (Hashed(f32(2), np.array([3])).values, np.zeros((2, 3), int)),
    "Buckets.values": (Buckets(f32(1) + 2, f32(1), np.array([8])).values, LABELS),
}
TRAINING = {
    **{name: (getattr(minilq, name), PAIRS, [1.0]) for name in ("maxbin", "inverse", "difference", "sine",
                                                                "hoyer", "hoyer_square", "group_hoyer")},
    **{name: (getattr(minilq, name), PAIRS, [minilq.Scaled()], [1.0]) for name in (
        "squared_deviation", "absolute_deviation", "dampening", "code_size")},
    "waveq": (minilq.waveq, PAIRS, 1.0, 1.0),
    "Mixture": (minilq.Mixture, [X], 3, 0.5),
    "Mixture.penalty": (minilq.Mixture([X]).penalty, [T], 1.0, 250.0, 0.1),
    "Mixture.codes": (minilq.Mixture([X]).codes, X), "collapse": (post.collapse, network(), minilq.Mixture([X]), True),
    "water_filling": (post.water_filling, f64(3), 0.1, 0.5), "spent_by": (post.spent_by, [X]),
    "hessian_trace": (post.hessian_trace, lambda: minilq.sum_of_squares(LATENT), LATENT, RNG, 2),
    "calibrate_ranges": (post.calibrate_ranges, network(minilq.Affine(4, ranges="data")), X, "mse", "kl"),
    "equalize": (post.equalize, float_network(), {}, 2, "largest"),
    "fold_batch_norms": (post.fold_batch_norms, float_network()),
    "absorb_high_biases": (post.absorb_high_biases, float_network(), X),
    "correct_biases": (post.correct_biases, nn.calibrate(network(minilq.LSQ(4)), X), X),
    "correct_biases_by_moments": (post.correct_biases_by_moments, nn.calibrate(network(minilq.LSQ(4)), X),
                                  float_network(), {}),
    "migration": (post.migration, f64(3), f64(3), 0.5), "migrate": (post.migrate, float_network(), X, 0.5),
    "round_layers": (post.round_layers, ranged_network(), X, "gptq"),
    "gradient_norms": (post.gradient_norms, MODEL, [(X, LABELS)], cross_entropy),
    "spiq": (post.spiq, nn.Sequential(Dense(3, 2, RNG), nn.BatchNorm(2), Dense(2, 2, RNG)),
             {"dense1": Moment(f64(2), f64(2))}, 8, 4.0),
    "shared_out": (post.shared_out, [1.0, 2.0], [4, 4], True),
    "sparsity_on": (objective.sparsity_on, MODEL, "hoyer_square", 1e-3, True),
    "qgt_on": (objective.qgt_on, nn.Sequential(Dense(3, 2, RNG)), weights(minilq.Affine(4)), 1e-3, {"dense1": 1e-3}),
    "penalty_on": (minilq.penalty_on, MODEL, "inverse", 1e-3, {"dense1": 1e-3}, True),
    "Objective": (minilq.Objective, {"l2": nothing}), "Objective()": (minilq.Objective({}), Tensor(1.0)),
    "l2": (objective.l2, [Parameter(f32(3))], 0.5), "SGD": (optim.SGD, [Parameter(f32(3))], 0.1, 0.9),
    "Adam": (optim.Adam, [Parameter(f32(3))], 0.1, 0.9, 0.99, 1e-7, "keras"),
    "Together": (optim.Together, ADAM, optim.Adam([Parameter(X)])), "Adam.load_state": (ADAM.load_state, ADAM.state()),
    "Adam.load_state of a moment": (moment, X), "Adam.follow": (ADAM.follow, [Parameter(f32(3))]),
    "Together.load_state": (optim.Together(ADAM).load_state, optim.Together(ADAM).state()),
    "a gradient": (with_gradient, X), "steps": (functools.partial(scheduled, schedule.steps), {1: 0.5}, 2),
    "cosine": (functools.partial(scheduled, schedule.cosine), 4, 2),
}
DATA = Dataset("mine", PIXELS, LABELS, PIXELS, LABELS, ("a", "b"))
WHOLE = (FLAT, optim.SGD(FLAT.parameters().values()), DATA, INPUTS["unit"], 2, {"shuffle": RNG})
OF_DATA = {
    "Trainer": (Trainer, *WHOLE, schedule.constant, None, None, nothing, []),
    "Trainer.run": (Trainer(*WHOLE).run, 1, nothing, nothing), "Stage": (Stage, 1, nothing, 0.1),
    "prune_cluster": (prune_cluster, 0.5, 4, (1, 1), (1.0, 0.1), "linear", "sum"),
    "two_stage": (two_stage, nothing, (1, 1), (1.0, 0.1)),
    "progressive": (progressive, nothing, (8, 4), (1, 1), (1.0, 0.1)),
    "Distillation": (Distillation, MODEL, 2.0, 0.7),
    "Guided": (Guided, 0.1, ("relu1",), minilq.LSQ(4), half_square, (1.0, 1.0)),
    "Trainer.load_state": (Trainer(*WHOLE).load_state, *Trainer(*WHOLE).state()), "Dataset.head": (DATA.head, 1),
    "Dataset.holdout": (DATA.holdout, 1), "load": (load, "digits", None), "resize": (resize, PIXELS, 4),
    "center_crop": (center_crop, PIXELS, 4), "random_crop": (random_crop, PIXELS, 4, RNG),
    "random_flip": (random_flip, PIXELS, RNG), "random_brightness": (random_brightness, PIXELS, RNG, 0.2),
    "random_saturation": (random_saturation, PIXELS, RNG, 0.8, 1.2),
}
CALLS = {**OPS, **TENSORS, **LAYERS, **OF_METHODS, **TRAINING, **OF_DATA, **STORED}


def fresh(name):
    """(function, arguments) of a call that no other call has touched."""
    function, *args = copy.deepcopy(CALLS[name])
    return function, args
