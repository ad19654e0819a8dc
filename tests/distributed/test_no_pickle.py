"""Nothing that comes from the network is ever unpickled: read from the imports, and tried."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
from ps_harness import run_launcher, write_script

import retrograd.distributed

FORBIDDEN = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
FORBIDDEN_CALLS = {"send_pyobj", "recv_pyobj", "eval", "exec", "loads"}
# A `load` of NumPy's may unpickle, and one of these modules does.
FORBIDDEN_LOADS = FORBIDDEN | {"np", "numpy", "rg", "retrograd", "torch"}
FOLDER = Path(retrograd.distributed.__file__).parent


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda p: str(p.relative_to(FOLDER)))
def test_no_module_can_unpickle(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert not FORBIDDEN & {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in FORBIDDEN
        elif isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            library = node.func.value if isinstance(node.func, ast.Attribute) else None
            assert name not in FORBIDDEN_CALLS, f"line {node.lineno}"
            if name == "load" and isinstance(library, ast.Name | type(None)):
                assert library is not None, f"line {node.lineno}"
                assert library.id not in FORBIDDEN_LOADS, f"line {node.lineno}"


@pytest.mark.processes
def test_a_run_in_which_unpickling_raises_goes_well(tmp_path: Path) -> None:
    # `sitecustomize` is imported by every interpreter that finds it: the launcher, the server, the workers.
    write_script(
        tmp_path,
        """
        import _pickle, pickle, sys
        from pathlib import Path
        def refuse(*args, **kwargs):
            raise AssertionError("something is unpickled")
        for module in (pickle, _pickle):
            module.loads = module.load = module.Unpickler = refuse
        Path(__file__).with_name("patched").open("a").write("x")
        """,
        name="sitecustomize.py",
    )
    script = write_script(
        tmp_path,
        """
        import pickle, sys
        import numpy as np
        import retrograd as rg, retrograd.distributed as dist
        assert pickle.loads.__name__ == "refuse"
        dist.init()
        w = rg.nn.Parameter(rg.ones(3))
        opt = dist.ServerOptimizer(rg.optim.Adam, [w], lr=0.1)
        for _ in range(3):
            opt.zero_grad()
            (w * w).sum().backward()
            opt.step()
        np.savetxt(sys.argv[1], w.detach().numpy())
        """,
    )
    done = run_launcher("launch", "--workers", "2", script, tmp_path / "w.txt", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert np.all(np.loadtxt(tmp_path / "w.txt") < 1)
    # A launcher, a server and two workers; their guards do not import `site`.
    assert len((tmp_path / "patched").read_text()) >= 4
