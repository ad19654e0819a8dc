"""The shape of the distribution: what is packaged, who imports whom, and what `import retrograd` costs.

DESIGN: three folders map to one import name, and arrows run one way, `distributed -> core -> backends.spec`.
"""

import ast
import importlib.metadata
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import retrograd

ROOT = Path(__file__).parent.parent

# The folders, and the names that `package-dir` gives them.
FOLDERS = {"core": "retrograd", "backends": "retrograd.backends", "distributed": "retrograd.distributed"}

# Modules of core/ that make or show a host value or the bytes of one, or seed NumPy for a data set, and so may import
# it. The rest names no array library.
NUMPY_ALLOWED = {
    "retrograd.memory_bytes",
    "retrograd.ops.creation",
    "retrograd.printing",
    "retrograd.shared_memory",
    "retrograd.utils.data._utils.collate",
    "retrograd.utils.data._utils.worker",
    "retrograd.utils.tensorboard.writer",
}

# Libraries that core/ never imports, at any level of any module.
NEVER_IN_CORE = {"jax", "jaxlib", "zmq", "msgspec", "rich"}

# What `import retrograd` must not load: a program may never use it.
LAZY = {"jax", "jaxlib", "zmq", "msgspec", "rich", "retrograd.distributed"}


def modules(folder: str) -> Iterator[tuple[str, Path]]:
    """Each module under a top-level folder, with its import name."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        parts = path.relative_to(ROOT / folder).with_suffix("").parts
        name = ".".join((FOLDERS[folder], *parts))
        yield name.removesuffix(".__init__"), path


def imports(name: str, path: Path) -> set[str]:
    """The absolute names a module imports, wherever in it the statement stands."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                source = ".".join([*above, *filter(None, [node.module])])
            found.update(f"{source}.{alias.name}" for alias in node.names)
    return found


def imports_any(name: str, path: Path, libraries: set[str]) -> set[str]:
    """Those of `libraries` that a module imports, whole or in part."""
    found = imports(name, path)
    return {lib for lib in libraries if any(one == lib or one.startswith(f"{lib}.") for one in found)}


def run_python(code: str, cwd: Path) -> str:
    """Run `code` in a fresh interpreter outside the checkout; what it prints."""
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_every_package_is_listed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    on_disk = [name for folder in FOLDERS for name, path in modules(folder) if path.name == "__init__.py"]
    assert sorted(on_disk) == sorted(listed), "pyproject.toml: [tool.setuptools] packages"


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_with_modules_is_a_package(folder: str) -> None:
    homes = {path.parent for _, path in modules(folder)}
    assert [home for home in homes if not (home / "__init__.py").exists()] == []


def test_version_is_the_distribution_s() -> None:
    assert retrograd.__version__ == importlib.metadata.version("retrograd")


def test_the_package_runs_as_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "retrograd", "--version"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, f"retrograd {retrograd.__version__}\n"), done.stderr


def test_package_is_typed() -> None:
    assert (Path(retrograd.__file__).parent / "py.typed").exists()


def test_core_imports_no_optional_library() -> None:
    found = {name: imports_any(name, path, NEVER_IN_CORE) for name, path in modules("core")}
    assert {name: libs for name, libs in found.items() if libs} == {}


def test_core_imports_numpy_only_at_the_edge() -> None:
    found = {name for name, path in modules("core") if imports_any(name, path, {"numpy"})}
    assert found == NUMPY_ALLOWED  # equal, so that the list does not go stale either


def test_core_does_not_know_the_distributed_layer_or_a_single_backend() -> None:
    upward = {"retrograd.distributed", "retrograd.backends.numpy", "retrograd.backends.jax"}
    found = {name: imports_any(name, path, upward) for name, path in modules("core")}
    # But for `python -m retrograd`, which is the command.
    assert {name: above for name, above in found.items() if above} == {"retrograd.__main__": {"retrograd.distributed"}}


def test_backends_know_nothing_of_tensors_or_graphs() -> None:
    found = {
        name: {
            one
            for one in imports(name, path)
            if one.split(".")[0] == "retrograd" and not one.startswith("retrograd.backends")
        }
        for name, path in modules("backends")
    }
    assert {name: above for name, above in found.items() if above} == {}


def test_import_is_light(tmp_path: Path) -> None:
    code = f"import sys, retrograd; print(sorted({LAZY!r} & set(sys.modules)))"
    assert run_python(code, tmp_path) == "[]"


@pytest.mark.parametrize("folder", FOLDERS)
def test_folders_are_not_importable_by_their_own_name(folder: str, tmp_path: Path) -> None:
    code = f"import importlib.util; print(importlib.util.find_spec({folder!r}))"
    assert run_python(code, tmp_path) == "None"


def test_built_in_backends_are_entry_points() -> None:
    found = {point.name: point.value for point in importlib.metadata.entry_points(group="retrograd")}
    assert found["numpy"] == "retrograd.backends.numpy.plugin"
    assert found["jax"] == "retrograd.backends.jax.plugin"
