"""The shape of the code: who imports whom, what is listed where, how long things are."""

import ast
import importlib
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HOUSES = ("probes", "store", "app", "sample_runs")

# What each package may import of the others. `app` may also import probes and sample_runs: in cli.py, inside a command.
ALLOWED = {"store": set(), "probes": {"store"}, "app": {"store"}, "sample_runs": {"store", "probes"}}

MAX_FUNCTION, MAX_FILE = 50, 400

FILES = sorted(path for house in HOUSES for path in (ROOT / house).rglob("*.py"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("depthscope", *(parts[:-1] if parts[-1] == "__init__" else parts)))


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(tree: ast.AST) -> list[str]:
    """Every absolute module name that is imported anywhere below `tree`."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.append(node.module or "")
    return found


def houses_imported(tree: ast.AST) -> set[str]:
    return {module.split(".")[1] for module in imports(tree) if module.startswith("depthscope.")}


def test_there_is_something_to_check():
    assert {path.relative_to(ROOT).parts[0] for path in FILES} == set(HOUSES)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("from depthscope.app import x", {"app"}),
        ("def f():\n    import depthscope.probes.watch", {"probes"}),
        ("from .reader import x\nimport torch", set()),
    ],
)
def test_the_check_of_imports_can_fail(code, found):
    assert houses_imported(ast.parse(code)) == found


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_flow_one_way(path):
    house = path.relative_to(ROOT).parts[0]
    # main.py is a script that Streamlit executes: it has no package and so names its own.
    allowed = ALLOWED[house] | {house}
    if name(path) == "app/cli.py":
        top_level = ast.Module([node for node in parse(path).body if not isinstance(node, ast.FunctionDef)], [])
        assert houses_imported(top_level) <= ALLOWED["app"]
        allowed |= {"probes", "sample_runs"}
    assert houses_imported(parse(path)) <= allowed


@pytest.mark.parametrize("path", FILES, ids=name)
def test_packages_meet_at_their_faces(path):
    """`from depthscope.store import x`, never `from depthscope.store.reader import x`, and only names in `__all__`."""
    house = path.relative_to(ROOT).parts[0]
    for node in ast.walk(parse(path)):
        module = node.module if isinstance(node, ast.ImportFrom) and not node.level else None
        if not module or not module.startswith("depthscope.") or module.split(".")[1] == house:
            continue
        # The recorded runs are a face of their own: they are read where torch is not installed.
        assert module.count(".") == 1 or module == "depthscope.sample_runs.recorded", f"{name(path)} imports {module}"
        face = importlib.import_module(module)
        assert {alias.name for alias in node.names} <= set(face.__all__), f"{name(path)}, line {node.lineno}"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_nobody_imports_by_the_folder_name(path):
    """`import store` works from the repository root and would make a second copy of everything in it."""
    assert not {module.split(".")[0] for module in imports(parse(path))} & set(HOUSES)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_files_and_functions_stay_short(path):
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= MAX_FILE, f"{name(path)} has {lines} lines"
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = body_lines(node)
            assert length <= MAX_FUNCTION, f"{name(path)}: {node.name} has {length} lines"


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Without signature and docstring: a face with many documented options is no reason to split a function."""
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return (node.end_lineno or 0) - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", FILES, ids=name)
def test_modules_say_what_they_are_for(path):
    docstring = ast.get_docstring(parse(path))
    # A package that only marks a folder may be empty; a face may not.
    assert docstring or path.read_text(encoding="utf-8").strip() == ""


@pytest.mark.parametrize("path", FILES, ids=name)
def test_public_names_are_listed_in_order_and_exist(path):
    tree = parse(path)
    listed = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value and "__all__" in ast.unparse(node).split("=")[0]
    ]
    if not listed:
        assert path.name in ("__init__.py", "__main__.py", "main.py"), f"{name(path)} has no __all__"
        return
    # Constants, classes, functions: the order of ruff's RUF022.
    kind = lambda word: 0 if word.isupper() else 1 if word[0].isupper() else 2  # noqa: E731
    assert listed[0] == sorted(listed[0], key=lambda word: (kind(word), word)), f"{name(path)}: __all__ is not sorted"


def test_every_package_is_listed_in_pyproject():
    """Under package-dir mapping a folder that is not listed is simply absent from the wheel."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = {module_name(path) for path in FILES if path.name == "__init__.py"}
    assert set(project["tool"]["setuptools"]["packages"]) == folders
    assert {module_name(path.parent / "__init__.py") for path in FILES} == folders, "a folder without __init__.py"


def test_every_data_file_is_in_the_wheel():
    from setuptools.config.pyprojecttoml import apply_configuration
    from setuptools.dist import Distribution

    warnings.simplefilter("ignore")  # setuptools' own, of every release anew
    distribution = apply_configuration(Distribution({"src_root": str(ROOT)}), ROOT / "pyproject.toml")
    distribution.include_package_data = False  # else it would look at what git or an old build lists
    build = distribution.get_command_obj("build_py")
    build.ensure_finalized()
    packaged = {(ROOT / folder / file).resolve() for _, folder, _, files in build.data_files for file in files}
    data = {
        path.resolve()
        for house in HOUSES
        for path in (ROOT / house).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert data and not sorted(map(name, data - packaged))


# Folder and its tables: whatever in the folder's files is of the type of their entries has to be one of them.
TABLES = {
    "probes/metrics": ("METRICS",),
    "sample_runs/norms": ("STRATEGIES",),
    "app/figures": ("FIGURES", "TABLES"),
    "app/pages": ("PAGES",),
    "app/findings": ("FINDINGS",),
}


def entries(module, tables: tuple[str, ...]) -> list:
    listed = []
    for table in tables:
        values = getattr(module, table)
        listed += values.values() if isinstance(values, dict) else values
    return listed


@pytest.mark.parametrize("folder", TABLES)
def test_every_file_is_in_its_table(folder):
    package = importlib.import_module(module_name(ROOT / folder / "__init__.py"))
    listed = entries(package, TABLES[folder])
    assert len(listed) >= 3
    kinds = tuple({type(entry) for entry in listed})
    for path in (ROOT / folder).glob("*.py"):
        module = importlib.import_module(module_name(path))
        for word, value in vars(module).items():
            if isinstance(value, kinds):
                assert any(value is entry for entry in listed), (
                    f"{name(path)}: add {word} to {TABLES[folder]} in {folder}"
                )


@pytest.mark.parametrize("folder", [folder for folder, tables in TABLES.items() if tables[0] != "PAGES"])
def test_tables_are_keyed_by_name(folder):
    package = importlib.import_module(module_name(ROOT / folder / "__init__.py"))
    for table in TABLES[folder]:
        assert all(key == entry.name for key, entry in getattr(package, table).items())


def loaded(*modules: str) -> set[str]:
    """The top-level packages in memory after importing `modules` in a new interpreter."""
    code = f"import sys, {', '.join(modules)}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_the_command_loads_nothing_heavy():
    assert not loaded("depthscope.app.cli") & {"torch", "streamlit", "plotly", "jinja2"}


def test_the_store_loads_nothing_heavy():
    assert not loaded("depthscope.store") & {"torch", "streamlit", "plotly"}


def test_the_findings_need_only_the_base_install():
    assert not loaded("depthscope.app.findings") & {"torch", "streamlit", "plotly"}


def test_the_dashboard_and_the_report_never_load_torch():
    seen = loaded("depthscope.app.shell", "depthscope.app.report", "depthscope.sample_runs.recorded")
    assert "torch" not in seen
    assert {"streamlit", "plotly"} <= seen, "this check has to be able to fail"


def test_the_probes_never_load_the_app():
    seen = loaded("depthscope.probes")
    assert not seen & {"streamlit", "plotly"}
    assert "torch" in seen, "this check has to be able to fail"
