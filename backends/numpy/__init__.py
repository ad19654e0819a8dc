"""The NumPy backend, the default one."""
