"""Threads that share out the parts of stages, each of which begins when the one before is done."""

import threading

import numba
import numpy as np
import pytest

from engine.kernels import stages
from engine.kernels.pointers import data

from .test_jit import run, thread_layers

DONE = stages.DONE


@numba.njit(nogil=True)
def work(words, number, parts, log, order):
    """Go through the stages, which are rows of the log, as one thread.

    log    at each part how often it was done; and how often one of the stage before was not yet
    order  the parts that this thread has done
    """
    shared, done, count = data(words), 0, 0
    for stage in range(log.shape[0]):
        done += parts
        part = stages.next_part(shared, stage, number, parts, done)
        while part >= 0:
            log[stage, part, 0] += 1
            if stage > 0 and (log[stage - 1, :parts, 0] == 0).any():
                log[stage, part, 1] += 1
            order[count] = part
            count += 1
            stages.add(shared, np.int64(DONE), np.int64(1))
            part = stages.next_part(shared, stage, number, parts, done)
    return count


def no_words():
    return np.zeros(stages.WORDS, np.int64)


@pytest.mark.parametrize(("number", "expected"), [(0, [0, 1, 2]), (1, [1, 0, 2]), (7, [0, 1, 2])])
def test_one_thread_does_what_no_other_takes(number, expected):
    log, order = np.zeros((4, 3, 2), np.int64), np.full(12, -1)
    words = no_words()
    assert work(words, number, 3, log, order) == 12
    assert order.reshape(4, 3).tolist() == [expected] * 4
    assert work(words, 2, 3, log, order) == 0  # a thread that comes when all is done
    assert (log == [1, 0]).all()


@pytest.mark.parametrize("count", [2, 5])
def test_threads_do_each_part_once_and_wait_for_each_other(count):
    log, words = np.zeros((3000, count, 2), np.int64), no_words()
    orders = np.full((count, 3000 * count), -1)
    done = [0] * count

    def start(number):
        done[number] = work(words, number, count, log, orders[number])

    threads = [threading.Thread(target=start, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (log[:, :, 0] == 1).all()
    assert not log[:, :, 1].any()
    assert sum(done) == 3000 * count


@pytest.mark.parametrize("workers", ["1", "2", "8"])
@pytest.mark.parametrize("layer", [*thread_layers()])
def test_a_step_has_the_same_bits_whoever_takes_its_parts(layer, workers):
    code = (
        "import hashlib, numpy as np, engine, nn\n"
        "x, y = np.random.default_rng(0).normal(size=(33, 784)), np.arange(33) % 10\n"
        "for count in (1, 3, 8, 100):\n"
        "    engine.set_num_threads(count)\n"
        "    engine.seed(0)\n"
        "    model = nn.Sequential([nn.Flatten(input_shape=(784,))])\n"
        "    for units in (256, 512, 32):\n"
        "        model.add(nn.Dense(units, activation='relu'))\n"
        "    model.add(nn.Dense(10, activation='softmax'))\n"
        "    model.compile('adam', 'sparse_categorical_crossentropy')\n"
        "    for size in (33, 33, 33, 1, 1):\n"
        "        model.train_on_batch(x[:size], y[:size])\n"
        "    bits = b''.join(p.numpy().tobytes() for p in model.parameters())\n"
        "    print(hashlib.sha256(bits).hexdigest())\n"
    )
    said = run(code, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS=workers)
    assert len(said) == 4
    assert len(set(said)) == 1
