"""The tracker and the network may fail wherever they like: the result is the same but for times.

Each part of the tracker alone is in tests/training/test_tracking.py, and a whole benchmark without
a connection in tests/security/test_process.py.
"""

from pathlib import Path

import pytest

from finegrid.records.result import RESULT_FILE, Result
from tests.security.test_process import blocked
from tests.training.assets import Assets, run_folder
from tests.training.interruptions import assert_same_bits

RAISES_AT_ONCE = """
import wandb

def init(**settings):
    raise OSError("no space left")

wandb.init = init
"""
RAISES_EVERYWHERE = """
import wandb

class Raising:
    def __getattr__(self, name):
        raise OSError(f"{name}: no space left")

wandb.init = lambda **settings: Raising()
"""
RUN = "from finegrid.training.run import main; sys.exit(main())"


@pytest.mark.parametrize(
    ("code", "mode", "warning"),
    [
        (RAISES_AT_ONCE, "online", "OSError: no space left"),
        (RAISES_EVERYWHERE, "online", "OSError: define_metric: no space left"),
        ("", "offline", None),
    ],
    ids=["raising at once", "raising everywhere", "offline"],
)
def test_the_result_is_the_same_and_no_connection_is_tried(
    assets: Assets, tmp_path: Path, code: str, mode: str, warning: str | None
) -> None:
    spec = assets.specification("lora", model="bert", epochs=2, evaluations=2)
    assets.run(spec, tmp_path / "whole")
    spec.write(tmp_path / "spec.json")
    places = ["--spec", str(tmp_path / "spec.json"), "--results", str(tmp_path)]
    done = blocked(
        code + RUN, *places, "--prepared", str(assets.prepared), WANDB_MODE=mode, WANDB_API_KEY=""
    )
    assert done.returncode == 0, done.stderr
    assert "tried" not in done.stderr
    tracking = Result.read(run_folder(spec, tmp_path) / RESULT_FILE).tracking
    assert tracking is not None
    assert (tracking.mode, tracking.warning) == (mode, warning)
    assert_same_bits(spec, tmp_path / "whole", tmp_path)
