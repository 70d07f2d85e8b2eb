"""The search for the largest batch, on memories whose answer is known."""

import pytest

from cnn_jax.aot import search
from cnn_jax.aot.search import Tried


def memory(per_image, fixed, limit, *, silent=False):
    """A chip on which a batch takes fixed + per_image x batch; it may not say how much too much."""

    def attempt(batch):
        share = (fixed + per_image * batch) / limit
        return Tried(batch, share <= 1, None if silent and share > 1 else share)

    return attempt


@pytest.mark.parametrize("start", [8, 64, 256, 1024, 4096])
@pytest.mark.parametrize("silent", [False, True])
def test_the_largest_is_found(start, silent):
    # 1000 + 35 b <= 16000: 428, of which 424 is the nearest multiple of 8
    tried = search.largest(memory(35, 1000, 16000, silent=silent), start, 8)
    fitting = [one.batch for one in tried if one.fits]
    beyond = [one.batch for one in tried if not one.fits]
    assert (max(fitting), min(beyond)) == (424, 432)
    assert len(tried) <= (9 if silent else 5)


def test_memory_that_does_not_grow_in_proportion():
    def attempt(batch):
        share = (batch // 100) ** 2 / 9.5  # up to 399 fit
        return Tried(batch, share <= 1, share)

    tried = search.largest(attempt, 32, 1)
    assert max(one.batch for one in tried if one.fits) == 399
    assert min(one.batch for one in tried if not one.fits) == 400


def test_nothing_fits():
    tried = search.largest(memory(35, 20000, 16000), 64, 8)
    assert not any(one.fits for one in tried)
    assert tried[0].batch == 8
