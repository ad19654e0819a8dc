"""`futures`, beside PyTorch."""

from __future__ import annotations

import threading

from programs import assert_same

from retrograd import futures


def test_same_as_pytorch() -> None:
    assert_same(
        """
        Future = torch.futures.Future
        f = Future()
        following = f.then(lambda done: done.value() + 1)
        failing = following.then(lambda done: 1 / 0)
        print(f.done(), following.done())
        f.add_done_callback(lambda done: print("called", done.wait()))
        f.set_result(1)
        print(f.done(), f.value(), following.wait(), failing.done())
        f.add_done_callback(lambda done: print("called at once", done.wait()))
        attempt(f.set_result, 2)
        failed = Future()
        failed.set_exception(ValueError("text"))
        attempt(failed.wait)
        attempt(failed.value)
        attempt(Future().set_exception, 1)
        print(torch.futures.wait_all([f, following]), len(torch.futures.collect_all([f, following]).wait()))
        print(torch.futures.wait_all([]))
        """
    )


def test_another_thread_sets_the_value() -> None:
    future: futures.Future[int] = futures.Future()
    both = futures.collect_all([future, future])
    thread = threading.Thread(target=future.set_result, args=(7,))
    assert not both.done()
    thread.start()
    assert future.wait() == 7
    assert [each.value() for each in both.wait()] == [7, 7]
    thread.join()
