"""From files to a blueprint: several merged into one, and with each blueprint that is a component inside it.

What makes a tree of a file's text is handed in, so that nothing here knows YAML.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from headrace.model.blueprint import Blueprint, Complaints, ComponentSpec
from headrace.model.blueprint_keys import ACKNOWLEDGEMENT, MESSAGE_POLICY
from headrace.model.blueprint_merge import Merged, merge_trees, without_removed
from headrace.model.blueprint_reader import is_table_of_keys, read_table
from headrace.model.blueprint_tree import Node, Table, TreeBuilder
from headrace.model.blueprint_variables import Surroundings
from headrace.model.endpoint import did_you_mean

from .blueprint_files import BlueprintFiles, folder_of

MAX_NESTING = 10

Chain = tuple[tuple[str, str], ...]  # the files around a part, each with its real path
Parse = Callable[[str, str, TreeBuilder], "Node | None"]


class BlueprintLoader:
    """Reads one blueprint with all its files.

    Args:
        parse: Makes a tree of a text, by its file's name and a builder; None where that was complained of.
        env: What ``${NAME}`` stands for.

    Attributes:
        complaints: What was found.
        is_full: Whether there is too much of something, so that it makes no sense to go on.
    """

    def __init__(self, parse: Parse, env: Mapping[str, str]) -> None:
        self.complaints = Complaints()
        self.is_full = False
        self._parse = parse
        self._env = dict(env)
        self._files = BlueprintFiles(self.complaints)
        self._roots: set[str] = set()  # the folders that parts may come from
        self._folders: dict[str, str] = {}  # of the files, where they have one

    def load(self, files: Sequence[str]) -> Blueprint | None:
        """Read files as one blueprint, as far as possible.

        Args:
            files: At least one; each changes what those before it say.

        Returns:
            The blueprint; None where there is no telling what was meant.
        """
        trees = [self._file(file) for file in files]
        roots = [root for root in trees if root is not None]
        if len(roots) < len(trees):
            return None
        folder = Path(folder_of(files[0])).absolute()
        merged = merge_trees(roots)
        return self._read(merged, files[0], folder, ((os.path.realpath(files[0]), files[0]),))

    def load_text(self, text: str, file: str, folder: Path | None) -> Blueprint | None:
        """Read a text as a blueprint, as far as possible.

        Args:
            text: The text.
            file: What to call it.
            folder: Where the files begin that it names; it may name none where None.
        """
        self._files.take(file, text)
        if folder is not None:
            self._roots.add(os.path.realpath(folder))
            self._folders[file] = os.fspath(folder)
        root = self._tree(text, file, self._around(self._env, folder))
        return None if root is None else self._read(Merged(root), file, folder, ())

    # --- one file --------------------------------------------------------------------------------

    def _file(self, file: str) -> Table | None:
        self._folders[file] = folder_of(file)
        folder = Path(self._folders[file]).absolute()
        self._roots.add(os.path.realpath(folder))
        text = self._files.text(file)
        return None if text is None else self._tree(text, file, self._around(self._env, folder))

    def _around(
        self, variables: Mapping[str, str], folder: Path | None, mend: str = "set it"
    ) -> Surroundings:
        return self._files.around(variables, folder, mend)

    def _tree(self, text: str, file: str, around: Surroundings) -> Table | None:
        builder = TreeBuilder(self.complaints, around)
        root = self._parse(text, file, builder)
        self.is_full = self.is_full or builder.stopped
        return root if root is not None and is_table_of_keys(root, self.complaints) else None

    def _read(self, merged: Merged, file: str, folder: Path | None, chain: Chain) -> Blueprint:
        directory = None if folder is None else os.fspath(folder)
        found = read_table(merged.root, self.complaints, file=file, directory=directory)
        connections = without_removed(found, merged, self.complaints.sources)
        parts = tuple(self._part(spec, chain) for spec in found.components)
        return replace(found, components=parts, connections=connections)

    # --- parts -----------------------------------------------------------------------------------

    def _part(self, spec: ComponentSpec, chain: Chain) -> ComponentSpec:
        """Return a component with the blueprint that it is, where it is one."""
        if not spec.is_blueprint or self.is_full:
            return spec
        before = self.complaints.count
        self.is_full = not self._files.room_for_a_part(spec.place("type"))
        for name in (*MESSAGE_POLICY, *ACKNOWLEDGEMENT, "replicas", "restart", "stop_timeout", "health"):
            if getattr(spec, name) is not None:
                hint = f"write it in the 'defaults' of {spec.type}"
                if name not in MESSAGE_POLICY:
                    hint = f"write it in the components of {spec.type} that are to have them"
                self._complain(spec, name, "E230", f"'{name}' does not go with a blueprint", hint)
        variables = self._variables(spec)
        file = self._find(spec, chain)
        inner = None
        if file is not None and self.complaints.count == before:
            inner = self._inner(spec, file, variables, (*chain, (os.path.realpath(file), file)))
        return replace(spec, inner=inner, broken=spec.broken or inner is None)

    def _complain(self, spec: ComponentSpec, name: str, code: str, message: str, hint: str) -> None:
        self.complaints.error(spec.place(name), code, message, hint)

    def _variables(self, spec: ComponentSpec) -> dict[str, str]:
        """Return the settings of a part as the values of its variables."""
        found: dict[str, str] = {}
        for name, value in spec.config.items():
            if isinstance(value, (Mapping, list)):
                kind = "list" if isinstance(value, list) else "table"
                message = f"setting '{name}' of a blueprint must be a single value, not a {kind}"
                self._complain(spec, f"config.{name}", "E104", message, f"it is what ${{{name}}} stands for")
            else:
                found[name] = _as_text(value)
        return found

    def _find(self, spec: ComponentSpec, chain: Chain) -> str | None:
        """Return the file of a part: one that is there, in a folder of ours, and not around itself."""
        folder = self._folders.get(spec.place("type").file)
        if folder is None:
            message = "a text without a folder names no blueprints"
            self._complain(spec, "type", "E241", message, "write it to a file")
            return None
        file = os.path.normpath(os.path.join(folder, spec.type))
        real = os.path.realpath(file)
        if not any(os.path.commonpath((root, real)) == root for root in self._roots):
            message = f"blueprint '{spec.type}' is outside the folder of the blueprint that is run"
            self._complain(spec, "type", "E241", message, "put it into that folder, or below it")
        elif real in dict(chain):
            begin = [path for path, _ in chain].index(real)
            way = " -> ".join([*(name for _, name in chain[begin:]), file])
            self._complain(spec, "type", "E245", f"a blueprint inside itself: {way}", "take it out of itself")
        elif len(chain) > MAX_NESTING:
            message = f"more than {MAX_NESTING} blueprints inside each other"
            self._complain(spec, "type", "E245", message, "make it flatter")
        elif not os.path.lexists(file):
            self._complain(spec, "type", "E240", f"there is no blueprint '{spec.type}'", _nearest(file))
        else:
            return file
        return None

    def _inner(
        self, spec: ComponentSpec, file: str, variables: Mapping[str, str], chain: Chain
    ) -> Blueprint | None:
        text = self._files.text(file, at=spec.place("type"))
        self.is_full = self._files.is_full
        if text is None:
            return None
        self._folders[file] = folder_of(file)
        folder = Path(self._folders[file]).absolute()
        around = self._around({**self._env, **variables}, folder, f"say it in the config of '{spec.name}'")
        root = self._tree(text, file, around)
        if root is None:
            return None
        for name in variables:
            if name not in around.used:
                hint = did_you_mean(name, around.used) or f"{file} has no ${{{name}}}"
                self._complain(spec, f"config.{name}", "E230", f"unknown setting '{name}'", hint)
        return self._read(Merged(root), file, folder, chain)


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _nearest(file: str) -> str:
    folder = Path(file).parent
    names = [path.name for path in folder.glob("*.y*ml")] if folder.is_dir() else []
    hint = did_you_mean(Path(file).name, names)
    return hint if hint.startswith("did you mean") else "its path begins at the blueprint that names it"


__all__ = ["MAX_NESTING", "BlueprintLoader"]
