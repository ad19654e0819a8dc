"""Settings that programs for PyTorch begin with are taken and told; what is refused, is with PyTorch's text."""

from __future__ import annotations

from programs import assert_same


def test_settings() -> None:
    assert_same("""
        try:
            for mode in (True, False, 1, "x"):
                attempt(torch.use_deterministic_algorithms, mode)
                print(torch.are_deterministic_algorithms_enabled(), torch.get_deterministic_debug_mode())
            for mode in ("warn", "error", "default", 1, 2, 0, "x", 7, -1, 1.5):
                attempt(torch.set_deterministic_debug_mode, mode)
                print(torch.get_deterministic_debug_mode(), torch.is_deterministic_algorithms_warn_only_enabled())
            for precision in ("high", "medium", "low", "highest"):
                torch.set_float32_matmul_precision(precision)
                print(torch.get_float32_matmul_precision())
            threads = torch.get_num_threads()
            for number in (0, -1, "a", 1.5, True, 2):
                attempt(torch.set_num_threads, number)
            print(torch.get_num_threads(), type(torch.get_num_interop_threads()))
            attempt(torch.set_num_interop_threads, 0)
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(False)
            torch.set_float32_matmul_precision("highest")
    """)


def test_memory_that_nobody_has_written_to_is_filled_where_all_is_deterministic(backend: str) -> None:
    assert_same(
        """
        import torch.utils.deterministic as switch
        kinds = (torch.float32, torch.float16, torch.complex64, torch.int64, torch.uint8, torch.bool)
        try:
            torch.use_deterministic_algorithms(True)
            for kind in kinds:
                x = torch.ones(2, dtype=kind)
                print(torch.empty(2, dtype=kind), torch.empty_like(x), x.new_empty(2))
                print(torch.empty_strided((2,), (1,), dtype=kind), x.clone().resize_(4), x.clone().resize_(1))
            switch.fill_uninitialized_memory = False
            print(torch.empty(2).isnan().any())
        finally:
            switch.fill_uninitialized_memory = True
            torch.use_deterministic_algorithms(False)
    """.replace("import torch.utils.deterministic as switch", "switch = torch.utils.deterministic")
    )
