"""The tape: which operation made which array, and how to walk back over it.

Every operation on a tensor that wants a gradient leaves a `Node`, numbered in the order of execution. `walk_back`
visits the nodes that a result depends on, latest first, so a node is reached only when all of its own gradient has
arrived. The tape is never kept in a global list: it lives as long as the result that it leads to.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import threading
import weakref
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minilq.errors import DTypeError, ShapeError, TapeError

if TYPE_CHECKING:
    from minilq.autodiff.primitive import Primitive
    from minilq.autodiff.tensor import Tensor

Array = np.ndarray[Any, np.dtype[Any]]

_clock = itertools.count()


class Call(NamedTuple):
    """One operation that ran: with what, and what came of it. `args` has the arrays of `inputs`, its Tensors."""

    primitive: Primitive
    args: list[Any]
    options: dict[str, Any]
    inputs: list[Tensor | None]
    result: Tensor


class _Mode(threading.local):
    recording = True
    checking = False
    calls: list[Call] | None = None


mode = _Mode()
"""Of this thread: whether operations are recorded, whether they are checked (see `checking`), and where every one of
them is noted, recorded or not (see `noting`)."""


@contextlib.contextmanager
def noting() -> Iterator[list[Call]]:
    """A block whose operations are noted in a list, in the order in which they run."""
    before, mode.calls = mode.calls, []
    try:
        yield mode.calls
    finally:
        mode.calls = before


@contextlib.contextmanager
def checking() -> Iterator[None]:
    """A block whose derivatives are watched for what they read and write (guard.py); its tape keeps all arrays."""
    before, mode.checking = mode.checking, True
    try:
        yield
    finally:
        mode.checking = before


class no_grad(contextlib.ContextDecorator):
    """A block, or with @no_grad() a function, whose operations are not recorded: faster, nothing is kept.

    >>> import numpy as np
    >>> from minilq import Tensor, no_grad
    >>> x = Tensor(np.ones(2), requires_grad=True)
    >>> with no_grad():
    ...     y = x * 3.0
    >>> y.requires_grad
    False
    """

    def __init__(self) -> None:
        self._before: list[bool] = []            # a stack, so that one object can be entered again inside itself

    def __enter__(self) -> None:
        self._before.append(mode.recording)
        mode.recording = False

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        mode.recording = self._before.pop()


class Storage:
    """The memory behind one tensor and its views, with a version that counts the changes of its content.

    minilq's own in-place writers (the optimizers) raise the version. Someone outside who took the array (`lend`) can
    write into it unseen, so a copy is kept and compared whenever the version is asked for, as long as anything outside
    still holds on to what was lent.
    """

    __slots__ = ("_copy", "_views", "array", "lent", "recorded", "version")

    def __init__(self, array: Array) -> None:
        self.array = array
        self.version = 0
        self.recorded = False
        self.lent = False
        self._copy: Array | None = None
        self._views: list[weakref.ref[Array]] = []

    def __reduce__(self) -> tuple[type[Storage], tuple[Array]]:
        return Storage, (self.array,)            # nobody holds the array of a copy yet

    def lend(self, array: Array) -> Array:
        """A view of the array, which is this memory or a part of it, for someone outside.

        By way of a memoryview: what is derived from the view then holds on to it, and not to the array behind it, so
        that it is alive as long as anything outside needs it.
        """
        view = self.lent_view(array)
        if view is None:
            view = np.asarray(memoryview(array))  # type: ignore[arg-type]
            self._views.append(weakref.ref(view))
            if not self.lent:
                self.lent = True
                if self.recorded:
                    self._copy = self.array.copy()
        return view

    def lent_view(self, array: Array) -> Array | None:
        """The view of the array that was lent, if anything outside still holds on to it."""
        self._views = [view for view in self._views if view() is not None]
        there = array.__array_interface__
        return next((view for lent in self._views if (view := lent()) is not None
                     and view.__array_interface__ == there), None)

    def current_version(self) -> int:
        """The version, after a look at whether an outsider wrote into the array."""
        if self.lent:
            given_back = all(view() is None for view in self._views)
            if self._copy is None or not same_bits(self._copy, self.array):
                self.version += self._copy is not None
                self._copy = None if given_back else self.array.copy()
            if given_back:                       # this was the last look that was needed
                self.lent, self._copy, self._views = False, None, []
        return self.version


TOGETHER = 1 << 14
"""Numbers that are compared at once: their copies stay in the cache."""


def same_bits(a: Array, b: Array) -> bool:
    """Of arrays of one dtype. By their bytes: NaN equals NaN, 0 differs from -0, and Python compares them faster than
    NumPy compares numbers."""
    if a.shape != b.shape:
        return False
    if a.size <= TOGETHER:
        return a.tobytes() == b.tobytes()
    a, b = a.reshape(-1), b.reshape(-1)
    return all(a[k:k + TOGETHER].tobytes() == b[k:k + TOGETHER].tobytes() for k in range(0, a.size, TOGETHER))


LARGE = 1 << 16
"""Bytes from which on an array that no derivative will read is let go of, and only its shape kept."""


_NAN = {np.dtype(t): np.array(np.nan, t).tobytes() for t in (np.float32, np.float64)}


def shape_only(array: Array) -> Array:
    """A read-only array of the same shape and dtype whose entries are one and the same NaN: it takes no memory, and a
    derivative that reads more than it said gives NaN, not something wrong."""
    return np.ndarray(array.shape, array.dtype, _NAN[array.dtype], strides=(0,) * array.ndim)


class Node:
    """One recorded operation: what is needed to call its vector-Jacobian product later.

    Of large arrays it keeps only those whose content the product reads, so that the others can be freed before the
    backward pass: after a convolution and a relu, the result of the relu but not that of the convolution.
    """

    __slots__ = ("args", "inputs", "number", "options", "primitive", "seen", "y")

    def __init__(self, primitive: Primitive, args: list[Any], options: dict[str, Any],
                 inputs: list[Tensor | None], y: Array, y_storage: Storage) -> None:
        self.primitive = primitive
        self.args: list[Any] | None = args               # None once the tape has been walked and freed
        self.options = options
        self.inputs = inputs
        self.y: Array | None = y
        self.number = next(_clock)
        # (name, storage, version) of every array whose content the vector-Jacobian product will read
        self.seen: list[tuple[str, Storage, int]] = []
        read = [("its result", y_storage)] if primitive.needs_result else []
        for position, name in primitive.needed_arguments:        # in order
            if position >= len(inputs):
                break
            if (tensor := inputs[position]) is not None:
                read.append((name, tensor.storage))
        for name, storage in read:
            storage.recorded = True
            self.seen.append((name, storage, storage.current_version() if storage.lent else storage.version))
        if not primitive.needs_result and y.nbytes >= LARGE and not mode.checking:
            self.y = shape_only(y)
        for position, tensor in enumerate(inputs):
            if (tensor is not None and tensor.node is not None and tensor.array.nbytes >= LARGE
                    and position not in primitive.needed_positions and not mode.checking):
                args[position] = shape_only(tensor.array)
                inputs[position] = tensor.without_content(args[position])

    def check_unchanged(self) -> None:
        """Raise TapeError when an array that the derivative reads is no longer what it was."""
        if self.args is None:
            raise TapeError(
                self.primitive.name, "the tape can be walked back once; backward() has already freed it",
                cause="Run the forward pass again before the second backward(), or add the losses and call it once")
        for name, storage, version in self.seen:
            if (storage.current_version() if storage.lent else storage.version) != version:
                raise TapeError(
                    self.primitive.name, f"{name} must still hold the numbers of the forward pass",
                    got="an array that was changed in place since",
                    cause="Call backward() before the change (an optimizer step, or a write into .data), "
                          "or change a copy")

    def free(self) -> None:
        """Let go of everything but the name, so that a second walk can say what happened."""
        self.args = self.y = None
        self.inputs = []
        self.seen = []


def walk_back(root: Node, g: Array) -> list[tuple[Tensor, Array]]:
    """Gradients of all leaves behind `root`, given the cotangent `g` of its result; frees the tape.

    Nothing is freed or returned when a check fails: a failed backward pass leaves every gradient as it was.
    """
    pending: dict[Node | Tensor, Array] = {root: g}      # what has arrived at each node and each leaf
    waiting = [(-root.number, root)]                     # a heap: the latest node comes first
    walked: list[Node] = []
    leaves: list[Tensor] = []
    taken = {id(g)}                                      # arrays that others hold
    while waiting:
        node = heapq.heappop(waiting)[1]
        node.check_unchanged()
        assert node.args is not None
        walked.append(node)
        taken.add(id(node.y))
        taken.update(map(id, node.args))
        gradients = node.primitive.gradients(pending.pop(node), node)
        for tensor, dx in zip(node.inputs, gradients, strict=False):
            if tensor is None or not tensor.requires_grad:
                continue
            x = tensor.array
            if dx is None or dx.shape != x.shape or dx.dtype != x.dtype:
                if dx is None or dx.shape != x.shape or x.ndim:
                    raise _unfit_gradient(node.primitive.name, tensor, dx)
                dx = dx.astype(x.dtype)          # a Python number widened a 0-d array (NumPy 1.26)
            before = tensor.node
            target = tensor if before is None else before
            if target in pending:
                pending[target] = pending[target] + dx
                continue
            pending[target] = dx
            if before is None:
                leaves.append(tensor)
            else:
                heapq.heappush(waiting, (-before.number, before))
    found = []
    for leaf in leaves:                                  # each gets memory of its own
        dx = pending[leaf]
        found.append((leaf, np.array(dx, order="C") if dx.base is not None or id(dx) in taken
                      else dx if type(dx) is np.ndarray else np.asarray(dx)))
        taken.add(id(dx))
    for node in walked:
        node.free()
    return found


def _unfit_gradient(op: str, tensor: Tensor, dx: Array | None) -> ShapeError | DTypeError:
    if dx is None or dx.shape != tensor.shape:
        return ShapeError(f"{op}_vjp", "each gradient must have the shape of its argument",
                          got=f"{None if dx is None else dx.shape} for an argument of shape {tensor.shape}",
                          cause="A sum over the broadcast axes, or a transpose, is missing in the derivative")
    return DTypeError(f"{op}_vjp", "each gradient must have the dtype of its argument",
                      got=f"{dx.dtype} for an argument of {tensor.dtype}")
