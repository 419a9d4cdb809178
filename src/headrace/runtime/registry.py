"""Which component types a blueprint may name, and how a name becomes a class or a function.

Either an entry point of the group `headrace.components`, or `module:name` from a module beside the blueprint
or a package that was allowed. Anything else is refused before any of it is imported.
"""

from __future__ import annotations

import importlib
import os
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from headrace.exceptions import ComponentTypeError
from headrace.model.endpoint import did_you_mean

GROUP = "headrace.components"
_OURS = "headrace"
_LIBRARIES = (
    str(Path(__file__).parent.parent),
    *(sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")),
)


def component_types() -> Mapping[str, EntryPoint]:
    """Return the installed component types by name, sorted; none of them is imported."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


_IN_USE: ContextVar[Registry | None] = ContextVar("headrace_registry", default=None)


def registry_in_use() -> Registry:
    """Return the registry of the blueprint whose components are being made, or one of the current folder."""
    return _IN_USE.get() or Registry(Path.cwd())


class Registry:
    """Finds component types for one blueprint.

    Args:
        directory: The folder of the blueprint, whose modules may be used; none where None.
        allow: Packages (or modules) that may be used besides.
        outer: The registry of the blueprint around this one; what may be used there may be used here.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] | None = None,
        allow: Iterable[str] = (),
        outer: Registry | None = None,
    ) -> None:
        own = () if directory is None else (Path(directory).absolute(),)
        around = () if outer is None else outer.directories
        self.directories: tuple[Path, ...] = tuple(dict.fromkeys((*own, *around)))
        self.allow: frozenset[str] = frozenset(allow) | (frozenset() if outer is None else outer.allow)
        self._outer = outer

    def resolve(self, name: str) -> Any:
        """Return the class or function that a type name stands for.

        Args:
            name: The name of an entry point, or ``module:name``.

        Raises:
            ComponentTypeError: It is unknown, not allowed, or its import fails.
        """
        module, colon, attribute = name.partition(":")
        if not colon:
            return self._installed(name)
        if not _is_dotted_name(module) or not _is_dotted_name(attribute):
            raise ComponentTypeError(f"'{name}' is not a component type", hint="write 'module:name'")
        home = self._home(name, module)
        with _first_on_path(home):
            loaded = _import(module)
        return _attribute(loaded, attribute)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Let settings that name something name it as the blueprint does, while its components are made."""
        token = _IN_USE.set(self)
        try:
            yield
        finally:
            _IN_USE.reset(token)

    @cached_property
    def _points(self) -> tuple[EntryPoint, ...]:
        return tuple(entry_points(group=GROUP)) if self._outer is None else self._outer._points

    # --- entry points ------------------------------------------------------------------------------

    def _installed(self, name: str) -> Any:
        points = {point.value: point for point in self._points if point.name == name}
        if not points:
            raise ComponentTypeError(f"no component type is named '{name}'", hint=self._hint_for(name))
        if len(points) > 1:
            offers = ", ".join(sorted(points))
            raise ComponentTypeError(
                f"several installed packages have a component type '{name}'", hint=f"write one of {offers}"
            )
        (point,) = points.values()
        return _attribute(_import(point.module), point.attr)

    def _hint_for(self, name: str) -> str:
        module, dot, attribute = name.rpartition(".")
        if dot and (self._is_beside(module) or self._is_allowed(module)):
            return f"write '{module}:{attribute}'"
        if not self._points:
            return "headrace's own are missing too: install it with pip install ."
        known = [point.name for point in self._points]
        return did_you_mean(name, known) or "write 'module:name' for a component of your own"

    # --- module:name -------------------------------------------------------------------------------

    def _home(self, name: str, module: str) -> Path | None:
        """Return the folder to import from, or None for an installed package; refuse anything else."""
        top = module.partition(".")[0]
        for directory in () if top == _OURS else self.directories:
            if top in _modules_in(directory):
                _refuse_clash(top, directory)
                return directory
        if self._is_allowed(module):
            return None
        hint = did_you_mean(top, self._beside())
        attribute = name.partition(":")[2]
        if hint.startswith("did you mean"):
            hint = f"did you mean '{hint.split(chr(39))[1]}:{attribute}'?"
        else:
            hint = f"put {top}.py beside the blueprint, or allow it with --allow {top}"
        raise ComponentTypeError(
            f"module '{module}' is neither beside the blueprint nor in an allowed package",
            hint=hint,
            code="E241",
        )

    def _is_allowed(self, module: str) -> bool:
        providers = {point.module.partition(".")[0] for point in self._points}
        allowed = self.allow | providers | {_OURS}
        return any(module == package or module.startswith(f"{package}.") for package in allowed)

    def _is_beside(self, module: str) -> bool:
        return module.partition(".")[0] in self._beside()

    def _beside(self) -> set[str]:
        return {name for directory in self.directories for name in _modules_in(directory)}


def _modules_in(directory: Path) -> Iterator[str]:
    """Yield the modules and packages in a folder."""
    for path in directory.iterdir() if directory.is_dir() else ():
        if path.suffix == ".py" and path.is_file() and path.stem.isidentifier():
            yield path.stem
        elif path.name.isidentifier() and (path / "__init__.py").is_file():
            yield path.name


def _refuse_clash(top: str, directory: Path) -> None:
    """Refuse a module beside the blueprint where its name means another one already."""
    taken = sys.modules.get(top)
    if taken is not None:
        origin = getattr(taken, "__file__", None) or "Python itself"
    elif top in sys.builtin_module_names or top in sys.stdlib_module_names:
        origin = "Python itself"
    else:
        return
    if not _is_within(Path(origin), directory, top):
        raise ComponentTypeError(
            f"module '{top}' beside the blueprint has the name of another module ({origin})",
            hint=f"rename {top}.py",
            code="E244",
        )


def _is_within(origin: Path, directory: Path, top: str) -> bool:
    candidates = (directory / f"{top}.py", directory / top / "__init__.py")
    return origin.exists() and any(path.exists() and origin.samefile(path) for path in candidates)


def _is_dotted_name(text: str) -> bool:
    return bool(text) and all(part.isidentifier() for part in text.split("."))


@contextmanager
def _first_on_path(folder: Path | None) -> Iterator[None]:
    """Let modules of a folder be found: before all others now, and after all others from then on.

    Afterwards they stay last, so that what a component imports later inside a function is found too, while
    nothing in the folder can take the place of an installed module.
    """
    if folder is None:
        yield
        return
    text = str(folder)
    importlib.invalidate_caches()
    sys.path.insert(0, text)
    try:
        yield
    finally:
        sys.path.remove(text)
        if text not in sys.path:
            sys.path.append(text)


def _import(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(f"{error.name}.")):
            hint = "check its name, and that its package is installed"
            raise ComponentTypeError(f"there is no module '{module}'", hint=hint, code="E242") from error
        failure: BaseException = error
    except (Exception, SystemExit) as error:
        failure = error
    place = place_of(failure)
    at = f" at {place}" if place else ""
    raise ComponentTypeError(
        f"module '{module}' cannot be imported: {type(failure).__name__}{at}: {_first_line(failure)}",
        hint="mend the module, or install what it needs",
        code="E242",
    ) from failure


def place_of(error: BaseException) -> str:
    """Return ``file:line`` where a user's code raised, or nothing where it was not in a user's code."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_short(error.filename)}:{error.lineno or 1}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<frozen ")]
    own = [frame for frame in frames if not frame.filename.startswith(_LIBRARIES)]
    for frame in reversed(own):
        return f"{_short(frame.filename)}:{frame.lineno}"
    return ""


def _short(filename: str) -> str:
    relative = os.path.relpath(filename)
    return filename if relative.startswith("..") else relative


def _first_line(error: BaseException) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return (text or "no message").splitlines()[0]


def _attribute(module: ModuleType, attribute: str) -> Any:
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            names = [name for name, value in vars(module).items() if _looks_like_a_type(name, value)]
            raise ComponentTypeError(
                f"module '{module.__name__}' has no '{attribute}'",
                hint=did_you_mean(attribute, names),
                code="E243",
            )
        found = getattr(found, part)
    return found


def _looks_like_a_type(name: str, value: object) -> bool:
    return not name.startswith("_") and callable(value) and not isinstance(value, ModuleType)


__all__ = ["GROUP", "Registry", "component_types", "place_of", "registry_in_use"]
