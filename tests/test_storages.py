"""Storages: memory as bytes and as elements of a type, beside PyTorch."""

from __future__ import annotations

import warnings

import pytest
from programs import assert_same

import retrograd

UNTYPED = """
    U = torch.UntypedStorage
    s = U(4)
    print(s.fill_(3) is s, s.tolist(), s[0], s[-1], s[1:3].tolist(), len(s), s.size(), s.nbytes(), s.element_size())
    s[1] = 7
    s[2:4] = 9
    print(s.tolist(), [each for each in s], 7 in s, s.is_cuda, s.is_sparse, s.is_shared(), s.is_pinned(), s.type())
    for index in (4, -5, "a", 0.5, slice(0, 3, 2)):
        attempt(lambda: s[index])
    print(U([1, 2, 300 - 256]).tolist(), U().nbytes(), U(2) == U(2))
    attempt(U, [1, "a"])
    attempt(U, 1, 2)
    attempt(U, torch.ones(2))
    u = U(4)
    print(u.copy_(s) is u, u.tolist(), u == s, u != s, u.clone() == u, u.clone().tolist(), u.untyped() is u)
    attempt(U(2).copy_, s)
    print(u.resize_(6) is u, len(u), u.tolist()[:4], u.resize_(2).tolist(), u.new().nbytes(), u.cpu() is u)
    print(u.float().tolist(), u.int().dtype, copy.copy(u).tolist(), copy.deepcopy(u) == u)
    print(u.filename, u.get_device())
    v = U([1, 2, 3, 4, 5, 6, 7, 8])
    v.byteswap(torch.int16)
    print(v.tolist())
"""

OF_TENSORS = """
    a = torch.arange(6.0).reshape(2, 3)
    t = a.t()
    s = a.untyped_storage()
    print(t.untyped_storage() == s, hash(t.untyped_storage()) == hash(s))
    print(t.untyped_storage().data_ptr() == s.data_ptr())
    s[3] = 64
    print(a, t, a._version)
    print(torch.empty(0).set_(s), torch.empty(0).set_(s, 1, (2, 2), (1, 2)))
    s.resize_(40)
    a.resize_(9)
    print(a[:6], t, len(s))
    s.resize_(8)
    s.resize_(36)
    s.fill_(0)
    print(a, t, a.untyped_storage() == s, a.untyped_storage().nbytes())
    b = torch.ones(3)
    r = b.untyped_storage()
    print(len(r.resize_(0)), b.shape, r.resize_(12).fill_(0) is r, b)
    made = torch.empty(0).set_(torch.UntypedStorage([0, 0, 128, 63, 0, 0, 0, 64]))
    print(made, torch.is_storage(r), torch.is_storage(b), torch.is_storage(b.storage()))
    many = torch.ones(3)
    for _ in range(5):
        many.untyped_storage().resize_(0)
        many.untyped_storage().resize_(12)
    print(many.shape, many.add_(1).shape)
"""

TYPED = """
    x = torch.arange(6.0).reshape(2, 3)
    s = x.storage()
    print(type(s).__name__, s.dtype, s.size(), len(s), s.nbytes(), s.element_size(), s.type(), s.tolist(), s[1], s[-1])
    for index in (6, slice(1, 2), "a"):
        attempt(lambda: s[index])
    s[0] = 9
    s[1:3] = 4
    print(x, s.data_ptr() == x.data_ptr(), s.fill_(2) is s, x)
    attempt(s.__setitem__, 0, s)
    attempt(s.__setitem__, "a", 1)
    print(s.int().tolist(), isinstance(s, torch.FloatStorage), isinstance(s, torch.IntStorage), s.pickle_storage_type())
    f = torch.FloatStorage(3).fill_(1)
    print(f.tolist(), type(f).__name__, f.dtype, torch.LongStorage([1, 2]).tolist(), torch.BoolStorage([True]).tolist())
    for given in ((1, 2), (2.5,)):
        attempt(torch.LongStorage, *given)
    attempt(torch.LongStorage, dtype=torch.int8)
    attempt(torch.LongStorage, wrap_storage=1)
    attempt(torch.LongStorage, 1, wrap_storage=x.untyped_storage())
    typed = torch.storage.TypedStorage
    attempt(typed, 1, 2)
    attempt(typed, 1.5)
    attempt(typed, wrap_storage=x.untyped_storage())
    attempt(typed, wrap_storage=x.untyped_storage(), dtype=1)
    attempt(typed, 1, wrap_storage=x.untyped_storage(), dtype=torch.int8)
    attempt(typed, wrap_storage=x.untyped_storage(), dtype=torch.int8, device="cpu")
    attempt(typed, wrap_storage=1, dtype=torch.int8)
    t = typed(wrap_storage=x.untyped_storage(), dtype=torch.float32)
    print(t.tolist(), t.untyped() == s.untyped(), torch.empty(0).set_(t), torch.empty(0).set_(s, 1, (2, 2), (1, 2)))
    attempt(torch.empty(0, dtype=torch.int32).set_, s)
    print(s.clone().tolist(), copy.copy(s).data_ptr() == s.data_ptr(), copy.deepcopy(s).tolist(), s.is_shared())
    print(s.resize_(8), s.size(), s.copy_(torch.FloatStorage(8).fill_(3)).tolist(), x)
    print(s.cpu().data_ptr() == s.data_ptr())
    attempt(s.copy_, torch.FloatStorage(2))
    print(torch.Storage is torch.FloatStorage, typed(2).dtype)
"""

GIVEN = "import copy, pickle\n"


@pytest.mark.parametrize("program", [UNTYPED, OF_TENSORS, TYPED], ids=["untyped", "of tensors", "typed"])
def test_same_as_pytorch(program: str, backend: str) -> None:
    assert_same(program, GIVEN)


def test_memory_is_seen_as_elements_of_any_type_where_arrays_share_it() -> None:
    assert_same(
        """
        a = torch.zeros(2, 3)
        s = a.untyped_storage()
        b = torch.empty(0, dtype=torch.uint8).set_(s)
        i = torch.empty(0, dtype=torch.int16).set_(s, 2, (2, 2), (3, 2))
        b[7] = 64
        print(a, b.shape, b[4:8], i, i.storage().dtype, i.untyped_storage() == s)
        p, q = copy.deepcopy([a, i])
        p.add_(1)
        print(q, copy.deepcopy(a.view(torch.int32)))
        """,
        GIVEN,
    )


def test_typed_storages_are_warned_of_once() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrograd.typed_storage, "_has_warned", [False])
        x = retrograd.ones(2)
        with pytest.warns(UserWarning, match="TypedStorage is deprecated. It will be removed in the future") as caught:
            x.storage()
        assert caught[0].filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert x.storage().size() == 2
