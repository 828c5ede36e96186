"""A real LiteLLM in DB mode: replicas on one PostgreSQL, started by the scripts of `tests/peers/litellm`."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from tests.peers.cluster import wait_until
from tests.peers.scripts import CACHE, FOLDER, free_port, run, work_folder

MASTER_KEY: Final = "sk-1234"
# As LiteLLM ships: a replica learns after at most this many seconds what another one wrote.
RELOAD_SECONDS: Final = 30
# The one that is run where nothing else is said, as in `tests/peers/litellm/lib.sh`.
VERSION: Final = os.environ.get("LITELLM_VERSION", "1.106.2")
# All that there are, oldest first.
VERSIONS: Final = tuple(
    sorted(
        (file.stem for file in (FOLDER / "litellm" / "constraints").glob("*.txt")),
        key=lambda version: [int(part) for part in version.split(".")],
    )
)


def python_of(version: str = VERSION) -> Path:
    """Give the interpreter that has this LiteLLM."""
    return CACHE / f"litellm-{version}" / "venv" / "bin" / "python"


def version_missing(version: str) -> list[str]:
    """Name this version of LiteLLM if it is not installed."""
    check = [str(FOLDER / "litellm" / "install.sh"), "--check"]
    env = {**os.environ, "LITELLM_VERSION": version}
    done = subprocess.run(check, check=False, capture_output=True, env=env)
    return [f"litellm {version}"] if done.returncode else []


class LiteLLM:
    """Replicas by number, from 0, that share one database.

    `foreign` are the ids of rows that stay: `own_rows` and `remove_own_rows` leave them out.
    """

    key = MASTER_KEY

    def __init__(self, work: Path, replicas: int, env: Mapping[str, str], host: str = "127.0.0.1") -> None:
        self.foreign: frozenset[str] = frozenset()
        self._work = work
        self._host = host
        self._env = dict(env)
        self.version = self._env.get("LITELLM_VERSION", VERSION)
        self._database_port = free_port("127.0.0.1")
        self._ports = [free_port(host) for _ in range(replicas)]
        self.urls = tuple(f"http://{host}:{port}" for port in self._ports)

    def start_database(self) -> None:
        """Start PostgreSQL, with the data it had when it was stopped."""
        run("litellm/database.sh", self._database_port, work=self._work, **self._env)

    def stop_database(self) -> None:
        """Stop PostgreSQL: connections are cut, new ones refused."""
        run("stop.sh", "postgres", work=self._work)

    def kill_database(self) -> None:
        """Kill PostgreSQL as a crash does; `start_database` has it recover."""
        run("stop.sh", "-KILL", "postgres", work=self._work)

    def pid(self, replica: int | None) -> int:
        """Give the process of a replica, or PostgreSQL's first one."""
        name = "postgres" if replica is None else f"litellm-{self._ports[replica]}"
        return int((self._work / "run" / f"{name}.pid").read_text())

    def start(self, replica: int) -> None:
        """Start a replica and wait until it says that its database is connected."""
        run("litellm/run.sh", self._ports[replica], work=self._work, HOST=self._host, **self._env)

    def kill(self, replica: int) -> None:
        """Kill a replica as a crash does; `start` brings it back."""
        run("stop.sh", "-KILL", self._ports[replica], work=self._work)

    def call(
        self, method: str, path: str, body: Any = None, *, replica: int = 0, key: str = MASTER_KEY
    ) -> httpx.Response:
        """Ask a replica anything; it has three minutes to answer."""
        headers = {"Authorization": f"Bearer {key}"}
        url = self.urls[replica] + path
        return httpx.request(method, url, json=body, headers=headers, timeout=180, trust_env=False)

    def create(self, model_name: str, params: Mapping[str, Any], info: Mapping[str, Any], **more: Any) -> str:
        """Create a row as somebody else would; give its id."""
        body = {"model_name": model_name, "litellm_params": params, "model_info": info, **more}
        answer = self.call("POST", "/model/new", body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["model_id"])

    def make_key(self, **more: Any) -> str:
        """Make a key as the README says, of a user of its own."""
        user = self.call("POST", "/user/new", {"user_role": "proxy_admin", "auto_create_key": False})
        assert user.status_code == 200, user.text
        made = self.call("POST", "/key/generate", {"user_id": user.json()["user_id"], **more})
        assert made.status_code == 200, made.text
        return str(made.json()["key"])

    def rows(self, model_name: str | None = None, replica: int = 0) -> list[dict[str, Any]]:
        """Give the rows a replica knows, as /v2/model/info shows them; those of one name, if given."""
        answer = self.call("GET", "/v2/model/info?size=500", replica=replica)
        assert answer.status_code == 200, answer.text
        return [row for row in answer.json()["data"] if model_name in (None, row["model_name"])]

    def stored(self) -> dict[str, str]:
        """Give every row of the table of models, by id, as the database writes it."""
        lines = self.sql('select row_to_json(t) from "LiteLLM_ProxyModelTable" t')
        return {json.loads(line)["model_id"]: line for line in lines}

    def sql(self, *statements: str) -> list[str]:
        """Have the database do this, as its superuser; give what it says, line by line."""
        url = f"postgresql://litellm:litellm@127.0.0.1:{self._database_port}/litellm"
        asked = [word for statement in statements for word in ("-c", statement)]
        command = ["psql", "-X", "-q", "-A", "-t", *asked, url]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=180)
        return done.stdout.splitlines()

    def chat(self, model: str, replica: int = 0, *, key: str = MASTER_KEY, **body: Any) -> httpx.Response:
        """Send one short chat request by model name, without retries."""
        message = {"role": "user", "content": "hello"}
        request = {"model": model, "messages": [message], "max_tokens": 5, "num_retries": 0, **body}
        return self.call("POST", "/v1/chat/completions", request, replica=replica, key=key)

    def own_rows(self) -> dict[str, dict[str, Any]]:
        """Give the rows in the database that are not foreign, by id.

        Without what each write changes: its time, and `litellm_params`, which are encrypted anew.
        """
        rows = ((key, json.loads(text)) for key, text in self.stored().items() if key not in self.foreign)
        return {key: {**row, "updated_at": None, "litellm_params": None} for key, row in rows}

    def remove_own_rows(self) -> None:
        """Delete every row that is not foreign, and wait until no replica routes to one of them."""
        own = self.own_rows().keys()
        for key in own:
            self.call("POST", "/model/delete", {"id": key})
        for replica in range(len(self.urls)):
            wait_until(f"replica {replica} without {own}", 180, lambda n=replica: not own & self.known(n))  # type: ignore[misc]

    def known(self, replica: int) -> set[str]:
        """Give the ids of the rows that a replica knows, those of its configuration among them."""
        return {row["model_info"]["id"] for row in self.rows(replica=replica)}


@contextmanager
def litellm(
    logs: Path | None = None,
    *,
    replicas: int = 2,
    reload_seconds: int = RELOAD_SECONDS,
    host: str = "127.0.0.1",
    config: Path = FOLDER / "litellm" / "config.yaml",
    version: str = VERSION,
) -> Iterator[LiteLLM]:
    """Run replicas with a database of their own; 15 to 40 s until they are there.

    `config` is LiteLLM's own configuration file, `version` one of VERSIONS. The logs are kept in the folder
    `logs`.
    """
    with work_folder(logs) as work:
        env = {"RELOAD_SECONDS": str(reload_seconds), "LITELLM_MASTER_KEY": MASTER_KEY, "CONFIG": str(config)}
        env["LITELLM_VERSION"] = version
        proxy = LiteLLM(work, replicas, env, host)
        proxy.start_database()
        with ThreadPoolExecutor(replicas) as pool:
            list(pool.map(proxy.start, range(replicas)))
        yield proxy
