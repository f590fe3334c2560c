"""Finds calls and imports that could run what a file holds, in a module's syntax tree."""

import ast
from collections.abc import Iterator

PICKLES = {"cloudpickle", "dill", "joblib", "jsonpickle", "marshal", "pickle", "shelve"}
BUILTINS = {"__import__", "compile", "eval", "exec"}
CALLS = {
    "datasets.load_dataset": "it may run a loading script",
    "importlib.util.spec_from_file_location": "it imports a file by its path",
    "os.popen": "it starts a shell",
    "os.system": "it starts a shell",
    "pandas.read_pickle": "it reads a pickle",
    "runpy.run_path": "it runs a file by its path",
    "shutil.unpack_archive": "a member may lead out of the folder",
    "subprocess.getoutput": "it starts a shell",
    "subprocess.getstatusoutput": "it starts a shell",
    "yaml.full_load": "it makes objects",
    "yaml.unsafe_load": "it makes objects",
    "zipimport.zipimporter": "it imports modules of an archive",
}
NEEDED = {"numpy.load": ("allow_pickle", False), "torch.load": ("weights_only", True)}
EXTRACTORS = {"extract", "extractall"}
AUTOMATIC = {"from_config", "from_pretrained"}
SAFE_LOADERS = {"yaml.SafeLoader", "yaml.CSafeLoader", "yaml.BaseLoader"}


def forbidden(source: str) -> list[str]:
    """One `line: reason` for each forbidden call or import of a module's source."""
    tree = ast.parse(source)
    names, safe = _imported(tree), set(SAFE_LOADERS)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and {_dotted(b, names) for b in node.bases} & safe:
            safe.add(node.name)
    return [f"{line}: {reason}" for line, reason in _problems(tree, names, safe)]


def _imported(tree: ast.AST) -> dict[str, str]:
    """Local name -> dotted name of everything that is imported."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {a.asname: a.name for a in node.names if a.asname}
        elif isinstance(node, ast.ImportFrom):
            found |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    return found


def _dotted(node: ast.AST, names: dict[str, str]) -> str:
    """`torch.load` of the node that says so, whatever the module is called here; or nothing."""
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, names)}.{node.attr}"
    return names.get(node.id, node.id) if isinstance(node, ast.Name) else ""


def _problems(tree: ast.AST, names: dict[str, str], safe: set[str]) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = {alias.name.split(".")[0] for alias in node.names}
            if isinstance(node, ast.ImportFrom):
                modules = {(node.module or "").split(".")[0]}
            yield from ((node.lineno, f"imports {name}") for name in sorted(modules & PICKLES))
        elif isinstance(node, ast.Call):
            called = _dotted(node.func, names)
            for reason in _wrong_call(
                called, _keywords(node), _positional(node, names), safe, names
            ):
                yield node.lineno, f"{called}: {reason}"


def _keywords(node: ast.Call) -> dict[str, ast.expr]:
    return {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}


def _positional(node: ast.Call, names: dict[str, str]) -> list[str]:
    return [_dotted(argument, names) for argument in node.args]


def _wrong_call(
    called: str,
    given: dict[str, ast.expr],
    positional: list[str],
    safe: set[str],
    names: dict[str, str],
) -> Iterator[str]:
    last = called.rpartition(".")[2]
    if called.removeprefix("builtins.") in BUILTINS:
        yield "it runs text"
    if called in CALLS:
        yield CALLS[called]
    if last in EXTRACTORS and last != called:
        yield "a member may lead out of the folder"
    for name, (key, value) in NEEDED.items():
        if called == name and not _is(given.get(key), value):
            yield f"without {key}={value} it may read a pickle"
    if called in ("yaml.load", "yaml.load_all"):
        loaders = {*positional[1:], _dotted(given.get("Loader", ast.Constant(None)), names)}
        if not loaders & safe:
            yield "its loader is no safe one"
    if "shell" in given and not _is(given["shell"], False):
        yield "it starts a shell"
    needs_trust = "trust_remote_code" in given or (last in AUTOMATIC and "Auto" in called)
    if needs_trust and not _is(given.get("trust_remote_code"), False):
        yield "trust_remote_code is not False"


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value
