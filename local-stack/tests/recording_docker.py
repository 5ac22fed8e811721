"""A `docker` for the PATH that runs nothing: it notes what it is asked, and answers as an engine with compose would."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

PROGRAM = """#!{python}
import json, os, sys
from pathlib import Path
place = Path({place!r})
arguments = sys.argv[1:]
names = ("COMPOSE_PROFILES", "DOCKER_HOST", "BROKER")
env = {{name: value for name, value in os.environ.items() if name in names or name.startswith("TRIBUTARY_")}}
with (place / "calls").open("a") as calls:
    calls.write(json.dumps({{"arguments": arguments, "env": env}}) + "\\n")
refused = place / "refused"
for word in refused.read_text().split() if refused.exists() else ():
    if word in arguments:
        sys.exit(f"no {{word}} today")
verb = next((a for a in arguments if a in ("up", "down", "build", "ps", "rm", "logs")), None)
up, labels = place / "up", place / "labels"
running = set(up.read_text().split()) if up.exists() else set()
if arguments[:2] == ["context", "inspect"]:
    print("unix:///var/run/docker.sock")
elif arguments[:2] == ["image", "inspect"]:
    images = json.loads(labels.read_text()) if labels.exists() else {{}}
    if arguments[-1] not in images:
        sys.exit("no such image")
    print(images[arguments[-1]])
elif verb == "build":
    images = json.loads(labels.read_text()) if labels.exists() else {{}}
    for service in arguments[arguments.index("build") + 1:]:
        if service in ("localstack", "kafka"):
            images[{images!r}[service]] = env["TRIBUTARY_MADE_FROM"]
    labels.write_text(json.dumps(images))
elif verb == "up":
    profiles = [name for name in os.environ["COMPOSE_PROFILES"].split(",") if name]
    named = [a for a in arguments[arguments.index("up") + 1:] if not a.startswith("-")]
    up.write_text(" ".join(running | set(named or ["localstack", *profiles])))
elif verb == "ps":
    print("\\n".join(running & set(arguments)))
elif verb == "rm":
    up.write_text(" ".join(running - set(arguments)))
elif verb == "down":
    up.write_text("")
"""


@dataclass(frozen=True)
class Call:
    """One run of it."""

    arguments: list[str]
    env: dict[str, str]

    @property
    def verb(self) -> str:
        """`info`, `context inspect`, or of compose its verb."""
        words = [word for word in self.arguments if not word.startswith("-")]
        if words[0] != "compose":
            return " ".join(words[:2]) if words[0] in ("context", "image") else words[0]
        return next(word for word in words if word in ("up", "down", "build", "ps", "rm", "logs", "version"))

    @property
    def profiles(self) -> set[str]:
        return set(self.env.get("COMPOSE_PROFILES", "").split(",")) - {""}

    @property
    def services(self) -> set[str]:
        """Those that are named."""
        return {word for word in self.arguments[self.arguments.index(self.verb) + 1 :] if not word.startswith("-")}


class RecordingDocker:
    """Its program is in `path`, which is to come first on the PATH."""

    def __init__(self, path: Path, images: dict[str, str]) -> None:
        self.path = path
        path.mkdir()
        program = path / "docker"
        program.write_text(PROGRAM.format(python=sys.executable, place=str(path), images=images), encoding="utf-8")
        program.chmod(0o755)

    @property
    def on_path(self) -> str:
        return f"{self.path}{os.pathsep}{os.environ['PATH']}"

    @property
    def calls(self) -> list[Call]:
        file = self.path / "calls"
        return [Call(**json.loads(line)) for line in file.read_text().splitlines()] if file.exists() else []

    def of(self, verb: str) -> list[Call]:
        return [call for call in self.calls if call.verb == verb]

    def forget(self) -> None:
        (self.path / "calls").unlink(missing_ok=True)

    @property
    def running(self) -> set[str]:
        file = self.path / "up"
        return set(file.read_text().split()) if file.exists() else set()

    def stop(self, service: str) -> None:
        (self.path / "up").write_text(" ".join(self.running - {service}))

    def refuse(self, *words: str) -> None:
        """From now on, calls with one of these arguments fail."""
        (self.path / "refused").write_text(" ".join(words))
