"""Preparing in the background: order, errors at their turn, and no thread that stays."""

import gc
import subprocess
import sys
import threading
import time

import pytest

from minilq.data.loader import prefetched


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("minilq-prefetch")]


@pytest.fixture(autouse=True)
def no_thread_stays():
    assert threads() == []
    yield
    if threads():
        gc.collect()
    assert threads() == []


@pytest.mark.parametrize("n", [0, 1, 2, 50])
def test_everything_in_order_and_once(n):
    seen = []

    def prepare(item):
        seen.append(item)
        return item * 10

    assert list(prefetched(range(n), prepare)) == [item * 10 for item in range(n)]
    assert seen == list(range(n))


def test_none_is_a_result_like_any_other():
    assert list(prefetched([1, 2, 3], lambda item: None)) == [None, None, None]


def test_exactly_one_is_prepared_ahead_in_another_thread():
    prepared, where = [], set()
    second = threading.Event()

    def prepare(item):
        prepared.append(item)
        where.add(threading.current_thread())
        if item == 1:
            second.set()
        return item

    results = prefetched(range(10), prepare)
    assert prepared == []  # Nothing happens before the first is asked for.
    assert next(results) == 0
    assert second.wait(10)
    time.sleep(0.05)
    assert prepared == [0, 1]
    assert threading.main_thread() not in where
    assert len(where) == 1
    results.close()


def test_preparing_and_using_overlap():
    using = threading.Event()

    def prepare(item):
        return item == 0 or using.wait(10)  # The second can only be ready if the first is in use meanwhile.

    results = prefetched(range(2), prepare)
    assert next(results)
    using.set()
    assert list(results) == [True]


def test_error_in_prepare_comes_at_its_turn():
    results = prefetched([3, 2, 1, 0, 5], lambda item: 6 // item)
    assert [next(results), next(results), next(results)] == [2, 3, 6]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(results) == []


def test_error_in_the_items_comes_at_its_turn():
    def items():
        yield from (1, 2)
        raise OSError("no more")

    results = prefetched(items(), lambda item: item)
    assert [next(results), next(results)] == [1, 2]
    with pytest.raises(OSError, match="no more"):
        next(results)


def test_closing_early_ends_the_thread_and_prepares_no_more():
    prepared = []
    results = prefetched(range(1000), prepared.append)
    next(results)
    results.close()
    assert threads() == []
    assert len(prepared) <= 2


def test_dropping_it_ends_the_thread():
    for item in prefetched(range(1000), lambda item: item):
        if item == 3:
            break
    del item
    gc.collect()
    assert threads() == []


def test_interrupt_in_the_consumer_ends_the_thread():
    def consume():
        for item in prefetched(range(1000), lambda item: item):
            if item == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        consume()
    gc.collect()
    assert threads() == []


@pytest.mark.parametrize("at", ["using", "waiting"])
def test_interrupted_program_ends_soon(at):
    # Ctrl-C for real, with the generator still referenced, while the consumer works or waits for the thread.
    code = f"""
import _thread, threading, time
from minilq.data.loader import prefetched
results = prefetched(range(1000), lambda item: time.sleep(0.3 if {at == "waiting"} else 0))
next(results)
threading.Timer(0.1, _thread.interrupt_main).start()
while True:
    next(results) if {at == "waiting"} else time.sleep(0.01)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "KeyboardInterrupt" in done.stderr
    assert done.returncode != 0
