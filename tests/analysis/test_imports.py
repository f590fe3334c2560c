"""The room stays light, and knows nobody by name."""

import pkgutil
import subprocess
import sys

import analysis


def test_no_module_loads_torch_or_transformers() -> None:
    """Those that are no figures, nor the claims, load no matplotlib either."""
    modules = [module.name for module in pkgutil.walk_packages(analysis.__path__, "analysis.")]
    assert "analysis.report" in modules
    code = (
        "import sys, analysis.collect, analysis.evidence, analysis.tables, analysis.report\n"
        "print('matplotlib' in sys.modules)\n"
        f"import {', '.join(modules)}\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'torch', 'transformers'}))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "False\n[]\n"
