"""What dense tensors in ordinary memory say of layouts, and settings that are remembered, beside PyTorch's."""

from __future__ import annotations

from programs import assert_same


def test_layouts_and_quantization() -> None:
    assert_same("""
    x = torch.ones(2, 3)
    print(x.to_dense() is x, x.to_dense(torch.float64).dtype, x.sparse_dim(), x.dense_dim(), x.volatile)
    print(x.dim_order(), x.t().dim_order(), torch.ones(1, 2, 3, 4).permute(0, 3, 1, 2).dim_order())
    print(x.dequantize().dtype, x.resize_as(torch.zeros(3, 2)))
    names = "is_coalesced coalesce indices values crow_indices col_indices ccol_indices row_indices"
    for name in names.split():
        attempt(getattr(x, name))
    z = torch.tensor([1 + 2j])
    print(z.conj_physical_(), z, x.conj_physical_() is x)
    """)


def test_default_types_by_constructors() -> None:
    assert_same("""
    for kind in torch.DoubleTensor, "torch.FloatTensor", torch.IntTensor, 3:
        attempt(torch.set_default_tensor_type, kind)
        print(torch.get_default_dtype())
    print(torch.is_warn_always_enabled())
    torch.set_warn_always(True)
    print(torch.is_warn_always_enabled())
    torch.set_warn_always(False)
    print(torch.utils.deterministic.fill_uninitialized_memory)
    """)
