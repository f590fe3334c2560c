"""What a stranger may hand to finegrid: names, modules in its way, archives."""

from pathlib import Path

NAMES = {
    "parent": "../x",
    "two parents": "a/../../x",
    "absolute": "/tmp/x",  # noqa: S108  # nothing is written there
    "home": "~x",
    "slash": "a/b",
    "backslash": "..\\x",
    "dot": ".",
    "two dots": "..",
    "hidden": ".x",
    "dash": "-x",
    "option": "--output=x",
    "command": "$(touch canary)",
    "backticks": "`touch canary`",
    "semicolon": "x; touch canary",
    "and": "x && touch canary",
    "pipe": "x | touch canary",
    "redirection": "x > canary",
    "background": "x & touch canary",
    "variable": "${HOME}",
    "wildcard": "x*",
    "question mark": "x?",
    "brackets": "[a-z]",
    "braces": "{wildcards.run}",
    "format": "{0.__class__}",
    "single quote": "x' touch canary '",
    "double quote": 'x" touch canary "',
    "space": "a b",
    "newline": "x\ntouch canary",
    "trailing newline": "x\n",
    "carriage return": "x\rtouch canary",
    "tab": "x\ttouch",
    "NUL": "x\0y",
    "escape": "x\x1b[31m",
    "cyrillic": "аdapter",  # noqa: RUF001  # a look-alike
    "full width": "ｆull",  # noqa: RUF001  # a look-alike
    "right to left": "x\u202ey",
    "no width": "x\u200by",
    "upper case": "Full",
    "percent": "%s%n",
    "long": "x" * 122,
    "very long": "x" * 5000,
    "empty": "",
    "YAML tag": "!!python/object/apply:os.system [touch canary]",
    "template": "{{ 7 * 7 }}",
    "element": "<script>alert(1)</script>",
}
"""Names that are no names: (why) -> name."""

MODULES = (
    "json",
    "yaml",
    "torch",
    "pip",
    "pydantic",
    "snakemake",
    "sitecustomize",
    "usercustomize",
    "workflow/__init__",
    "finegrid/planning/plan",
    "finegrid/__init__",
    "finegrid/training/run",
    "methods/__init__",
    "evil_plugin",
)
"""Modules that a working folder may hold to be imported in the place of the real ones."""
PROFILE = "default-resources:\n  evil: \"__import__('pathlib').Path({canary!r}).write_text('x')\"\n"


def fill(folder: Path, canary: Path) -> None:
    """Make the folder a hostile one: whatever of it is run or imported writes the canary file."""
    attack = f"open({str(canary)!r}, 'a').write(__name__ + chr(10))\n"
    for name in MODULES:
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(attack)
    for place in ("default", "profiles/default"):
        (folder / place).mkdir(parents=True)
        (folder / place / "config.yaml").write_text(PROFILE.format(canary=str(canary)))
    metadata = folder / "evil_plugin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: evil-plugin\nVersion: 1.0\n")
    groups = "".join(
        f"[finegrid.{kind}s]\nevil = evil_plugin:Evil\n" for kind in ("method", "task")
    )
    (metadata / "entry_points.txt").write_text(groups)
