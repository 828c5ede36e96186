"""Code that comes into a server from around it: variables that say where code lies, volumes over its own.

Only what leads into a volume counts: what lies in the image is the image's. Sources: Python's "Command line
and environment" (`PYTHONPATH` and its like; `-m` puts the working directory before all else), ld.so(8),
bash(1), execvp(3).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Final

from webhook.pods import objects
from webhook.sources.argv import Call, basename
from webhook.sources.container import Reading
from webhook.sources.found import Item, Switch, SwitchName, Unknown, Unresolvable
from webhook.sources.programs import start
from webhook.sources.spot import Spot
from webhook.sources.text import is_known, readable, variables_in
from webhook.sources.volumes import Place, Volumes, directories

# Paths from which programs, libraries and modules are taken.
_VARIABLES: Final = (
    *("PATH", "LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH", "BASH_ENV", "GCONV_PATH"),
    *("PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONPYCACHEPREFIX", "PYTHONPLATLIBDIR"),
    *("OPENSSL_CONF", "OPENSSL_MODULES", "OPENSSL_ENGINES"),
    *("CC", "CXX", "CUDA_HOME", "CUDA_PATH", "CUDA_INJECTION64_PATH", "NVTX_INJECTION64_PATH"),
    *("TRITON_PTXAS_PATH", "TRITON_PTXAS_BLACKWELL_PATH", "TRITON_LIBCUDA_PATH", "TRITON_LIBDEVICE_PATH"),
    *("NCCL_NET_PLUGIN", "NCCL_TUNER_PLUGIN", "NCCL_PROFILER_PLUGIN", "OMP_TOOL_LIBRARIES"),
    *("HF_MODULES_CACHE", "VLLM_CUDA_COMPATIBILITY_PATH", "CRIU_CUDA_PLUGIN_DIR", "GGML_BACKEND_PATH"),
    "OLLAMA_LIBRARY_PATH",
)
# Each value is imported.
_IMPORTS: Final = (
    *("RAY_RUNTIME_ENV_HOOK", "RAY_USAGE_STATS_EXTRA_HOOK", "SGLANG_EXTERNAL_MODEL_PACKAGE"),
    *("SGLANG_EXTERNAL_MM_PROCESSOR_PACKAGE", "SGLANG_EXTERNAL_MM_MODEL_ARCH"),
)
# `action:message:category:module:line`; a category with a dot is imported (Python, `warnings._getcategory`).
_WARNINGS: Final = "PYTHONWARNINGS"
_CATEGORY: Final = re.compile(r"(?:^|,)[^:,]*:[^:,]*:[^:,]*\.")
# Unpickles weights whole (torch, `torch.serialization.load`).
_UNPICKLING: Final = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
_YES: Final = frozenset({"1", "y", "yes", "true"})
_NAMED: Final = frozenset({*_VARIABLES, *_IMPORTS, _WARNINGS, _UNPICKLING})
# Python imports from below it, and a login shell reads its profile there.
_HOME: Final = "HOME"
_HOMES: Final = ("root", "home")
# Bash makes functions of variables that are called so.
_FUNCTION: Final = "BASH_FUNC_"
# They change the last file that they are told, unless an option names another; any of them.
_COPYING: Final = frozenset({"cp", "mv", "ln", "install", "rsync"})
_EDITING: Final = frozenset({"tee", "patch", "dd"})
_TARGET: Final = ("-t", "--target-directory")
_IN_PLACE: Final = ("-i", "--in-place")
_FILE_WITHIN: Final = 10
_CODE: Final = (".py", ".pyc", ".pth", ".so")
# Where anybody may write.
_SCRATCH: Final = ("/tmp/", "/var/tmp/", "/dev/shm/")  # noqa: S108 - paths that are looked for
_MAX_SHOWN: Final = 80
# Of one variable; more of them take more time than anybody has.
_MAX_PARTS: Final = 30
# Where images keep programs and libraries: below these, and in these wholes.
_PACKAGES: Final = frozenset({"site-packages", "dist-packages"})
_WHOLES: Final = ((), ("usr",), ("usr", "local"), ("opt",), ("opt", "venv"), ("opt", "conda"), ("etc",))
_WITHIN: Final = frozenset(
    {
        *((*whole, name) for whole in _WHOLES for name in ("bin", "sbin", "lib", "lib64")),
        *(("etc", name) for name in ("ld.so.preload", "ld.so.cache", "profile", "profile.d", "bash.bashrc")),
        # where SGLang's own images have its sources, and the programs of llama.cpp's lie
        ("sgl-workspace",),
        *(("app", name) for name in ("llama-server", "llama", "libllama.so")),
    }
)
_DEEPEST: Final = 3
# Of the node's kernel, not of a program.
_MODULES: Final = ("lib", "modules")


def items(reading: Reading, volumes: Volumes) -> Iterator[Item]:
    """Give what a container takes from volumes as if it were its image's own, as plug-ins."""
    yield from _mounted(reading)
    yield from _functions(reading)
    yield from _home(reading, volumes)
    known: dict[str, tuple[str, str]] = {}
    written: set[str] = set()
    for call, directory in directories(reading):
        if not _NAMED.isdisjoint(call.env):
            yield from _variables(reading, call, volumes, directory, known)
            yield from _switches(reading, call, known)
        yield from _runs(reading, call, volumes, directory)
        if directory.rstrip("/") in written and (start(call.words) or call.words[0].startswith("python")):
            # Where Python looks first, and the processes that it starts.
            yield Spot(reading, call).switch(SwitchName.PLUGIN, directory or ".", 0)
        yield from _writes(Spot(reading, call), directory, written)


def _writes(spot: Spot, directory: str, written: set[str]) -> Iterator[Item]:
    """Give the programs that a command writes over; note in `written` where it puts code."""
    for at, text in _written(spot.call):
        path = posixpath.join(directory, text)
        if not is_known(path):
            detail = f"it writes to {readable(text)[:_MAX_SHOWN]}"
            yield spot.unresolvable(SwitchName.PLUGIN, Unknown.SCRIPT, detail, at)
        elif path[:1] == "/" and _hides_programs(posixpath.normpath(path)):
            yield spot.switch(SwitchName.PLUGIN, path, at)
        elif path.endswith(_CODE):
            written.add(posixpath.dirname(path))


def _mounted(reading: Reading) -> Iterator[Item]:
    """Give the mounts that hide programs of the image."""
    for index, mount in objects(reading.container.get("volumeMounts")):
        path = mount.get("mountPath")
        if isinstance(path, str) and _hides_programs(posixpath.normpath(f"/{path}")):
            place = f"{reading.path}.volumeMounts[{index}]"
            yield Switch(SwitchName.PLUGIN, path, place, reading.name)


def _runs(reading: Reading, call: Call, volumes: Volumes, directory: str) -> Iterator[Item]:
    """Give the program or the file of Python that a command takes from a volume, and Python's directory."""
    if "volumeMounts" not in reading.container:
        return
    spot, name = Spot(reading, call), basename(call.words[0])
    files = [0]
    if name.startswith("python"):
        files += [at for at, word in enumerate(call.words[1:_FILE_WITHIN], 1) if word.endswith(".py")]
        if directory and volumes.place(reading, directory).volume:
            yield spot.switch(SwitchName.PLUGIN, directory, 0)
    elif directory and start(call.words) and _is_kept(volumes.place(reading, directory)):
        # The processes it starts look there first.
        detail = "modules in the directory it starts in"
        yield spot.unresolvable(SwitchName.PLUGIN, Unknown.VOLUME, detail, 0)
    for at in files:
        word = call.words[at]
        if "/" in word and is_known(word) and volumes.place(reading, word, directory).volume:
            yield spot.switch(SwitchName.PLUGIN, word, at)


def _is_kept(place: Place) -> bool:
    """Tell whether a path lies in a volume that was there before the pod."""
    return place.volume is not None and not place.volume.fresh


def _written(call: Call) -> Iterator[tuple[int, str]]:
    """Give the files that a command writes, and which of its words say so."""
    if call.output:
        yield 0, call.output
    words, name = call.words, basename(call.words[0])
    if name in _COPYING and not any(word.startswith(_TARGET) for word in words):
        yield len(words) - 1, words[-1]
    elif (
        name in _COPYING
        or name in _EDITING
        or (name == "sed" and any(w.startswith(_IN_PLACE) for w in words))
    ):
        for at, word in enumerate(words[1:], 1):
            yield at, word.removeprefix("of=").removeprefix("--target-directory=")


def _hides_programs(path: str) -> bool:
    parts = tuple(part for part in path.split("/") if part not in {"", "."})
    if not _PACKAGES.isdisjoint(parts) or (".local" in parts and parts[-1] in {".local", "lib", "bin"}):
        return True
    within = any(parts[:depth] in _WITHIN for depth in range(1, _DEEPEST + 1))
    return parts in _WHOLES or (within and parts[:2] != _MODULES)


def _functions(reading: Reading) -> Iterator[Item]:
    for index, entry in objects(reading.container.get("env")):
        name = entry.get("name")
        if isinstance(name, str) and name.startswith(_FUNCTION):
            yield Switch(SwitchName.PLUGIN, name, f"{reading.path}.env[{index}]", reading.name)


def _home(reading: Reading, volumes: Volumes) -> Iterator[Item]:
    """Say that a home directory lies in a volume that others have filled."""
    if "volumeMounts" not in reading.container:
        return
    home = reading.env.get(_HOME, "")
    paths = [home] if home and is_known(home) else [f"/{name}" for name in _HOMES]
    if not home:
        mounts = volumes.mounts(reading)
        paths += [f"/home/{path[1]}" for path in mounts if len(path) == 2 and path[0] == "home"]  # noqa: PLR2004 - /home/name
    for path in paths:
        if _is_kept(volumes.place(reading, path)) and not volumes.place(reading, "/").volume:
            detail = f"programs and modules below the home directory, {path}"
            place = reading.variable(_HOME) if home else reading.path
            yield Unresolvable(SwitchName.PLUGIN, Unknown.VOLUME, detail[:_MAX_SHOWN], place, reading.name)


def _switches(reading: Reading, call: Call, known: dict[str, tuple[str, str]]) -> Iterator[Item]:
    """Give what variables say to import, and to unpickle; `known` are those that were looked at before."""
    for name in (*_IMPORTS, _WARNINGS, _UNPICKLING):
        text = call.env.get(name, "")
        if not text or known.get(name) == (text, ""):
            continue
        known[name] = text, ""
        place, switch = Spot(reading, call).set_at(name), SwitchName.PLUGIN
        if name == _UNPICKLING:
            switch = SwitchName.INSECURE_SERIALIZATION
        if not is_known(text):
            detail = f"{name} is {readable(text)[:_MAX_SHOWN]}"
            yield Unresolvable(switch, Unknown.VARIABLE, detail, place, reading.name)
        elif name == _UNPICKLING:
            if text.lower() in _YES:
                yield Switch(switch, name, place, reading.name)
        elif name != _WARNINGS or _CATEGORY.search(text):
            yield Switch(switch, text, place, reading.name)


def _is_hidden(reading: Reading, name: str) -> bool:
    """Tell whether a variable may lead anywhere: not one that only the image sets, like `$CONDA_PREFIX`."""
    return not name.isupper() or not is_known(reading.env.get(name, ""))


def _variables(
    reading: Reading, call: Call, volumes: Volumes, directory: str, known: dict[str, tuple[str, str]]
) -> Iterator[Item]:
    """Give what the variables of a command lead to; `known` are those that were looked at before."""
    for name in _VARIABLES:
        text = call.env.get(name, "")
        if not text or known.get(name) == (text, directory):
            continue
        known[name] = text, directory
        place = Spot(reading, call).set_at(name)
        parts = text.replace(" ", ":").split(":", _MAX_PARTS)
        if len(parts) > _MAX_PARTS:
            detail = f"{name} has more than {_MAX_PARTS} parts"
            yield Unresolvable(SwitchName.PLUGIN, Unknown.AMBIGUOUS, detail, place, reading.name)
        for part in filter(None, parts[:_MAX_PARTS]):
            if is_known(part):
                if volumes.place(reading, part, directory).volume or f"{part}/".startswith(_SCRATCH):
                    yield Switch(SwitchName.PLUGIN, part, place, reading.name)
            elif any(_is_hidden(reading, used) for used in variables_in(part)):
                detail = f"{name} holds {readable(part)[:_MAX_SHOWN]}"
                yield Unresolvable(SwitchName.PLUGIN, Unknown.VARIABLE, detail, place, reading.name)
