"""The training loop."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from minilq.arguments import check_function, check_instance, check_whole, shown
from minilq.autodiff.memory import generators_in
from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tape import Array
from minilq.data import Dataset
from minilq.data.loader import prefetched
from minilq.errors import ConfigError, DataError, NonFiniteError
from minilq.kernels.blas import one_blas_thread
from minilq.kernels.denormals import without_denormals
from minilq.nn import Layer, Sequential
from minilq.nn.state import State, methods_of
from minilq.objective import Objective, own_penalties
from minilq.optim import Optimizer, Together
from minilq.schedule import Schedule, constant
from minilq.train.diagnostics import Watch
from minilq.train.history import Row, integer_columns
from minilq.train.metrics import ToInput, evaluate
from minilq.train.stage import Stage
from minilq.train.step import DIVERGED, Step
from minilq.train.task import Task, cross_entropy

Augment = Callable[[Array, np.random.Generator], Array]

LARGE = 1 << 18
"""Batches of at least so many numbers are prepared by a second thread while the one before is trained on."""


@dataclass
class Place:
    """Where a training stands: epochs done, and how far the present one is."""

    epoch: int = 0
    batch: int = 0                               # batches done in this epoch
    loss: float = 0.0                            # sums over the images seen in this epoch
    right: int = 0
    seconds: float = 0.0
    augment: int = 0                             # seed of this epoch's random changes of the images
    parts: dict[str, float] = field(default_factory=dict)        # of the objective, sums over this epoch's batches

    def makes_sense(self, images: int, batches: int) -> bool:
        """Whether a training that has so many images and batches in an epoch can stand here."""
        whole = ((self.epoch, 2**31), (self.batch, batches), (self.augment, 2**32))
        return (all(type(n) is int and 0 <= n <= most for n, most in whole)
                and type(self.right) in (int, float) and 0 <= self.right <= images
                and all(type(x) is float and math.isfinite(x) for x in (self.loss, self.seconds))
                and isinstance(self.parts, dict) and all(type(x) is float for x in self.parts.values()))


class Trainer:
    """Trains one model; can stop after any batch and, from its saved state, go on to the same bits.

    generators    sources of randomness; "shuffle" orders the batches, "augment" changes images. Those of the model's
                  layers and methods are found, and saved with the rest, whether they are named here or not
    schedule      epoch -> factor on the learning rates
    augment       (images, rng) -> images as the network is to see them in training: crops, flips; None for as they are
    objective     what is added to the loss of every batch; by default what the methods of the model add themselves, as
                  penalty/methods. The mean of each part over an epoch's batches is recorded as penalty/<name>.
    task          (model, x, t) -> the loss of a batch and how many answers are right
    stages        a training in parts, one after the other; the last one holds from then on. The optimizer then must be
                  a single one
    rows          the history: one row for every finished epoch
    """

    def __init__(self, model: Sequential, optimizer: Optimizer | Together, data: Dataset, to_input: ToInput,
                 batch: int, generators: Mapping[str, np.random.Generator], schedule: Schedule = constant,
                 augment: Augment | None = None, objective: Objective | None = None, task: Task = cross_entropy,
                 stages: Sequence[Stage] = ()) -> None:
        check_instance("Trainer", "the model", model, Layer, "a Layer")
        check_instance("Trainer", "the optimizer", optimizer, (Optimizer, Together), "an optimizer, such as Adam")
        check_instance("Trainer", "the data", data, Dataset, "a Dataset")
        check_whole("Trainer", "batch", batch)
        for name, function in (("to_input", to_input), ("schedule", schedule), ("task", task), ("augment", augment)):
            if not (name == "augment" and function is None):
                check_function("Trainer", name, function)
        if objective is not None:
            check_instance("Trainer", "the objective", objective, Objective, "an Objective, or None")
        if not (isinstance(generators, Mapping) and all(isinstance(g, np.random.Generator)
                                                        for g in generators.values())):
            raise ConfigError("Trainer", "generators must be a dict of numpy.random.Generators", got=shown(generators))
        for name in ("shuffle", *(("augment",) if augment is not None else ())):
            if name not in generators:
                raise ConfigError("Trainer", f"generators must hold one called {name!r}", got=", ".join(generators))
        self.model, self.optimizer, self.data, self.to_input = model, optimizer, data, to_input
        self.batch, self.generators, self.schedule = batch, dict(generators), schedule
        self.augment, self.given_objective, self.task = augment, objective, task
        if not isinstance(stages, (list, tuple)):
            raise ConfigError("Trainer", "stages must be a list of Stages", got=shown(stages))
        self.stages, self.stage = list(stages), -1               # the stage that the model is in
        self.watch = Watch(model)
        if wrong := [stage for stage in self.stages if not isinstance(stage, Stage)]:
            raise ConfigError("Trainer", "stages must be a list of Stages", got=repr(wrong[0]))
        if self.stages and not isinstance(optimizer, Optimizer):
            raise ConfigError("Trainer", "stages need one optimizer, which can follow the model",
                              got=type(optimizer).__name__)
        if self.stages:
            self._enter(0)
        self._add_up()
        self.rows: list[Row] = []
        self.place = Place()
        self.order: Array | None = None          # of the images, while inside an epoch

    @one_blas_thread()
    @without_denormals()
    def run(self, epochs: int, after_epoch: Callable[[Row], None] = lambda row: None,
            stop: Callable[[], bool] = lambda: False) -> bool:
        """Train until `epochs` epochs are done. False when `stop()` said so before, after any batch."""
        check_whole("Trainer.run", "epochs", epochs, 0)
        check_function("Trainer.run", "after_epoch", after_epoch, " of a row")
        check_function("Trainer.run", "stop", stop, " without arguments")
        while self.place.epoch < epochs:
            started = time.perf_counter() - self.place.seconds
            finished = self._epoch(stop)
            self.place.seconds = time.perf_counter() - started
            if not finished:
                return False
            row = self._row()
            self.rows.append(row)
            self.place = Place(self.place.epoch + 1)
            self.order = None
            after_epoch(row)
            if stop():
                return self.place.epoch >= epochs
        return True

    def _enter(self, number: int) -> None:
        """Go on to a stage, through all before it."""
        assert isinstance(self.optimizer, Optimizer)
        for stage in self.stages[self.stage + 1:number + 1]:
            stage.enter(self.model)
        self.stage = number
        self.optimizer.follow(self.model.parameters().values())
        self._add_up()

    def _add_up(self) -> None:
        """Find out what is added to the loss, now that the model has its methods."""
        own = own_penalties(self.model) if self.given_objective is None else None
        self.objective = self.given_objective or Objective({} if own is None else {"methods": own})
        self.watch.task_alone = not self.objective.parts

    def _epoch(self, stop: Callable[[], bool]) -> bool:
        n = len(self.data.train_images)
        if self.order is None:
            ends = itertools.accumulate(stage.epochs for stage in self.stages[:-1])
            if (now := sum(end <= self.place.epoch for end in ends)) > self.stage >= 0:
                self._enter(now)
            self.watch.begin()
            self.order = self.generators["shuffle"].permutation(n)
            if self.augment is not None:
                self.place.augment = int(self.generators["augment"].integers(2**32))
        self.optimizer.lr_factor = self.schedule(self.place.epoch) * (
            self.stages[self.stage].lr_factor if self.stages else 1.0)
        starts = range(self.place.batch * self.batch, n, self.batch)
        large = self.batch * math.prod(self.data.train_images.shape[1:]) >= LARGE
        batches = prefetched(starts, self._prepared) if large else (self._prepared(start) for start in starts)
        step = Step(self.model, self.optimizer, self.objective, self.task)
        with contextlib.closing(batches):
            for x, t in batches:
                if stop():
                    return False
                self._step(step, x, t)
        return True

    def _prepared(self, start: int) -> tuple[Array, Array]:
        """The batch that begins at `start`, the same whenever and by whichever thread it is made."""
        assert self.order is not None
        chosen = self.order[start:start + self.batch]
        images = self.data.train_images[chosen]
        if self.augment is not None:
            images = self.augment(images, np.random.default_rng([self.place.augment, start]))
        return self.to_input(images), self.data.train_labels[chosen]

    def _step(self, step: Step, x: Array, t: Array) -> None:
        """One batch: forward, backward, update."""
        loss, right, parts = step(x, t, f"epoch {self.place.epoch + 1}, batch {self.place.batch + 1}")
        if (self.place.batch + 1) * self.batch >= len(self.data.train_images):
            self.watch.look()
        self.optimizer.step()
        self.place.batch += 1
        for name, value in parts.items():
            self.place.parts[name] = self.place.parts.get(name, 0.0) + value
        self.place.loss += loss * len(t)
        self.place.right += right

    def _row(self) -> Row:
        n = len(self.data.train_images)
        penalties = {f"penalty/{name}": total / self.place.batch for name, total in self.place.parts.items()}
        self._check_finite()
        loss, accuracy = evaluate(self.model, self.data.validation_images, self.data.validation_labels, self.to_input)
        if not math.isfinite(loss):
            raise NonFiniteError("training", "the validation loss must stay finite",
                                 got=f"{loss} after epoch {self.place.epoch + 1}", cause=DIVERGED)
        return {"epoch": self.place.epoch + 1, "loss": self.place.loss / n, "accuracy": self.place.right / n,
                **penalties, "validation_loss": loss, "validation_accuracy": accuracy,
                "lr": self.optimizer.lr_factor * _base_rate(self.optimizer),
                "seconds": round(self.place.seconds, 4), **integer_columns(self.model), **self.watch.columns()}

    def _check_finite(self) -> None:
        """The update of a batch is looked at here: the loss was computed before it."""
        broken = [name for name, t in self.model.tensors().items() if not (
            np.isfinite(t.array).all() if isinstance(t, Parameter) else not np.isnan(t).any())]
        if broken:
            raise NonFiniteError("training", "all that is trained must stay finite", got=f"NaN or infinity in "
                                 f"{', '.join(broken)} after epoch {self.place.epoch + 1}, batch {self.place.batch}",
                                 cause=DIVERGED)

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Everything the rest of the training depends on, as arrays and JSON-able facts.

        Raises NonFiniteError for a network that has diverged, with which nothing can go on."""
        self._check_finite()
        arrays = {**{f"model/{k}": a for k, a in self.model.state().items()},
                  **{f"optimizer/{k}": a for k, a in self.optimizer.state().items()}}
        if self.order is not None:
            arrays |= {"order": self.order.copy(), **self.watch.state()}
        generators = {k: json.dumps(g.bit_generator.state) for k, g in self._generators().items()}
        return arrays, {"place": asdict(self.place), "rows": list(self.rows), "generators": generators,
                        "stage": self.stage, "methods": methods_of(self.model.sites())}

    def _generators(self) -> dict[str, np.random.Generator]:
        """Those that were given, and those of the model's layers and methods that are none of them, in their order."""
        found = {id(g): g for g in self.generators.values()}
        own = {id(g): g for g in generators_in(self.model, depth=12) if id(g) not in found}
        return self.generators | {f"model/{i}": g for i, g in enumerate(own.values())}

    def load_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        """Go on from what `state` gave. Raises DataError and ShapeError when it is of another training."""
        for what, part in (("arrays", arrays), ("meta", meta)):
            if not isinstance(part, Mapping):
                raise DataError("resume", f"{what} of a training must be a dict", got=shown(part))
        try:
            place, rows = Place(**meta["place"]), [dict(row) for row in meta["rows"]]
            states = {name: json.loads(meta["generators"][name]) for name in self.generators}
            states |= {name: json.loads(text) for name, text in meta["generators"].items() if name not in states}
            stage, methods = meta["stage"], {str(site): str(method) for site, method in meta["methods"].items()}
            if type(stage) is not int or not self.stage <= stage <= len(self.stages) - 1:
                raise ValueError(f"stage {stage} of {len(self.stages)}")
            order, n = arrays.get("order"), len(self.data.train_images)
            if not place.makes_sense(n, math.ceil(n / self.batch)):
                raise ValueError(f"the place {vars(place)}")
            if not all(_is_row(row) for row in rows):
                raise ValueError("a row of something else than finite numbers")
            if order is None and place.batch > 0:
                raise ValueError("no order of the images in the middle of an epoch")
            if order is not None and not (order.shape == (n,) and order.dtype.kind in "iu"
                                          and np.array_equal(np.sort(order), np.arange(n))):
                raise ValueError(f"an order that is not of {n} images")
            for name, generator in self._generators().items():
                now = generator.bit_generator.state              # what is wrong with it is found out now
                type(generator.bit_generator)().state = states.get(name, now)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise DataError("resume", "the checkpoint must hold the place, the rows and the generators of a training",
                            got=f"{type(error).__name__}: {error}") from error
        if stage > self.stage:
            self._enter(stage)
        self.model.load_state(State(under("model/", arrays), methods))
        self.optimizer.load_state(under("optimizer/", arrays))
        if order is not None:
            self.watch.load_state(arrays)
        self.place, self.rows, self.order = place, rows, None if order is None else order.copy()
        for name, generator in self._generators().items():       # last: whatever looks at codes may draw from one
            generator.bit_generator.state = states.get(name, generator.bit_generator.state)


def under(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays of a checkpoint whose names begin with a prefix, without it."""
    return {key.removeprefix(prefix): a for key, a in arrays.items() if key.startswith(prefix)}


def _is_row(row: Mapping[str, Any]) -> bool:
    """Whether a row of the history holds numbers, all of them finite but for losses."""
    return all(abs(x) < 2**63 if type(x) is int else type(x) is float and (math.isfinite(x) or "loss" in name)
               for name, x in row.items())


def _base_rate(optimizer: Optimizer | Together) -> float:
    return optimizer.lr if isinstance(optimizer, Optimizer) else optimizer.optimizers[0].lr
