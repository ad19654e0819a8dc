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
