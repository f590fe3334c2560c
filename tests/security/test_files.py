"""Files from elsewhere: no pickle is read, no code is run, nothing is written outside."""

import io
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from finegrid import metrics
from finegrid.models.loading import base_sha256, load_model
from finegrid.prepare import task as prepare_task
from finegrid.prepare.encode import encode_task
from finegrid.prepare.model import main, prepare_model
from finegrid.prepare.sources import SourceError, fetch, problems
from finegrid.records.damage import CorruptedFileError
from finegrid.records.identity import file_sha256
from finegrid.records.prepared import MANIFEST_FILE, PreparedModel, PreparedTask
from finegrid.records.specification import Checkpoint, Source, Task, model_key
from finegrid.training.data import load_examples
from finegrid.training.encoding import encoding_of
from finegrid.training.evaluation import compute
from kinds.registry import kind_named
from tests.security.hostile import fill
from tests.training.assets import Assets
from tests.training.assets import asked as asked_by

REVISION = "0123456789abcdef0123456789abcdef01234567"
CANARIES = ("WANDB_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY")


class Trap:
    """A pickle that writes a file when it is read."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return Path.write_text, (self.canary, "read")


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A file that nothing may write."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists()


@pytest.fixture
def checkpoint(assets: Assets, tmp_path: Path) -> Path:
    """A good model's folder as a source."""
    made = assets.prepared / "models" / model_key(assets.models["bert"])
    folder = tmp_path / "downloaded"
    shutil.copytree(made, folder, ignore=shutil.ignore_patterns(MANIFEST_FILE))
    return folder


def model(folder: Path, **hashes: str) -> Checkpoint:
    configuration = json.loads((folder / "config.json").read_text())
    source = Source(uri=f"path:{folder}", sha256=hashes)
    return Checkpoint(kind="checkpoint", name="m", source=source, configuration=configuration)


def prepare(one: Checkpoint, folder: Path) -> tuple[int, Path]:
    """Exit code of the command that prepares a model, and where."""
    spec, output = folder / "model.json", folder / "prepared"
    one.write(spec)
    places = ["--output", str(output), "--tasks", str(folder), "--cache", str(folder)]
    return main(["--spec", str(spec), *places]), output


def make_hostile(folder: Path, canary: Path, *, in_config: bool = True) -> None:
    """Add all that a model's folder could hold to be run; `in_config`, its configuration asks."""
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(canary)))
    (folder / "training_args.bin").write_bytes(pickle.dumps(Trap(canary)))
    (folder / "modeling_trap.py").write_text(f"open({str(canary)!r}, 'w')\n")
    auto = {
        "AutoConfig": "modeling_trap.A",
        "AutoModelForSequenceClassification": "modeling_trap.B",
    }
    for name, classes in (
        ("config", auto),
        ("tokenizer_config", {"AutoTokenizer": ["a.B", "a.B"]}),
    ):
        path = folder / f"{name}.json"
        if in_config or name != "config":
            path.write_text(json.dumps(json.loads(path.read_text()) | {"auto_map": classes}))


# Models


def test_a_model_that_is_a_pickle_alone_is_refused(
    checkpoint: Path, tmp_path: Path, canary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_hostile(checkpoint, canary, in_config=False)
    (checkpoint / "model.safetensors").unlink()
    code, output = prepare(model(checkpoint), tmp_path)
    assert code == os.EX_DATAERR
    message = capsys.readouterr().err
    assert "no model.safetensors; pickled weights, such as pytorch_model.bin, are never" in message
    assert "allowed: weights saved as safetensors" in message
    assert message.count("\n") == 1
    assert not (output / MANIFEST_FILE).exists()


def test_a_pickle_is_not_fetched_though_it_is_listed(
    checkpoint: Path, tmp_path: Path, canary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_hostile(checkpoint, canary)
    names = ("config.json", "pytorch_model.bin")
    listed = model(checkpoint, **{name: file_sha256(checkpoint / name) for name in names})
    assert "is a pickle, which no source may bring" in problems(listed.source)[0]
    code, output = prepare(listed, tmp_path)
    assert code == os.EX_DATAERR
    assert "file pytorch_model.bin of path:" in (message := capsys.readouterr().err)
    assert "is a pickle, which no source may bring" in message
    assert not (output / "pytorch_model.bin").exists()


def test_a_configuration_that_names_code_is_refused(
    checkpoint: Path, tmp_path: Path, canary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_hostile(checkpoint, canary)
    code, output = prepare(model(checkpoint), tmp_path)
    assert code == os.EX_DATAERR
    assert "the model brings code of its own, which is never run" in capsys.readouterr().err
    assert not (output / MANIFEST_FILE).exists()


def asked(assets: Assets) -> tuple[PreparedTask, str | None, dict[str, Any]]:
    """A task, and what it asks of a model."""
    task = assets.manifest("bert")
    return task, *asked_by(task)


def test_of_a_folder_with_code_only_the_data_are_taken_and_loaded(
    assets: Assets, checkpoint: Path, tmp_path: Path, canary: Path
) -> None:
    expected = {path.name for path in checkpoint.iterdir()}
    make_hostile(checkpoint, canary, in_config=False)
    assert problems(model(checkpoint).source) == []
    code, output = prepare(model(checkpoint), tmp_path)
    assert code == 0
    assert {path.name for path in output.iterdir()} == expected | {MANIFEST_FILE}
    prepared = PreparedModel.read(output / MANIFEST_FILE)
    loaded = load_model(output, prepared, *asked(assets), 0, None)
    assert base_sha256(loaded) == base_sha256(assets.plain(assets.specification(model="bert")))
    place, task = tmp_path / "all", assets.manifest("bert")
    (place / "models").mkdir(parents=True)
    (place / "models" / prepared.key).symlink_to(output)
    (place / "tasks").symlink_to(assets.prepared / "tasks")
    encoding = encoding_of(kind_named(task.kind), task.spec, prepared.spec, 32)
    encode_task(encoding, place / encoding.key, place, prepared.key)
    examples = load_examples(place / encoding.key, task, output, ["train"])["train"]
    assert list(examples.sizes) == list(assets.splits("bert")["train"].sizes)


def test_code_that_a_model_needs_is_refused_without_a_question(
    assets: Assets, checkpoint: Path, canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda _: pytest.fail("it asks whether to run the code"))
    make_hostile(checkpoint, canary)
    path = checkpoint / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": "trap"}))
    files = {path.name: file_sha256(path) for path in checkpoint.iterdir()}
    prepared = PreparedModel(key="m", spec=model(checkpoint), files=files)
    with pytest.raises(ValueError, match="custom code"):
        load_model(checkpoint, prepared, *asked(assets), 0, None)


def test_a_prepared_pickle_is_not_loaded_though_its_manifest_names_it(
    assets: Assets, checkpoint: Path, tmp_path: Path, canary: Path
) -> None:
    make_hostile(checkpoint, canary)
    (checkpoint / "model.safetensors").unlink()
    files = {path.name: file_sha256(path) for path in checkpoint.iterdir()}
    prepared = PreparedModel(key="m", spec=model(checkpoint), files=files)
    with pytest.raises(OSError, match=r"no file named model\.safetensors"):
        load_model(checkpoint, prepared, *asked(assets), 0, None)


@pytest.mark.parametrize("name", ["adapter_config.json", "model.safetensors.index.json", "x.py"])
def test_a_file_that_the_manifest_does_not_name_is_refused(
    assets: Assets, checkpoint: Path, name: str
) -> None:
    files = {path.name: file_sha256(path) for path in checkpoint.iterdir()}
    prepared = PreparedModel(key="m", spec=model(checkpoint), files=files)
    (checkpoint / name).write_text("{}")
    with pytest.raises(CorruptedFileError, match=rf"{name}: manifest\.json does not name it"):
        load_model(checkpoint, prepared, *asked(assets), 0, None)


def test_an_adapter_in_a_model_s_folder_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "adapter_config.json").write_text('{"base_model_name_or_path": "someone/else"}')
    with pytest.raises(SourceError, match=r"adapter_config\.json adds other weights"):
        prepare_model(model(checkpoint), tmp_path / "out", tmp_path, tmp_path)


def test_the_manifest_holds_the_hash_of_every_file(assets: Assets) -> None:
    # one whose preparation is refused in another test has no manifest
    for manifest in (assets.prepared / "models").glob(f"*/{MANIFEST_FILE}"):
        prepared, folder = PreparedModel.read(manifest), manifest.parent
        files = {path.name: file_sha256(path) for path in folder.iterdir()}
        assert prepared.files == {k: v for k, v in files.items() if k != MANIFEST_FILE}
        assert prepared.files
    for folder in (assets.prepared / "tasks").iterdir():
        splits = PreparedTask.read(folder / MANIFEST_FILE).splits
        found = {path.stem: file_sha256(path) for path in folder.glob("*.parquet")}
        assert {name: split.file_sha256 for name, split in splits.items()} == found


@pytest.mark.parametrize(
    "revision",
    [None, "", "main", "v1.0", REVISION[1:], REVISION + "0", REVISION.upper(), f"{REVISION}\n"],
)
def test_a_revision_of_a_hub_is_a_commit(revision: str | None) -> None:
    assert Source(uri="hub:a/b", revision=REVISION).revision == REVISION
    with pytest.raises(ValidationError):
        Source(uri="hub:a/b", revision=revision)


# Data sets


@pytest.mark.parametrize("name", ["loader.py", "Loader.PY", "data.pkl", "sub/data.pt", "lib.so"])
def test_a_data_set_with_code_or_pickles_is_refused(
    tmp_path: Path, canary: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    (data / name).parent.mkdir(parents=True)
    (data / "train.csv").write_text("1,2\n")
    (data / name).write_bytes(pickle.dumps(Trap(canary)))
    task = Task(name="t", task="rated-snippets", source=Source(uri=f"path:{data}"))
    task.write(tmp_path / "task.json")
    where = ["--spec", str(tmp_path / "task.json"), "--output", str(tmp_path / "out")]
    assert prepare_task.main(where) == os.EX_DATAERR
    assert f"file {name} of path:{data} is " in (message := capsys.readouterr().err)
    assert "which no source may bring" in message
    assert not (tmp_path / "out").exists()


def test_a_list_of_files_leaves_code_where_it_is(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "train.csv").write_text("1,2\n")
    (data / "loader.py").write_text("1 / 0\n")
    found = file_sha256(data / "train.csv")
    source = Source(uri=f"path:{data}", sha256={"train.csv": found})
    assert fetch(source, tmp_path / "out") == {"train.csv": found}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["train.csv"]


# Metrics


@pytest.mark.parametrize(
    "form", ["{folder}", "../../{folder}", "{folder}/trap.py", "..", "accuracy/"]
)
def test_a_record_names_no_module_of_its_own(tmp_path: Path, canary: Path, form: str) -> None:
    folder = tmp_path / "trap"
    folder.mkdir()
    (folder / "trap.py").write_text(f"open({str(canary)!r}, 'w')\n")
    steps = len(Path(metrics.__file__).parent.parts) - 1
    name = form.format(folder=folder).replace("../..//", "../" * steps)
    with pytest.raises(ValueError, match=r"metric .* is not allowed; allowed: .*accuracy, bleu"):
        compute(name, [0], [0])


# Archives


def escapes(tar: tarfile.TarFile, outside: Path) -> None:
    """All the ways out of a folder that a tar archive has."""
    for name in ("../evil", "boxed-1.0/../../evil", f"{outside}/evil", "boxed-1.0//evil"):
        member = tarfile.TarInfo(name)
        member.size = 4
        tar.addfile(member, io.BytesIO(b"evil"))
    kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
    for number, kind in enumerate(kinds):
        member = tarfile.TarInfo(f"boxed-1.0/special{number}")
        member.type, member.linkname = kind, str(outside)
        tar.addfile(member)
    through = tarfile.TarInfo("boxed-1.0/special0/evil")
    through.size = 4
    tar.addfile(through, io.BytesIO(b"evil"))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A source distribution with one good file and every way out."""
    path = tmp_path / "cache" / "boxed-1.0.tar.gz"
    path.parent.mkdir()
    (tmp_path / "outside").mkdir()
    with tarfile.open(path, "w:gz") as tar:
        good = tarfile.TarInfo("boxed-1.0/good")
        good.size = 4
        tar.addfile(good, io.BytesIO(b"good"))
        escapes(tar, tmp_path / "outside")
    return path


def of_archive(archive: Path, inner: str) -> Source:
    return Source(
        uri=f"sdist:boxed==1.0/{inner}", sha256={"boxed-1.0.tar.gz": file_sha256(archive)}
    )


def test_a_good_file_comes_out_of_a_hostile_archive_alone(archive: Path, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    fetch(of_archive(archive, "good"), tmp_path / "out", cache=archive.parent)
    assert {*tmp_path.rglob("*")} - before == {tmp_path / "out", tmp_path / "out" / "good"}
    assert (tmp_path / "out" / "good").read_text() == "good"


@pytest.mark.parametrize("inner", ["special0/evil", "/evil"])
def test_an_odd_path_in_an_archive_follows_no_link(
    archive: Path, tmp_path: Path, inner: str
) -> None:
    fetch(of_archive(archive, inner), tmp_path / "out", cache=archive.parent)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["evil"]
    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.parametrize(
    "inner",
    ["../evil", "../../evil", "evil", "..", ".", "good/..", "good\0"]
    + [f"special{number}" for number in range(5)],
)
def test_what_leads_out_of_an_archive_is_refused(archive: Path, tmp_path: Path, inner: str) -> None:
    before = set(tmp_path.rglob("*"))
    with pytest.raises(SourceError):
        fetch(of_archive(archive, inner), tmp_path / "out", cache=archive.parent)
    assert {*tmp_path.rglob("*")} == before


@pytest.mark.parametrize("keep", [40, -20])
def test_an_archive_that_is_cut_short_is_an_error(archive: Path, tmp_path: Path, keep: int) -> None:
    archive.write_bytes(archive.read_bytes()[:keep])
    with pytest.raises((SourceError, OSError)):
        fetch(of_archive(archive, "good"), tmp_path / "out", cache=archive.parent)


def test_the_build_of_a_source_distribution_gets_no_key_and_pip_is_the_real_one(
    tmp_path: Path, canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip reads the metadata by running the build: what that may see is the environment of pip."""
    fill(work := tmp_path / "work", canary)
    seen = tmp_path / "seen"
    setup = (
        "import os\nfrom setuptools import setup\n"
        f"open({str(seen)!r}, 'w').write(repr(dict(os.environ)))\n"
        "setup(name='boxed', version='1.0')\n"
    )
    build = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
    index = tmp_path / "index" / "boxed-1.0.tar.gz"
    index.parent.mkdir()
    with tarfile.open(index, "w:gz") as tar:
        for name, text in {"setup.py": setup, "pyproject.toml": build, "a": "A"}.items():
            member = tarfile.TarInfo(f"boxed-1.0/{name}")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index.parent))
    for name in CANARIES:
        monkeypatch.setenv(name, f"secret of {name}")
    monkeypatch.chdir(work)
    fetch(of_archive(index, "a"), tmp_path / "out", cache=tmp_path / "cache")
    assert (tmp_path / "out" / "a").read_text() == "A"
    assert "PIP_NO_INDEX" in seen.read_text()
    assert not re.search("|".join([*CANARIES, "secret"]), seen.read_text())


def test_a_trap_of_these_tests_is_one(tmp_path: Path) -> None:
    """Else that it was not sprung would say nothing."""
    path = tmp_path / "trap.pkl"
    path.write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    code = "import pickle, sys; pickle.load(open(sys.argv[1], 'rb'))"
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    assert (tmp_path / "sprung").read_text() == "read"
