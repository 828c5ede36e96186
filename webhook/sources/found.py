"""What a pod's spec says of where its models and its code come from: plain data, each with its JSON path."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Role(StrEnum):
    """What something that is loaded is for."""

    MODEL = "model"
    TOKENIZER = "tokenizer"
    DRAFT = "draft"
    LORA = "lora"
    CONFIG = "config"
    # the code that a model's repository brings along
    CODE = "code"
    # loaded into a volume or a server's store, by whatever it is used for
    WEIGHTS = "weights"
    # a folder in which a server looks for what it would download; what is there counts as weights
    CACHE = "cache"


class Backing(StrEnum):
    """What holds the file of a local path."""

    PVC = "pvc"
    IMAGE = "image"  # an image volume
    CSI = "csi"
    HOST_PATH = "hostPath"
    EMPTY_DIR = "emptyDir"
    INIT_CONTAINER = "initContainer"  # an emptyDir of which is known what fills it
    CONTAINER = "container"  # the container's own image
    OTHER = "other"  # a ConfigMap, a Secret, NFS and whatever else can be mounted


class Location(NamedTuple):
    """A canonical source: `hf://org/name@rev`, `ollama://host/ns/name:tag`, `oci://image:tag@digest`.

    `name` has no empty, `.` or `..` components, `tag` and `revision` are empty where nothing says them.
    """

    scheme: str
    name: str
    tag: str = ""
    revision: str = ""

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        revision = f"@{self.revision}" if self.revision else ""
        return f"{self.scheme}://{self.name}{tag}{revision}"


class Local(NamedTuple):
    """A path in a container: the path itself, what backs it, and whether it is mounted read-only."""

    path: str
    backing: Backing
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """Something that is loaded. `local` where the server is told a path; `location` then is what holds it.

    `into` is the path in its container that it is copied to, absolute; empty if that is not known.
    """

    role: Role
    location: Location
    path: str
    container: str = ""
    local: Local | None = None
    into: str = ""


class SwitchName(StrEnum):
    """What else on a command line or in the environment decides what is loaded or run."""

    TRUST_REMOTE_CODE = "trust-remote-code"  # value: the option or variable as written
    PLUGIN = "plugin"  # value: the import path, the file or the plug-in's name
    DEV_MODE = "dev-mode"
    INSECURE_SERIALIZATION = "insecure-serialization"
    RUNTIME_LOADING = "runtime-loading"  # value: what allows it
    REDIRECT = "redirect"  # value: the file that maps models to others
    HUB_ENDPOINT = "hub-endpoint"  # value: the URL
    INSECURE_REGISTRY = "insecure-registry"
    MEDIA_PATH = "media-path"  # value: a directory that requests may read files from
    SHELL = "shell"  # value: the shell a container starts with
    TENSOR_PARALLEL = "tensor-parallel"  # value: how many
    PIPELINE_PARALLEL = "pipeline-parallel"
    DATA_PARALLEL = "data-parallel"  # value: how many engines of this pod
    # a secret as plain text in the command line or in a variable; value: the option's or variable's name
    SECRET = "secret"  # noqa: S105 - a name
    UNKNOWN_OPTION = "unknown-option"  # value: an option that no version of the program known here has


@dataclass(frozen=True, slots=True)
class Switch:
    """One switch that is on. `value` never holds a secret."""

    name: SwitchName
    value: str
    path: str
    container: str = ""


class Unknown(StrEnum):
    """Why something cannot be known from the spec."""

    VARIABLE = "variable"  # comes from valueFrom, envFrom or a shell's own variable
    CONFIG_FILE = "config_file"
    SCRIPT = "script"  # a script that cannot be read
    ENTRYPOINT = "entrypoint"  # the image decides
    AMBIGUOUS = "ambiguous"  # versions of the program would read it differently
    BAD_VALUE = "bad_value"  # no such source can be
    VOLUME = "volume"  # nobody knows what fills it
    RUNTIME = "runtime"  # named only while the server runs


@dataclass(frozen=True, slots=True)
class Unresolvable:
    """Something that decides what is loaded or run, and cannot be known from the spec.

    `about` is what may hide there: a role, a switch, or None for anything of the command line.
    """

    about: Role | SwitchName | None
    reason: Unknown
    detail: str
    path: str
    container: str = ""


Item = Source | Switch | Unresolvable


@dataclass(frozen=True, slots=True)
class Extract:
    """Everything found in a pod."""

    sources: tuple[Source, ...] = ()
    switches: tuple[Switch, ...] = ()
    unresolved: tuple[Unresolvable, ...] = ()
