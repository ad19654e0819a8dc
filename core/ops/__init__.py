"""Operators, one module a family; see `retrograd.ops.declare`."""
